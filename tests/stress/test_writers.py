"""Many writers on one file: processes, threads and tasks at once. Nobody meets a lock, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from llm_cache import LLMCache

PROGRAM = """
import asyncio, json, sys, threading
from llm_cache import LLMCache

place, number, threads, tasks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
problems = []

def keep(cache, key):
    value = cache.get_or_set(key, lambda: {"key": key}, "openai", "gpt-4", "/v1/chat/completions", {"key": key})
    if value != {"key": key}:
        problems.append(key)

with LLMCache(database_url=place, read_timeout_ms=60_000, write_timeout_ms=60_000) as cache:
    sys.stdin.readline()
    running = [threading.Thread(target=keep, args=(cache, f"{number}-t{each}")) for each in range(threads)]
    for thread in running:
        thread.start()

    async def work():
        async def one(key):
            value = await cache.aget_or_set(
                key, lambda: {"key": key}, "openai", "gpt-4", "/v1/chat/completions", {"key": key}
            )
            if value != {"key": key}:
                problems.append(key)

        await asyncio.gather(*(one(f"{number}-a{each}") for each in range(tasks)))

    asyncio.run(work())
    for thread in running:
        thread.join()
    failures = cache.stats().reasons.get("fail", {})
print(json.dumps({"problems": problems, "failures": failures}))
"""


@pytest.mark.parametrize(
    ("processes", "threads", "tasks"),
    [(3, 10, 10), pytest.param(8, 63, 63, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
    ids=["short", "a thousand"],
)
def test_nobody_meets_a_lock_and_nothing_is_lost(database, processes, threads, tasks):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, database, str(number), str(threads), str(tasks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for number in range(processes)
    ]
    # All are there before the first one writes.
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        out, log = process.communicate(timeout=500)
        assert log == ""
        assert json.loads(out) == {"problems": [], "failures": {}}
    with LLMCache(database_url=database) as cache:
        kept = {entry.response["key"] for entry in cache.entries()}
        assert cache.check() == []
    wanted = {f"{number}-t{each}" for number in range(processes) for each in range(threads)}
    wanted |= {f"{number}-a{each}" for number in range(processes) for each in range(tasks)}
    assert kept == wanted
    assert len(kept) == processes * (threads + tasks)
