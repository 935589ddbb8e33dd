"""A cache keeps itself under its size, behind the calls and while they go on writing; a lookup never writes."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from llm_cache import LLMCache
from llm_cache.core.events import Evicted
from llm_cache.errors import StoreError
from llm_cache.runtime.evictor import Evictor
from llm_cache.runtime.writer import Writer, writer
from llm_cache.stores.base import Shrunk
from tests.runtime.staging import PATIENCE_S, Gate, settled

LIMIT_MB = 2


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cache.db"


@pytest.fixture(params=["sqlite", "memory"])
def cache(request, file):
    url = ":memory:" if request.param == "memory" else str(file)
    with LLMCache(database_url=url, max_size_mb=LIMIT_MB, enable_compression=False, memory_mb=1) as cache:
        yield cache


def say(cache, number, size=20_000):
    text = f"{number}:" + "x" * size
    return cache.get_or_set(f"key {number}", lambda: text, "openai", "m", "/v1/x", {"n": number})


def on_disk(file):
    return sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*") if not part.name.endswith("-shm"))


def test_the_limit_holds_while_calls_go_on_writing(cache, file):
    most = 0
    for number in range(500):
        say(cache, number)
        most = max(most, on_disk(file))
    assert most <= LIMIT_MB << 20
    assert writer().drain(PATIENCE_S)
    stats = cache.stats()
    # Half of what there is room for is used at least, and what is gone has been counted.
    assert stats.size_bytes > (LIMIT_MB << 20) / 2
    assert stats.entries + stats.total.evicted == 500
    assert stats.misses == 500
    # The newest are there, the oldest are not.
    assert cache.get("key 499")
    assert sum(cache.get(f"key {number}") is not None for number in range(100)) < 20


def test_the_limit_holds_under_many_threads(cache, file):
    def work(first):
        for number in range(first, first + 60):
            say(cache, number)

    threads = [threading.Thread(target=work, args=(index * 1000,)) for index in range(8)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, on_disk(file))
        threads[0].join(0.01)
    for thread in threads:
        thread.join()
    assert writer().drain(PATIENCE_S)
    # What eight threads write at once may be there before the first of it is made room for, and the log cannot be
    # emptied while one of them reads.
    assert most <= (LIMIT_MB << 20) + (1 << 20)
    stats = cache.stats()
    assert stats.entries + stats.total.evicted == 480


def test_what_is_dear_stays(cache):
    dear = cache.get_or_set("dear", lambda: "y" * 20_000, "openai", "m", "/v1/x", {})
    row = next(cache.engine.store.scan())
    cache.engine.store.price([(row.key, row.created_at, 10**12)])
    for number in range(300):
        say(cache, number)
    assert cache.get("dear") is not None
    assert cache.get_or_set("dear", lambda: "new", "openai", "m", "/v1/x", {}) == dear


def test_looking_up_writes_nothing_even_where_there_is_too_much(file):
    with LLMCache(database_url=str(file), enable_compression=False, memory_mb=0) as cache:
        for number in range(200):
            say(cache, number)
    with LLMCache(database_url=str(file), max_size_mb=LIMIT_MB, memory_mb=0) as cache:
        # Counters are written behind; the entries are not touched.
        with sqlite3.connect(file) as raw:
            for number in range(200):
                assert cache.get(f"key {number}") is not None
            before = raw.execute("PRAGMA data_version").fetchone()
            for number in range(200):
                assert cache.get(f"key {number}") is not None
            assert raw.execute("PRAGMA data_version").fetchone() == before
        raw.close()
        assert cache.stats().entries == 200
        # The first write begins what is overdue, in slices behind the calls.
        say(cache, 1000)
        settled(lambda: on_disk(file) < LIMIT_MB << 20)


class Full:
    """A store that has a number of steps to take, or fails."""

    def __init__(self, steps=0, error=None):
        self.steps = steps
        self.error = error
        self.limits = []

    def shrink(self, limit_bytes, now):
        self.limits.append(limit_bytes)
        if self.error is not None:
            raise self.error
        if not self.steps:
            return Shrunk()
        self.steps -= 1
        return Shrunk(3, 100, more=self.steps > 0)


def test_one_step_is_taken_at_once_and_the_others_when_there_is_time():
    mine, heard, store = Writer(), [], Full(5)
    evictor = Evictor(store, mine, heard.append, 1000)
    gate = Gate()
    mine.post(gate.wait)
    evictor.wrote()
    assert store.steps == 4
    gate.open()
    settled(lambda: store.steps == 0)
    # Further than it need, so that the next write finds room.
    assert store.limits == [1000, 950, 950, 950, 950]
    assert [(type(event), event.entries, event.size_bytes) for event in heard] == [(Evicted, 3, 100)] * 5


def test_a_store_that_fails_is_told_of_once_until_it_works_again(caplog):
    store = Full(error=StoreError("no"))
    evictor = Evictor(store, Writer(), lambda _: None, 1000)
    for _ in range(3):
        evictor.wrote()
    assert len(caplog.records) == 1
    store.error = None
    evictor.wrote()
    store.error = StoreError("no")
    evictor.wrote()
    assert len(caplog.records) == 2
    evictor.stop()
    evictor.wrote()
    assert len(store.limits) == 5
