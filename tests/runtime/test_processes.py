"""Identical calls at the same time in several processes make one request; whoever holds it may die."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from llm_cache import LLMCache
from llm_cache.testing import FakeUpstream, openai_chat
from tests.redis_servers import Server

PROGRAM = Path(__file__).with_name("calling_process.py")
CHAT = "/v1/chat/completions"


@pytest.fixture
def where(request: pytest.FixtureRequest, database: str) -> Callable[[str], str]:
    def place(kind: str) -> str:
        if kind == "sqlite":
            return database
        server: Server = request.getfixturevalue("redis_server")
        return server.url

    return place


class Processes:
    """Several callers, ready to ask all at once."""

    def __init__(
        self, place: str, upstream: FakeUpstream, count: int, calls: int, *how: str, lease_s: float = 30
    ) -> None:
        command = [sys.executable, str(PROGRAM), place, upstream.url + CHAT, str(calls), str(lease_s), *how]
        self.all = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
        ]
        for process in self.all:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def go(self, *numbers: int) -> None:
        for number in numbers or range(len(self.all)):
            stdin = self.all[number].stdin
            assert stdin is not None
            stdin.write("\n")
            stdin.flush()

    def said(self, *numbers: int) -> Counter[str]:
        total: Counter[str] = Counter()
        for number in numbers or range(len(self.all)):
            total.update(json.loads(self.all[number].communicate(timeout=50)[0]))
        return total

    def end(self) -> None:
        for process in self.all:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("sqlite", "threads"),
        ("redis", "async"),
        pytest.param("redis", "threads", marks=pytest.mark.slow),
        pytest.param("sqlite", "async", marks=pytest.mark.slow),
    ],
)
def test_many_processes_and_threads_make_one_request(
    where: Callable[[str], str], upstream: FakeUpstream, kind: str, how: str
) -> None:
    place = where(kind)
    upstream.reply(CHAT, replace(openai_chat("hello"), delay_s=0.3))
    callers = Processes(place, upstream, 4, 5, how)
    try:
        callers.go()
        said = callers.said()
    finally:
        callers.end()
    assert len(upstream.requests) == 1
    assert said["miss hello"] == 1
    assert sum(said.values()) == 20
    with LLMCache(database_url=place) as cache:
        stats = cache.stats()
        assert (stats.misses, stats.hits, stats.entries) == (1, 19, 1)
        # All but those that came when it was over already.
        assert stats.joined == said["joined hello"] >= 4


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("redis", marks=pytest.mark.slow)])
def test_when_the_holder_is_killed_another_takes_over(
    where: Callable[[str], str], upstream: FakeUpstream, kind: str
) -> None:
    place = where(kind)
    upstream.script(CHAT, replace(openai_chat("never"), delay_s=30))
    upstream.reply(CHAT, replace(openai_chat("hello"), delay_s=0.2))
    callers = Processes(place, upstream, 3, 2, lease_s=2)
    try:
        callers.go(0)
        upstream.wait_for(1, 20)
        callers.go(1, 2)
        time.sleep(0.5)
        assert len(upstream.requests) == 1
        callers.all[0].send_signal(signal.SIGKILL)
        began = time.monotonic()
        said = callers.said(1, 2)
        took_s = time.monotonic() - began
    finally:
        callers.end()
    assert len(upstream.requests) == 2
    assert said["miss hello"] == 1
    assert sum(said.values()) == 4
    # At the latest when the lease has lapsed, and not only when they have lost patience.
    assert took_s < 30
