"""Leases: one process a key, until it gives it back, ends, or does not renew it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_cache.errors import StoreError
from llm_cache.stores import base, holders
from llm_cache.stores.base import Backend
from llm_cache.stores.redis import RedisStore
from llm_cache.stores.redis_leases import RedisLeases
from llm_cache.stores.registry import open_store
from llm_cache.stores.sqlite import SqliteStore
from tests.redis_servers import Server

KEY, OTHER = bytes(range(32)), bytes(32)


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "cache.db")
    server: Server = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
def store(url: str) -> Iterator[Backend]:
    store = open_store(url, read_timeout_ms=5000, write_timeout_ms=5000)
    yield store
    store.close()


@pytest.fixture
def elsewhere(url: str) -> Iterator[Callable[[str], str]]:
    """Another process that does as it is told and says what came of it."""
    program = (
        "import sys, time; from llm_cache.stores.registry import open_store\n"
        f"store = open_store({url!r}, read_timeout_ms=5000, write_timeout_ms=5000); leases = store.leases\n"
        "for line in sys.stdin: print(eval(line), flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def tell(line: str) -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            if line == "die":
                process.send_signal(signal.SIGKILL)
                return ""
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield tell
        process.kill()


def test_one_process_holds_a_key_until_it_gives_it_back(store: Backend, elsewhere: Callable[[str], str]) -> None:
    leases, now = store.leases, time.time()
    assert leases is not None
    assert leases.take(KEY, now)
    assert leases.take(KEY, now)
    assert not leases.held(KEY, now)
    assert elsewhere(f"leases.held({KEY!r}, {now})") == "True"
    assert elsewhere(f"leases.take({KEY!r}, {now})") == "False"
    # What is not one's own cannot be given back.
    elsewhere(f"leases.release([{KEY!r}])")
    assert elsewhere(f"leases.take({KEY!r}, {now})") == "False"
    assert elsewhere(f"leases.take({OTHER!r}, {now})") == "True"
    assert leases.held(OTHER, now)
    leases.release([KEY])
    assert elsewhere(f"leases.take({KEY!r}, {now})") == "True"
    assert leases.held(KEY, now)
    assert not leases.take(KEY, now)


def test_in_sqlite_the_lease_of_a_process_that_was_killed_is_free_at_once(
    tmp_path: Path, elsewhere: Callable[[str], str], url: str
) -> None:
    if url.startswith("redis"):
        pytest.skip("Redis cannot tell who lives")
    leases, now = SqliteStore(url).leases, time.time()
    assert elsewhere(f"leases.take({KEY!r}, {now})") == "True"
    assert not leases.take(KEY, now)
    elsewhere("die")
    deadline = time.monotonic() + 10
    while leases.held(KEY, now):
        # Not reaped: it is a zombie, and no holder any more.
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert leases.take(KEY, now)


def test_in_sqlite_a_lease_of_an_unknown_machine_ends_with_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = SqliteStore(tmp_path / "cache.db").leases
    with monkeypatch.context() as patch:
        patch.setattr(holders, "me", lambda: "other/pid:[1] 1 1")
        assert leases.take(KEY, 1000.0)
    assert leases.held(KEY, 1000.0 + base.LEASE_S - 1)
    assert not leases.held(KEY, 1000.0 + base.LEASE_S + 1)
    with monkeypatch.context() as patch:
        patch.setattr(holders, "me", lambda: "other/pid:[1] 1 1")
        leases.renew([KEY], 1000.0 + base.LEASE_S)
    assert leases.held(KEY, 1000.0 + base.LEASE_S + 1)
    # Of a clock that is far ahead.
    assert not leases.held(KEY, 1.0)
    assert leases.take(KEY, 1000.0 + 2 * base.LEASE_S + 1)


def test_in_redis_a_lease_that_is_not_renewed_ends(redis_server: Server) -> None:
    store = RedisStore(redis_server.url)
    one, two = (RedisLeases(store._reader, store.writer, 0.4) for _ in range(2))  # two processes, as far as they know
    assert one.take(KEY, 0)
    for _ in range(4):
        time.sleep(0.15)
        one.renew([KEY, OTHER], 0)
        assert two.held(KEY, 0)
    assert not two.held(OTHER, 0)
    time.sleep(0.5)
    assert two.take(KEY, 0)
    # Whoever comes back late takes nothing away from the new holder.
    one.renew([KEY], 0)
    one.release([KEY])
    assert one.held(KEY, 0)


def test_a_forked_child_is_another_holder(store: Backend) -> None:
    leases, now = store.leases, time.time()
    assert leases is not None
    assert leases.take(KEY, now)
    child = os.fork()
    if not child:
        os._exit(0 if leases.held(KEY, now) and not leases.take(KEY, now) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_store_that_is_closed_has_no_leases_to_give(store: Backend) -> None:
    leases = store.leases
    assert leases is not None
    store.close()
    with pytest.raises(StoreError):
        leases.take(KEY, 1.0)


@pytest.mark.parametrize("text", ["", "nonsense", "a b c", "a b c d"])
def test_a_holder_that_cannot_be_read_is_not_known_to_have_ended(text: str) -> None:
    assert not holders.gone(text)
    assert not holders.gone(holders.me())


def test_a_number_that_has_come_again_is_another_process() -> None:
    place, pid, start = holders.me().split(" ")
    assert holders.gone(f"{place} {pid} {int(start) - 1}")
    assert not holders.gone(f"elsewhere {pid} {int(start) - 1}")
