"""Promise 3 on Redis: whatever happens to the server, the caller's answer is right and in time, and is counted."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from llm_cache import LLMCache, StoreError, wrap
from llm_cache.testing import FakeUpstream, openai_chat
from tests.redis_servers import Server, free_port, serving

CHAT = "/v1/chat/completions"
ASK = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}]}
CALLS = 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def upstream(upstream: FakeUpstream) -> FakeUpstream:
    upstream.reply(CHAT, openai_chat("hello"))
    return upstream


class Caller:
    """Somebody who asks, through a cache on that server."""

    def __init__(self, url: str, upstream: FakeUpstream, **settings: object) -> None:
        self.cache = LLMCache(database_url=url, **{"read_timeout_ms": 150, "write_timeout_ms": 300, **settings})
        self._url = upstream.url + CHAT

    def ask(self, *seeds: int) -> list[str]:
        """What became of calls that differ by these numbers; each must have the right answer."""
        with httpx.Client(trust_env=False) as client, wrap(client, self.cache):
            return [self._status(client.post(self._url, json={**ASK, "seed": seed})) for seed in seeds]

    def ask_at_once(self, *seeds: int) -> list[str]:
        """The same on an event loop."""

        async def work() -> list[str]:
            async with httpx.AsyncClient(trust_env=False) as client:
                with wrap(client, self.cache):
                    replies = [client.post(self._url, json={**ASK, "seed": seed}) for seed in seeds]
                    return [self._status(reply) for reply in await asyncio.gather(*replies)]

        return asyncio.run(work())

    @staticmethod
    def _status(reply: httpx.Response) -> str:
        assert reply.json()["choices"][0]["message"]["content"] == "hello"
        status: str = reply.extensions["llm_cache"].status
        return status

    def failures(self) -> dict[str, int]:
        """What the counters say of the store."""
        return dict(self.cache.engine.ledger.stats(lenient=True).reasons.get("fail", {}))


@pytest.fixture
def caller_on(upstream: FakeUpstream) -> Iterator[Callable[..., Caller]]:
    made: list[Caller] = []

    def make(url: str, **settings: object) -> Caller:
        made.append(Caller(url, upstream, **settings))
        return made[-1]

    yield make
    for caller in made:
        caller.cache.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def until_hit(caller: Caller, seed: int) -> None:
    """Calls until the cache has noticed that the server is back."""
    deadline = time.monotonic() + 30
    while caller.ask(seed) != ["hit"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_was_never_there_costs_a_miss_and_one_line(
    caller_on: Callable[..., Caller], caplog: pytest.LogCaptureFixture
) -> None:
    caller = caller_on(f"redis://:geheim@127.0.0.1:{free_port()}/0")
    assert caller.ask(*range(CALLS)) == ["miss"] * CALLS
    assert caller.failures()["get"] >= CALLS
    with pytest.raises(StoreError, match="cannot be reached"):
        caller.cache.stats()
    caller.cache.engine.ledger.flush()
    (line,) = lines(caplog)
    assert "reading the cache in redis://127.0.0.1" in line
    assert "geheim" not in line


@pytest.mark.parametrize("ask", [Caller.ask, Caller.ask_at_once])
def test_a_server_that_is_killed_is_missed_and_used_again_when_it_is_back(
    server: Server,
    caller_on: Callable[..., Caller],
    caplog: pytest.LogCaptureFixture,
    ask: Callable[..., list[str]],
) -> None:
    caller = caller_on(server.url)
    assert ask(caller, 1) == ["miss"]
    assert ask(caller, 1) == ["hit"]
    server.kill()
    assert ask(caller, *range(2, CALLS)) == ["miss"] * (CALLS - 2)
    server.start()
    until_hit(caller, 1)
    until_hit(caller, 2)
    assert len(lines(caplog)) == 2
    assert "works again" in lines(caplog)[1]
    assert caller.cache.stats().reasons["fail"]["get"] >= CALLS - 2


@pytest.mark.parametrize("ask", [Caller.ask, Caller.ask_at_once])
def test_a_server_that_hangs_costs_its_deadline_a_few_times_and_then_nothing(
    server: Server, caller_on: Callable[..., Caller], ask: Callable[..., list[str]]
) -> None:
    caller = caller_on(server.url)
    assert ask(caller, 1) == ["miss"]
    server.send(signal.SIGSTOP)
    began = time.monotonic()
    for seed in range(2, 2 + CALLS):
        assert ask(caller, seed) == ["miss"]
    took_s = time.monotonic() - began
    # Without a breaker it were twice the deadlines of both, each time.
    assert took_s < CALLS * 0.45
    server.send(signal.SIGCONT)
    until_hit(caller, 1)


def test_once_the_breaker_is_open_a_call_waits_for_nothing(server: Server, caller_on: Callable[..., Caller]) -> None:
    caller = caller_on(server.url)
    caller.ask(1)
    server.send(signal.SIGSTOP)
    access = caller.cache.engine.access
    while not access._reading.open:
        access.lookup("00" * 32)
        time.sleep(0.01)
    took = []
    # Long enough for several probes to have been due.
    ended = time.monotonic() + 4
    while time.monotonic() < ended:
        began = time.perf_counter()
        assert access.lookup("00" * 32) is None
        took.append(time.perf_counter() - began)
        time.sleep(0.01)
    took.sort()
    assert took[len(took) * 95 // 100] < 0.001


def test_a_server_that_is_full_keeps_nothing_more_and_still_answers(
    server: Server, caller_on: Callable[..., Caller], caplog: pytest.LogCaptureFixture
) -> None:
    caller = caller_on(server.url)
    assert caller.ask(1, 2) == ["miss", "miss"]
    server.client().config_set("maxmemory-policy", "noeviction")
    server.client().config_set("maxmemory", "100kb")
    assert caller.ask(*range(3, CALLS)) == ["miss"] * (CALLS - 3)
    assert caller.ask(1, 2) == ["hit", "hit"]
    assert caller.failures()["put"] >= CALLS - 3
    (line,) = lines(caplog)
    assert "is full" in line
    # What takes room away still works.
    assert caller.cache.delete(caller.cache.engine.store.scan(limit=1).__next__().key.hex())
    server.client().config_set("maxmemory", "0")
    until_hit(caller, 50)


def test_a_replica_is_read_and_not_written(
    server: Server, tmp_path: Path, caller_on: Callable[..., Caller], caplog: pytest.LogCaptureFixture
) -> None:
    assert caller_on(server.url).ask(1) == ["miss"]
    with serving(tmp_path / "replica", replicaof=f"127.0.0.1 {server.port}") as replica:
        deadline = time.monotonic() + 20
        while replica.client().info("replication")["master_link_status"] != "up":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        caller = caller_on(replica.url)
        assert caller.ask(1) == ["hit"]
        assert caller.ask(*range(2, 10)) == ["miss"] * 8
        assert caller.failures()["put"] >= 8
        assert [line for line in lines(caplog) if "replica" in line] == lines(caplog)
        assert len(lines(caplog)) == 1
        assert len(list(caller.cache.entries())) == 1


def test_a_password_that_is_missing_is_one_line_and_a_right_one_is_never_shown(
    tmp_path: Path, caller_on: Callable[..., Caller], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tmp_path / "locked", requirepass="geheim 4711".replace(" ", "-")) as server:
        without = caller_on(server.url)
        assert without.ask(*range(8)) == ["miss"] * 8
        (line,) = lines(caplog)
        assert "user and a password" in line
        given = caller_on(server.url.replace("//", "//:geheim-4711@"))
        assert given.ask(1, 1) == ["miss", "hit"]
        assert "geheim" not in given.cache.location + repr(given.cache.settings) + caplog.text


def test_a_purge_elsewhere_is_seen_within_a_second(server: Server, caller_on: Callable[..., Caller]) -> None:
    one, other = caller_on(server.url), caller_on(server.url)
    assert one.ask(1, 1, 1) == ["miss", "hit", "hit"]
    assert other.cache.purge(everything=True) == 1
    time.sleep(1.05)
    assert one.ask(1) == ["miss"]


def test_an_expired_entry_makes_room_for_the_next_also_in_memory(
    server: Server, caller_on: Callable[..., Caller]
) -> None:
    one, other = (caller_on(server.url, default_ttl_days=2 / 86_400) for _ in range(2))
    assert one.ask(1) == ["miss"]
    assert [one.ask(1), other.ask(1)] == [["hit"], ["hit"]]
    time.sleep(2.1)
    # Redis has removed it; no generation tells that its place is taken by another.
    assert one.ask(1) == ["miss"]
    assert other.ask(1) == ["hit"]


def test_what_may_be_served_stale_is_kept_for_as_long(
    server: Server, caller_on: Callable[..., Caller], upstream: FakeUpstream
) -> None:
    caller = caller_on(server.url, default_ttl_days=0.2 / 86_400, stale_while_revalidate_s=60)
    assert caller.ask(1) == ["miss"]
    time.sleep(0.3)
    with httpx.Client(trust_env=False) as client, wrap(client, caller.cache):
        reply = client.post(upstream.url + CHAT, json={**ASK, "seed": 1})
        assert reply.extensions["llm_cache"].status == "stale"
        # Its renewal goes through this client, which must not be closed under it.
        upstream.wait_until(lambda up: up.count() == 2 and not up.in_flight)
        time.sleep(0.1)
