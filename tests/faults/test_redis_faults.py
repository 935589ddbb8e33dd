"""Promise 3 on Redis: whatever happens to the server or to the line, calls have their answers in time, and it is
told once and counted; what administrators ask for is an error of ours, in time too."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_cache import LLMCache
from llm_cache.errors import StoreError
from llm_cache.runtime.writer import writer
from llm_cache.stores.base import EVERYTHING, Filter
from llm_cache.stores.redis import RedisStore
from llm_cache.stores.redis_rows import shard_of
from llm_cache.testing.contract import a_row
from tests.faults.redis_faults import FAULTS, Cable, Fault, paused, paused_for_a_while, until
from tests.proxy.running import running
from tests.redis_servers import Server
from tests.runtime.staging import PATIENCE_S, settled

READ_MS, WRITE_MS = 200, 300
KEPT = range(6)
NEW = range(100, 104)
Call = Callable[[LLMCache, int], str]
HARMLESS = {"scripts_forgotten"}
READABLE = {
    "writes_paused",
    "out_of_memory",
    "read_only_replica",
    "too_few_replicas",
    "disk_full",
    "scripts_forbidden",
    *HARMLESS,
}
"""Those under which what is stored is still a hit."""
WORDS = {
    "killed": "cannot be reached",
    "paused": "did not answer within",
    "writes_paused": "within 0.3 s",
    "out_of_memory": "is full and evicts nothing",
    "read_only_replica": "is a replica",
    "replica_without_its_master": "has lost its master",
    "too_few_replicas": "too few replicas",
    "disk_full": "cannot save to its disk",
    "wrong_password": "wants a user and a password",
    "permission_lost": "does not let this user",
    "scripts_forbidden": "does not let this user",
    "busy_script": "is busy with a script",
}
"""What the log says, so that whoever reads it at night knows where to look."""


def text(number: int) -> str:
    return f"answer {number} " + "x" * 3000


def plain(cache: LLMCache, number: int) -> str:
    return cache.get_or_set(f"key {number}", lambda: text(number), "openai", "m", "/v1/x", {"n": number})


def in_a_task(cache: LLMCache, number: int) -> str:
    async def fetch() -> str:
        return text(number)

    return asyncio.run(cache.aget_or_set(f"key {number}", fetch, "openai", "m", "/v1/x", {"n": number}))


QUICK = {
    "killed",
    "paused",
    "writes_paused",
    "out_of_memory",
    "read_only_replica",
    "wrong_password",
    "reset_in_a_reply",
}
"""What the default run goes through; all of them, on an event loop too, are in the slow tests."""
BOTH = pytest.mark.parametrize("call", [plain, pytest.param(in_a_task, marks=pytest.mark.slow)], ids=["sync", "async"])
EVERY_FAULT = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FAULTS]
)


@contextlib.contextmanager
def filled(cable: Cable, **settings: Any) -> Iterator[LLMCache]:
    given = {"memory_mb": 0, "enable_compression": False, "read_timeout_ms": READ_MS, "write_timeout_ms": WRITE_MS}
    with LLMCache(database_url=cable.url, **{**given, **settings}) as cache:
        for number in KEPT:
            assert plain(cache, number) == text(number)
        settled(lambda: all(cache.get(f"key {number}") is not None for number in KEPT))
        settled(cache.engine.ledger.flush)
        yield cache


def patience(name: str) -> dict[str, int]:
    """Short deadlines where something hangs; where it does not, a busy machine must not look as if it did."""
    long = 5000
    return {
        "read_timeout_ms": long if name in READABLE else READ_MS,
        "write_timeout_ms": long if name in HARMLESS else WRITE_MS,
    }


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [record for record in records if record.exc_info], "a traceback"
    return [record.getMessage() for record in records]


def recovered(cache: LLMCache, call: Call = plain) -> int:
    """Call until that is kept, as one would expect; how many calls that took."""
    attempts = iter(range(1000, 300_000))

    def again() -> bool:
        number = next(attempts)
        assert call(cache, number) == text(number)
        return cache.get(f"key {number}") is not None and cache.engine.access.healthy

    settled(again)
    return next(attempts) - 1000


def weathered(cache: LLMCache, call: Call, fault: contextlib.AbstractContextManager[None]) -> tuple[int, int, float]:
    """Go through it, and come out working: how many failures were counted, how many hits came, how long it took."""
    calls = len(KEPT)
    hits_before = cache.stats().hits
    with fault:
        began = time.monotonic()
        for number in [*KEPT, *NEW]:
            assert call(cache, number) == text(number)
            calls += 1
        took_s = time.monotonic() - began
        # What is done behind the calls fails as quietly.
        cache.engine.ledger.flush()
        assert writer().drain(PATIENCE_S)
    calls += recovered(cache, call)
    settled(cache.engine.ledger.flush)
    stats = cache.stats()
    assert stats.hits + stats.misses in {calls, calls - len(KEPT)}
    return stats.total.store_failures, stats.hits - hits_before, took_s


@BOTH
@EVERY_FAULT
def test_calls_go_on(server: Server, cable: Cable, call: Call, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with filled(cable, **patience(name)) as cache:
        failures, hits, took_s = weathered(cache, call, FAULTS[name](server, cable))
    # A breaker stands between them and the deadlines of each: of connecting, reading, writing and the lease.
    assert took_s < 15
    lines = told(caplog)
    if name in HARMLESS:
        assert (failures, lines) == (0, [])
    elif name != "emptied":
        assert failures >= len(NEW)
        assert lines
        assert len(lines) <= 6, lines
        assert "4711" not in caplog.text
        assert any(WORDS.get(name, "") in line for line in lines), lines
    if name in READABLE:
        assert hits == len(KEPT)


@pytest.mark.slow
@BOTH
def test_a_pause_of_five_seconds(server: Server, cable: Cable, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    with filled(cable) as cache:
        failures, _, _ = weathered(cache, call, paused_for_a_while(server, cable))
    assert failures >= len(NEW)
    assert "did not answer within" in told(caplog)[0]


# --- what is asked of the store alone -------------------------------------------------------------------

KEY = a_row(1).key
OPERATIONS: dict[str, Callable[[RedisStore], Any]] = {
    "get": lambda store: store.get(KEY),
    "generation": lambda store: store._read_generation(),
    "put": lambda store: store.put(a_row(3)),
    "replace": lambda store: store.put(a_row(1)),
    "scan": lambda store: [row.key for row in store.scan()],
    "scan some": lambda store: [row.key for row in store.scan(Filter(provider="openai"), 1)],
    "remove": lambda store: store.remove(Filter(key_prefix=a_row(2).key.hex())),
    "remove all": lambda store: store.remove(Filter(provider="nobody")),
    "touch": lambda store: store.touch({KEY: (1, 5.0)}),
    "price": lambda store: store.price([(KEY, a_row(1).created_at, 7)]),
    "summary": lambda store: store.summary(),
    "summary of some": lambda store: store.summary(Filter(provider="openai")),
    "add": lambda store: store.add({("a",): {"n": 1}}),
    "sums": lambda store: store.sums(),
    "jot": lambda store: store.jot("calls", [b"x"], 5),
    "forget a journal": lambda store: store.jot("calls", [], 0),
    "jotted": lambda store: store.jotted("calls", 5),
    "secret": lambda store: store.secret("salt"),
    "kept": lambda store: store.kept("ring"),
    "keep": lambda store: store.keep("ring", b"x", b"y"),
    "check": lambda store: store.check(),
    "set aside": lambda store: store.set_aside(0.0),
    "compact": lambda store: store.compact(),
    "shrink": lambda store: store.shrink(1, 0.0),
    "take a lease": lambda store: store.leases.take(KEY, 0.0),
    "ask for a lease": lambda store: store.leases.held(KEY, 0.0),
    "renew a lease": lambda store: store.leases.renew([KEY], 0.0),
    "release a lease": lambda store: store.leases.release([KEY]),
}


@EVERY_FAULT
def test_every_operation_works_or_says_why_not(server: Server, cable: Cable, name: str) -> None:
    fault: Fault = FAULTS[name]
    store = RedisStore(cable.url, read_timeout_ms=100, write_timeout_ms=150)
    try:
        for number in range(1, 3):
            store.put(a_row(number))
        said = {}
        with fault(server, cable):
            for operation, does in OPERATIONS.items():
                began = time.monotonic()
                try:
                    does(store)
                except StoreError as error:
                    said[operation] = str(error)
                # The deadlines of a round trip or two, and what a busy machine adds.
                assert time.monotonic() - began < 10, operation
        if name not in HARMLESS | {"emptied"}:
            assert said, "nothing has failed"
        assert all(f"redis://127.0.0.1:{cable.port}/0" in sentence for sentence in said.values())
        assert all("\n" not in sentence for sentence in said.values())
        until(lambda: _reads(store))
        store.close()
        store = RedisStore(cable.url, read_timeout_ms=5000, write_timeout_ms=5000)
        # Nothing is left half done: all that there is can be read, counted and removed.
        assert store.check() == []
        assert store.summary().entries == len(list(store.scan())) == store.remove(EVERYTHING)
        assert store.summary().entries == 0
    finally:
        store.close()


def _reads(store: RedisStore) -> bool:
    try:
        store.sums()
        store.get(KEY)
    except StoreError:
        return False
    return True


# --- who waits for it ------------------------------------------------------------------------------------


def test_a_server_that_hangs_holds_up_no_other_store(server: Server, cable: Cable, tmp_path: Path) -> None:
    """The account and what is kept behind the calls are one thread's work, for all stores of a process."""
    with filled(cable, write_timeout_ms=1000) as cache, LLMCache(database_url=str(tmp_path / "cache.db")) as other:
        with paused(server, cable):
            for number in range(300, 500):
                assert plain(cache, number) == text(number)
            # Whatever still waits there is given up after a few deadlines, and not one for each.
            assert writer().drain(10)
            assert plain(other, 1) == text(1)
            assert other.get("key 1") is not None
            failed = cache.engine.ledger.stats(lenient=True).reasons["fail"]
            assert failed["put"] >= 200
        recovered(cache)


