"""Several proxies, each of several workers, on one Redis are one cache: one call, one account, whoever of them dies."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from llm_cache.testing import FakeUpstream, openai_chat, openai_chat_stream
from tests.proxy.running import ASK, NO_PROXY, STREAM, Process, running
from tests.redis_servers import Server, serving

CHAT = "/v1/chat/completions"
SHORT_LEASES = "from llm_cache.stores import base; base.LEASE_S = 2.0"
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")


class Hosts:
    """Proxies that share a Redis, as if each were on a machine of its own."""

    def __init__(self, server: Server, upstream: FakeUpstream, *, count: int = 2, workers: int = 2) -> None:
        given = {
            "proxy_port": 0,
            "upstreams": {"openai": upstream.url},
            "database_url": server.url,
            "workers": workers,
            # A busy machine must not look like a Redis that hangs: then answers are counted as not kept.
            "read_timeout_ms": 5000,
            "write_timeout_ms": 20_000,
        }
        self.all = [Process(given, before=SHORT_LEASES) for _ in range(count)]
        self.urls = [process.url() for process in self.all]
        for process in self.all:
            until(lambda process=process: len(self.workers(process)) == workers)

    @staticmethod
    def workers(process: Process) -> list[int]:
        path = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
        if not path.exists():
            pytest.skip("this system does not tell who the workers are")
        return [int(each) for each in path.read_text().split()]

    def metric(self, number: int, name: str) -> float:
        text = httpx.get(self.urls[number] + "/metrics", **NO_PROXY).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def end(self) -> None:
        for process in self.all:
            if process.popen.poll() is None:
                process.send(signal.SIGTERM)
                assert process.end() == 0, process.log
            lines = [line for line in process.log if "Traceback" in line]
            assert not lines, process.log


@pytest.fixture
def hosts(redis_server: Server, upstream: FakeUpstream) -> Iterator[Callable[..., Hosts]]:
    with ExitStack() as stack:

        def start(server: Server = redis_server, **more: int) -> Hosts:
            made = Hosts(server, upstream, **more)
            for process in made.all:
                stack.enter_context(process)
            return made

        yield start


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def ask(url: str, **more: object) -> httpx.Response:
    with httpx.Client(**NO_PROXY) as client:
        return client.post(url + CHAT, json={**ASK, **more})


def test_identical_calls_of_all_hosts_are_one(hosts: Callable[..., Hosts], upstream: FakeUpstream) -> None:
    gate = threading.Event()
    upstream.reply(CHAT, replace(openai_chat("Hello!"), gates={"head": gate}))
    both = hosts()
    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, both.urls[number % 2]) for number in range(16)]
        upstream.wait_for(1)
        time.sleep(0.5)
        gate.set()
        replies = [answer.result(20) for answer in answers]
    assert upstream.count() == 1
    assert len({reply.content for reply in replies}) == 1
    assert sorted({reply.headers["x-llm-cache"] for reply in replies}) in (
        ["joined", "miss"],
        ["hit", "joined", "miss"],
    )
    assert [ask(url).headers["x-llm-cache"] for url in both.urls] == ["hit", "hit"]
    # The account is one, whoever is asked; what another host has counted comes within a second.
    for number in range(2):
        until(lambda number=number: both.metric(number, "llm_cache_hits_total") == 17)
        assert both.metric(number, "llm_cache_misses_total") == 1
        assert both.metric(number, "llm_cache_entries_total") == 1
        assert both.metric(number, "llm_cache_store_up") == 1
    mine = [both.metric(number, 'llm_cache_requests_total{result="miss"}') for number in range(2)]
    assert sorted(mine) == [0, 1]
    both.end()


@pytest.mark.slow
def test_a_host_that_is_killed_in_the_middle_of_a_call_is_followed_by_another(
    hosts: Callable[..., Hosts], upstream: FakeUpstream
) -> None:
    upstream.script(CHAT, replace(openai_chat("never"), delay_s=60))
    upstream.reply(CHAT, openai_chat("Hello!"))
    both = hosts()
    with ThreadPoolExecutor(3) as pool:
        lost = pool.submit(ask, both.urls[0])
        upstream.wait_for(1)
        followers = [pool.submit(ask, both.urls[1]) for _ in range(2)]
        time.sleep(0.5)
        assert upstream.count() == 1
        for pid in (*both.workers(both.all[0]), both.all[0].popen.pid):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx.HTTPError):
            lost.result(20)
        replies = [follower.result(30) for follower in followers]
    assert {reply.json()["choices"][0]["message"]["content"] for reply in replies} == {"Hello!"}
    assert upstream.count() == 2
    both.end()


@pytest.mark.parametrize(
    ("rounds", "clients"), [(1, 6), pytest.param(6, 16, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
def test_workers_are_killed_under_load_and_nothing_that_was_delivered_is_lost(
    hosts: Callable[..., Hosts], upstream: FakeUpstream, rounds: int, clients: int
) -> None:
    plain, stream = openai_chat("Hello!"), openai_chat_stream(["a", "b", "c"])
    upstream.reply(CHAT, lambda received: stream if b'"stream":true' in received.body else plain)
    both = hosts()
    delivered: set[str] = set()
    stop = threading.Event()

    def client(number: int) -> int:
        chance, errors = random.Random(number), 0
        while not stop.is_set():
            body = {**(STREAM if chance.random() < 0.5 else ASK), "seed": chance.randrange(300)}
            try:
                with httpx.Client(**NO_PROXY) as line:
                    reply = line.post(both.urls[number % 2] + CHAT, json=body)
            except httpx.HTTPError:
                errors += 1
                continue
            assert reply.status_code == 200
            delivered.add(json.dumps(body))
        return errors

    with ThreadPoolExecutor(clients) as pool:
        clients_running = [pool.submit(client, number) for number in range(clients)]
        for turn in range(rounds):
            goal = len(delivered) + 2 * clients
            until(lambda goal=goal: len(delivered) >= goal, 60)
            host = both.all[turn % 2]
            os.kill(both.workers(host)[turn % 2], signal.SIGKILL)
            until(lambda host=host: len(both.workers(host)) == 2)
        stop.set()
        for each in clients_running:
            each.result(30)
    assert len(delivered) > clients
    calls = upstream.count()
    for number, body in enumerate(sorted(delivered)):
        reply = ask(both.urls[number % 2], **json.loads(body))
        assert reply.headers["x-llm-cache"] == "hit", body
    assert upstream.count() == calls
    both.end()


@pytest.mark.slow
def test_redis_dies_under_load_and_comes_back(
    tmp_path: Path, hosts: Callable[..., Hosts], upstream: FakeUpstream
) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with serving(tmp_path / "redis", appendonly="yes", appendfsync="always") as server:
        both = hosts(server)
        stop, sent = threading.Event(), []

        def client(number: int) -> None:
            chance = random.Random(number)
            while not stop.is_set():
                reply = ask(both.urls[number % 2], seed=chance.randrange(10_000))
                assert reply.json()["choices"][0]["message"]["content"] == "Hello!"
                sent.append(reply.headers["x-llm-cache"])

        with ThreadPoolExecutor(8) as pool:
            running_now = [pool.submit(client, number) for number in range(8)]
            time.sleep(1)
            server.kill()
            until(lambda: both.metric(0, "llm_cache_store_up") == 0)
            assert httpx.get(both.urls[1] + "/healthz", **NO_PROXY).status_code == 200
            time.sleep(1)
            server.start()
            until(lambda: all(both.metric(number, "llm_cache_store_up") == 1 for number in range(2)), 40)
            time.sleep(1)
            stop.set()
            for each in running_now:
                each.result(30)
        # Nothing that was counted while it was away is lost, and nothing is counted twice.
        hits = sum(status in {"hit", "joined"} for status in sent)
        for number in range(2):
            until(lambda number=number: both.metric(number, "llm_cache_misses_total") == len(sent) - hits, 30)
            assert both.metric(number, "llm_cache_hits_total") == hits
        assert both.metric(0, 'llm_cache_store_failures_total{operation="get"}') > 0
        both.end()


def test_its_pages_answer_while_redis_hangs(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    with (
        serving(tmp_path / "redis") as server,
        running(upstream.url, database_url=server.url, read_timeout_ms=200, write_timeout_ms=4000) as proxy,
    ):
        assert proxy.ask().headers["x-llm-cache"] == "miss"
        server.send(signal.SIGSTOP)
        try:
            assert proxy.ask(json={**ASK, "seed": 1}).headers["x-llm-cache"] == "miss"
            took, pages = {}, {}
            for path in ("/healthz", "/readyz", "/health", "/metrics"):
                began = time.monotonic()
                pages[path] = proxy.get(path)
                took[path] = time.monotonic() - began
        finally:
            server.send(signal.SIGCONT)
        assert {path: page.status_code for path, page in pages.items()} == {
            "/healthz": 200,
            "/readyz": 503,
            "/health": 200,
            "/metrics": 200,
        }
        assert "llm_cache_store_up 0" in pages["/metrics"].text
        assert max(took.values()) < 4, took
        until(lambda: proxy.get("/readyz").status_code == 200)
