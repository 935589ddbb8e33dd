"""The memory tier serves nothing that the store would not: purges and overwritings show in the very next look."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import tracemalloc
from dataclasses import replace

import pytest

from llm_cache import LLMCache
from llm_cache.codec.codec import Codec
from llm_cache.core.model import Entry, Frame, Head
from llm_cache.runtime.tier import Tier

CALL = {"provider": "openai", "model": "gpt-4", "endpoint": "/v1/chat/completions", "request_data": {}}


def an_entry(key: str, size: int = 10) -> Entry:
    frames = (Frame(b"x" * size, 0),)
    return Entry(key, "http", "openai", "m", "/e", "default", Head(200), frames, False, 1.0, None)


def test_it_serves_what_was_put_under_the_same_generation_only():
    tier = Tier(1 << 20)
    tier.put(an_entry("a"), 1)
    assert tier.get("a", 1) == an_entry("a")
    assert tier.get("a", 2) is None
    tier.put(an_entry("b"), 2)
    assert tier.get("a", 2) is None
    assert len(tier) == 1


def test_it_is_bounded_by_bytes_and_forgets_what_was_used_longest_ago():
    tier = Tier(100_000)
    for number in range(20):
        tier.put(an_entry(str(number), 8000), 1)
        tier.get("0", 1)
    assert 5 <= len(tier) <= 12
    assert tier.get("0", 1) is not None
    assert tier.get("1", 1) is None
    tier.put(an_entry("huge", 90_000), 1)
    assert tier.get("huge", 1) is None


@pytest.mark.parametrize("frames", [1, 50, 2000])
def test_it_takes_no_more_memory_than_it_says(frames: int):
    codec, tier = Codec(), Tier(4 << 20)
    pieces = tuple(Frame(b'data: {"n":%d,"t":"%d"}' % (n, n * n), n * 900) for n in range(frames))
    headers = tuple((f"x-header-{n}", "v" * 60 + str(n)) for n in range(6))
    rows = []
    for number in range((6 << 20) // (150 * frames + 2000) + 5):
        entry = replace(an_entry(f"{number:064x}"), head=Head(200, headers), frames=pieces)
        rows.append(codec.encode(entry))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for row in rows:
        # As it is used: of fresh objects, none of them shared.
        tier.put(codec.decode(row), 1)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(tier) < len(rows), "it was never full"
    assert 1 << 20 < taken < 4.3 * (1 << 20)


def test_it_is_exact_about_expiry():
    tier = Tier(1 << 20)
    tier.put(replace(an_entry("a"), expires_at=100.5), 1)
    tier.put(an_entry("b"), 1)
    assert tier.get("a", 1, 100.499) is not None
    assert tier.get("a", 1, 100.5) is None
    assert tier.get("a", 1, 0.0) is None, "it is forgotten"
    assert tier.get("b", 1, 1e12) is not None


def test_what_is_in_memory_expires_to_the_second(database):
    now = [1_800_000_000.0]
    with LLMCache(database_url=database) as cache:
        engine = cache.engine
        engine.clock = engine.access._clock = lambda: now[0]
        engine.world = replace(engine.world, clock=engine.clock)

        def value(fetched):
            return cache.get_or_set("k", lambda: fetched, **CALL, ttl_days=1)

        assert [value(1) for _ in range(4)] == [1, 1, 1, 1]
        now[0] += 86_400 - 0.001
        assert value(2) == 1
        now[0] += 0.001
        assert value(3) == 3
        assert value(4) == 3


def test_a_tier_of_nothing_keeps_nothing():
    tier = Tier(0)
    tier.put(an_entry("a"), 1)
    assert tier.get("a", 1) is None


@pytest.mark.parametrize("place", ["file", ":memory:"])
def test_a_purge_and_an_overwriting_show_at_once(database, place):
    with LLMCache(database_url=database if place == "file" else place) as cache:
        assert [cache.get_or_set("k", lambda: 1, **CALL) for _ in range(3)] == [1, 1, 1]
        cache.set("k", 2, **CALL)
        assert [cache.get_or_set("k", lambda: 9, **CALL) for _ in range(3)] == [2, 2, 2]
        assert cache.delete("k")
        assert cache.get_or_set("k", lambda: 3, **CALL) == 3


def test_what_another_process_does_shows_at_once(database):
    program = """
        import sys
        from llm_cache import LLMCache
        with LLMCache(database_url=sys.argv[1]) as cache:
            for line in sys.stdin:
                cache.purge(everything=True) if line.strip() == "purge" else cache.stats()
                print("done", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), database]
    with LLMCache(database_url=database) as cache:
        cache.get_or_set("k", lambda: 1, **CALL)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            for number in range(2, 6):
                other.stdin.write("purge\n")
                other.stdin.flush()
                other.stdout.readline()
                assert cache.get_or_set("k", lambda value=number: value, **CALL) == number
                assert cache.get_or_set("k", lambda: 0, **CALL) == number
            other.stdin.close()


def test_threads_that_read_while_another_overwrites_never_go_back(database):
    with LLMCache(database_url=database) as cache:
        cache.set("k", 0, **CALL)
        stop, wrong = threading.Event(), []

        def read():
            last = 0
            while not stop.is_set():
                value = cache.get_or_set("k", lambda: -1, **CALL)
                if value < last:
                    wrong.append((last, value))
                last = value

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(1, 200):
            cache.set("k", number, **CALL)
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []
