"""A nursery of processes that call through a cache with all their might, and are killed. Run by `test_crash`.

    python -m tests.stress.crash_load DATABASE FOLDER

Reads `ROUND UPSTREAM` lines and answers each with the pid of a child that has begun. A child is forked, since starting
an interpreter takes longer than a round, before anything of the cache is in use. What it has received whole it writes
down in FOLDER/ROUND, a line `key digest` each; a line outlives its writer from the moment it is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable

import httpx

from llm_cache import LLMCache, wrap

PROVIDER = ("openai", "gpt-4o", "/v1/chat/completions", {})
Note = Callable[[str, str], None]


def text_of(key: str) -> str:
    """What the answer to that key is: of any size from a word to several pages of SQLite, the same each time."""
    chance = random.Random(key)
    return f"{key}:" + chance.randbytes(chance.choice([10, 500, 3000, 20_000])).hex()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def stuck(turn: int) -> str:
    """The key that a child is fetching, without end, when it is killed; the next one asks for it first."""
    return f"stuck {turn}"


def plain(cache: LLMCache, turn: int, note: Note) -> None:
    for number in range(1_000_000):
        key = f"plain {turn} {number}"
        note(key, cache.get_or_set(key, lambda key=key: text_of(key), *PROVIDER))
        # And something that others ask for at the same time, and have asked for before.
        key = f"shared {number % 50}"
        note(key, cache.get_or_set(key, lambda key=key: text_of(key), *PROVIDER))


def streamed(cache: LLMCache, turn: int, note: Note) -> None:
    for number in range(1_000_000):
        key = f"streamed {turn} {number}"
        text = text_of(key)
        pieces = [text[at : at + 1000] for at in range(0, len(text), 1000)]
        note(key, "".join(cache.get_or_set(key, lambda pieces=pieces: iter(pieces), *PROVIDER, stream=True)))


def in_tasks(cache: LLMCache, turn: int, note: Note) -> None:
    async def one(number: int) -> None:
        key = f"task {turn} {number}"
        note(key, await cache.aget_or_set(key, lambda: text_of(key), *PROVIDER))

    async def many() -> None:
        for number in range(0, 1_000_000, 5):
            await asyncio.gather(*(one(number + each) for each in range(5)))

    asyncio.run(many())


def through_http(cache: LLMCache, turn: int, note: Note, url: str) -> None:
    with httpx.Client(trust_env=False) as client, wrap(client, cache):
        for number in range(1_000_000):
            ask = {"model": "gpt-4", "messages": [{"role": "user", "content": f"{turn} {number}"}], "stream": True}
            with client.stream("POST", f"{url}/v1/chat/completions", json=ask) as reply:
                note(f"http {json.dumps(ask)}", reply.read().decode())


def child(database: str, folder: str, turn: int, url: str) -> None:
    journal = os.open(f"{folder}/{turn}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(key: str, text: str) -> None:
        os.write(journal, f"{key}\t{digest(text)}\n".encode())

    cache = LLMCache(database_url=database, max_size_mb=10_000, memory_mb=1)
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
