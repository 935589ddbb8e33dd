"""A Redis that is killed at random moments: what it has confirmed is there when it is back, and whole."""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
import time
from pathlib import Path

import pytest

from llm_cache.core.model import Row
from llm_cache.errors import StoreError
from llm_cache.stores.base import EVERYTHING
from llm_cache.stores.redis import RedisStore
from llm_cache.stores.redis_leases import RedisLeases
from llm_cache.testing.contract import a_row
from tests.redis_servers import Server

WRITERS = 4


def the_row(number: int) -> Row:
    return a_row(number, value=hashlib.sha256(b"%d" % number).digest() * (number % 100), expires_at=4e9)


class Load:
    """Threads that write, replace, count and take leases, until told to stop. `kept` is what was confirmed."""

    def __init__(self, url: str, first: int) -> None:
        self.store = RedisStore(url, read_timeout_ms=1000, write_timeout_ms=1000)
        self.kept: list[int] = []
        self.counted = 0
        self._next = first
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        leases = RedisLeases(self.store._reader, self.store.writer, 0.2)
        while not self._stop.is_set():
            with self._lock:
                number, self._next = self._next, self._next + 1
            with contextlib.suppress(StoreError):
                row = the_row(number)
                leases.take(row.key, 0)
                if number % 5 == 0:
                    self.store.put(row._replace(value=b"before"))
                self.store.put(row)
                with self._lock:
                    self.kept.append(number)
                self.store.touch({row.key: (1, 5.0)})
                self.store.add({("all",): {"n": 1}})
                with self._lock:
                    self.counted += 1

    def stop(self) -> int:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.store.close()
        return self._next


@pytest.mark.parametrize(
    "rounds", [3, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])], ids=["short", "long"]
)
def test_nothing_that_was_confirmed_is_lost_or_damaged(tmp_path: Path, rounds: int) -> None:
    server = Server(tmp_path / "redis", appendonly="yes", appendfsync="always", auto_aof_rewrite_percentage="0")
    dice, number, counted, total = random.Random(4711), 0, 0, 0
    try:
        server.start()
        for turn in range(rounds):
            load = Load(server.url, number)
            time.sleep(dice.uniform(0.02, 0.25))
            server.kill()
            number = load.stop()
            server.start()
            store = RedisStore(server.url, read_timeout_ms=5000, write_timeout_ms=5000)
            lost = [
                each
                for each in load.kept
                if (found := store.get(the_row(each).key)) is None or found.value != the_row(each).value
            ]
            assert lost == [], f"round {turn}"
            total += len(load.kept)
            counted += load.counted
            summed = store.sums().get(("all",), {}).get("n", 0)
            assert summed >= counted
            counted = summed
            # What was written without being confirmed is there as a whole or not at all, and index and entries agree.
            assert store.check() == []
            assert store.summary().entries == len(list(store.scan()))
            time.sleep(0.25)
            assert not list(server.client().scan_iter(match="*:lease:*", count=10_000)), "a lease is stuck"
            if turn % 20 == 19:
                store.remove(EVERYTHING)
            store.close()
    finally:
        server.stop()
    assert total > rounds