def test_a_lease_that_timed_out_is_given_back(server: Server, cable: Cable) -> None:
    """The server takes it when it comes to, and nobody knows; others would wait for its end."""
    with filled(cable) as cache:
        leases = cache.engine.access.leases
        with paused(server, cable):
            assert leases.take("ab" * 32)
            assert writer().drain(PATIENCE_S)
        until(lambda: bool(server.client().exists(shard_of(b"\xab").leases + "ab" * 32)), 5)
        settled(lambda: list(server.client().scan_iter(match="*:lease:*", count=10_000)) == [])


def test_who_watches_learns_that_it_takes_writes_again(server: Server, cable: Cable) -> None:
    """A proxy that is not ready gets no calls, of which one would show that it is."""
    with filled(cable) as cache, running(None, database_url=cable.url, read_timeout_ms=2000) as proxy:
        access = proxy.engine.access
        assert proxy.get("/readyz").status_code == 200
        with FAULTS["out_of_memory"](server, cable):
            access.save(replace(cache.get("key 1"), key="ab" * 32))
            assert proxy.get("/readyz").status_code == 503
        settled(lambda: proxy.get("/readyz").status_code == 200)
        # And nothing is left of how that was found out.
        settled(lambda: list(server.client().scan_iter(match="*:lease:*", count=10_000)) == [])


