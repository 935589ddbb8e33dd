"""Several workers are one proxy: one port, one store, one account; a worker that dies is replaced."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from llm_cache.config import load
from llm_cache.errors import ConfigError
from llm_cache.proxy.board import FIRST_BYTE, HIT, UPSTREAM, Board
from llm_cache.proxy.serve import bind, serve
from llm_cache.stores import base
from llm_cache.testing import FakeUpstream, openai_chat, openai_chat_stream

from .running import ASK, NO_PROXY, STREAM, Process

CHAT = "/v1/chat/completions"
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")


def start(upstream: FakeUpstream, database: str, **more: object) -> Process:
    given = {"proxy_port": 0, "upstreams": {"openai": upstream.url}, "database_url": database, "workers": 2}
    return Process({**given, **more})


def children(process: Process) -> list[int]:
    """The workers, as the system knows them."""
    path = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
    if not path.exists():
        pytest.skip("this system does not tell who the workers are")
    return [int(each) for each in path.read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process does anything yet; a dead one may wait for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def ask(url: str, **more: object) -> httpx.Response:
    with httpx.Client(**NO_PROXY) as client:
        return client.post(url + CHAT, json={**ASK, **more})


def value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, (name, text)
    return float(found[1])


def test_their_counts_are_one_account_at_any_moment(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with start(upstream, database) as process:
        url = process.url()
        until(lambda: len(children(process)) == 2)
        ask(url)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(url).headers["x-llm-cache"], range(40)))
        assert answers == ["hit"] * 40, process.log
        for _ in range(4):  # whichever of them is asked, and however soon
            text = httpx.get(url + "/metrics", **NO_PROXY).text
            assert value(text, "llm_cache_hits_total") == 40
            assert value(text, "llm_cache_misses_total") == 1
            assert value(text, 'llm_cache_requests_total{result="hit"}') == 40
            assert value(text, "llm_cache_hit_duration_seconds_count") == 40
            assert value(text, 'llm_cache_hit_duration_seconds_bucket{le="+Inf"}') == 40
            assert value(text, "llm_cache_upstream_duration_seconds_count") == 1
            assert value(text, "llm_cache_workers") == 2
            assert value(text, "llm_cache_upstream_calls") == 0
        process.send(signal.SIGTERM)
        assert process.end() == 0


@pytest.mark.skipif(not hasattr(base, "Leases"), reason="stores hold no leases yet")
def test_identical_calls_of_all_workers_are_one(upstream: FakeUpstream, database: str) -> None:
    gate = threading.Event()
    upstream.reply(CHAT, replace(openai_chat("Hello!"), gates={"head": gate}))
    with start(upstream, database, workers=3) as process:
        url = process.url()
        until(lambda: len(children(process)) == 3)
        with ThreadPoolExecutor(24) as pool:
            answers = [pool.submit(ask, url) for _ in range(24)]
            upstream.wait_for(1)
            time.sleep(0.5)
            gate.set()
            texts = {answer.result(20).text for answer in answers}
        assert len(texts) == 1
        assert upstream.count() == 1


def test_a_dead_worker_is_replaced_and_what_was_delivered_is_a_hit(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with start(upstream, database) as process:
        url = process.url()
        until(lambda: len(children(process)) == 2)
        before = children(process)
        for seed in range(8):
            assert ask(url, seed=seed).headers["x-llm-cache"] == "miss"
        os.kill(before[0], signal.SIGKILL)
        # New connections to the dead one's socket wait for the one that takes its place.
        assert [ask(url, seed=seed).headers["x-llm-cache"] for seed in range(8)] == ["hit"] * 8, process.log
        until(lambda: len(children(process)) == 2 and children(process) != before)
        assert upstream.count() == 8
        process.send(signal.SIGTERM)
        assert process.end() == 0
        assert [line for line in process.log if "ended with -9" in line]


def test_all_of_them_end_what_they_have_begun(upstream: FakeUpstream, database: str) -> None:
    gate = threading.Event()
    stream = openai_chat_stream(["a", "b"])
    upstream.reply(CHAT, replace(stream, gates={1: gate}))
    with start(upstream, database) as process:
        url = process.url()
        found: list[bytes] = []

        def call(seed: int) -> None:
            with httpx.Client(**NO_PROXY) as client:
                found.append(client.post(url + CHAT, json={**STREAM, "seed": seed}).content)

        callers = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
        for caller in callers:
            caller.start()
        upstream.wait_for(4)
        time.sleep(0.2)
        process.send(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(httpx.ConnectError):
            httpx.get(url + "/healthz", trust_env=False)
        assert process.popen.poll() is None
        gate.set()
        for caller in callers:
            caller.join(10)
        assert found == [stream.payload] * 4
        assert process.end() == 0
        assert not [line for line in process.log if "Traceback" in line or "ERROR" in line]


def test_a_second_interrupt_stops_all_at_once(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, replace(openai_chat_stream(["a"]), gates={1: threading.Event()}))
    with start(upstream, database) as process:
        url = process.url()

        def call() -> None:
            with httpx.Client(**NO_PROXY) as client, pytest.raises(httpx.HTTPError):
                client.post(url + CHAT, json=STREAM)

        caller = threading.Thread(target=call)
        caller.start()
        upstream.wait_for(1)
        time.sleep(0.2)
        process.send(signal.SIGINT)
        time.sleep(0.5)
        assert process.popen.poll() is None
        process.send(signal.SIGINT)
        assert process.end() == 130
        caller.join(5)
        assert not [line for line in process.log if "Traceback" in line], process.log


def test_workers_do_not_outlive_who_started_them(upstream: FakeUpstream, database: str) -> None:
    with start(upstream, database) as process:
        url = process.url()
        until(lambda: len(children(process)) == 2)
        until(lambda: httpx.get(url + "/healthz", **NO_PROXY).status_code == 200)
        workers = children(process)
        process.popen.kill()
        until(lambda: not any(runs(pid) for pid in workers))
        process.end()


def test_a_port_that_workers_share_is_taken_for_everybody_else(upstream: FakeUpstream, database: str) -> None:
    with start(upstream, database) as process:
        port = int(process.url().rpartition(":")[2])
        for workers in (1, 2):
            with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is taken"):
                serve(load({"proxy_port": port, "workers": workers, "database_url": database}))
    one = bind("127.0.0.1", 0)
    with pytest.raises(ConfigError, match="taken"):
        serve(load({"proxy_port": one[0].getsockname()[1], "workers": 2, "database_url": database}))
    one[0].close()


def test_memory_cannot_be_shared() -> None:
    with pytest.raises(ConfigError, match="cache in memory of its own"):
        serve(load({"proxy_port": 0, "workers": 2, "backend": "memory"}))


def test_a_board_adds_up() -> None:
    board = Board(3)
    rows = [board.row(each) for each in range(3)]
    rows[0].count("hit")
    rows[2].count("hit")
    rows[1].count("failed")
    rows[0].took(HIT, 0.0003)
    rows[1].took(HIT, 9.0)
    rows[2].took(UPSTREAM, 0.1)
    rows[1].under_way += 1
    found = {}
    for metric in board.metrics():
        for sample in metric.samples:
            found[sample.name, sample.labels.get("result") or sample.labels.get("le") or ""] = sample.value
    assert found["llm_cache_requests_total", "hit"] == 2
    assert found["llm_cache_requests_total", "failed"] == 1
    assert found["llm_cache_requests_total", "miss"] == 0
    assert found[f"{HIT.name}_bucket", "0.00025"] == 0
    assert found[f"{HIT.name}_bucket", "0.0005"] == 1
    assert found[f"{HIT.name}_bucket", "+Inf"] == found[f"{HIT.name}_count", ""] == 2
    assert found[f"{HIT.name}_sum", ""] == pytest.approx(9.0003)
    assert found[f"{UPSTREAM.name}_bucket", "0.1"] == 1
    assert found[f"{FIRST_BYTE.name}_count", ""] == 0
    assert found["llm_cache_upstream_calls", ""] == board.under_way() == 1
