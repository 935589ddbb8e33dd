"""The nursery of `test_redis_crash`: processes that call through a cache on Redis with all their might, and are killed.

    python -m tests.stress.redis_load DATABASE FOLDER

As `crash_load`, save that the server may die first: what a child receives is written down with a `-` where its cache
has counted that it could not be kept.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from llm_cache import LLMCache, last_call
from llm_cache.clients import engine
from llm_cache.core.events import Event, Stored, StoreFailed
from llm_cache.ledger.ledger import Ledger
from llm_cache.stores import base
from tests.stress.crash_load import PROVIDER, digest, in_tasks, plain, streamed, stuck, text_of, through_http

LEASE_S = 0.5
"""So that a round need not wait half a minute for what its predecessor was fetching."""


class Listening(Ledger):
    """An account that also remembers what could not be kept."""

    failed: set[str] = set()  # noqa: RUF012 - one a process

    def __call__(self, event: Event) -> None:
        if isinstance(event, StoreFailed) and event.operation == "put":
            self.failed.add(event.about.key)
        elif isinstance(event, Stored):
            self.failed.discard(event.about.key)
        super().__call__(event)


def child(database: str, folder: str, turn: int, url: str) -> None:
    journal = os.open(f"{folder}/{turn}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(key: str, text: str) -> None:
        called = last_call()
        kept = called is not None and called.key not in Listening.failed
        os.write(journal, f"{key}\t{digest(text)}\t{'+' if kept else '-'}\n".encode())

    cache = LLMCache(database_url=database, memory_mb=1, read_timeout_ms=1000, write_timeout_ms=2000)
    last = stuck(turn - 1)
    note(last, cache.get_or_set(last, lambda: text_of(last), *PROVIDER))
    jobs: list[tuple[Callable[..., None], tuple[object, ...]]] = [
        (plain, (cache, turn, note)),
        (streamed, (cache, turn, note)),
        (in_tasks, (cache, turn, note)),
        (through_http, (cache, turn, note, url)),
        (lambda: cache.get_or_set(stuck(turn), lambda: time.sleep(60), *PROVIDER), ()),
    ]
    for job, arguments in jobs:
        threading.Thread(target=job, args=arguments, daemon=True).start()
    time.sleep(60)


def main() -> None:
    database, folder = sys.argv[1:]
    base.LEASE_S = LEASE_S
    engine.Ledger = Listening
    for line in sys.stdin:
        turn, url = line.split()
        pid = os.fork()
        if not pid:
            try:
                child(database, folder, int(turn), url)
            finally:
                os._exit(1)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        # The parent of the test kills it; here it is only buried.
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