@pytest.mark.parametrize("known", [True, False])
def test_closing_waits_for_nobody_who_hangs(server: Server, cable: Cable, known: bool) -> None:
    with filled(cable, write_timeout_ms=3000) as cache:
        plain(cache, 1)
        with paused(server, cable):
            if known:
                plain(cache, 2)
            began = time.monotonic()
            cache.close()
            took_s = time.monotonic() - began
    assert took_s < 3


def test_what_is_shown_waits_for_nobody_who_hangs(server: Server, cable: Cable) -> None:
    with filled(cable, write_timeout_ms=5000) as cache:
        plain(cache, 1)
        with paused(server, cable):
            plain(cache, 2)
            began = time.monotonic()
            stats = cache.engine.ledger.stats(lenient=True)
            took_s = time.monotonic() - began
        assert took_s < 4
        # What was last known, and what has happened here since.
        assert stats.hits + stats.misses == len(KEPT) + 2


@BOTH
def test_a_server_that_stops_while_a_call_is_fetching(server: Server, cable: Cable, call: Call) -> None:
    """Looked up before, and kept after: each finds another server than the other."""
    with filled(cable) as cache:

        def fetch() -> str:
            server.send(signal.SIGSTOP)
            return "fetched"

        try:
            began = time.monotonic()
            found = cache.get_or_set("key 500", fetch, "openai", "m", "/v1/x", {})
            took_s = time.monotonic() - began
        finally:
            server.send(signal.SIGCONT)
        assert found == "fetched"
        assert took_s < 10
        recovered(cache, call)
        settled(cache.engine.ledger.flush)
        assert cache.stats().reasons["fail"]["put"] >= 1
