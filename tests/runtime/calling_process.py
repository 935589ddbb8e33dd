"""A process of the tests of shared calls: asks the same at once in many threads or tasks, and says how that went.

python calling_process.py DATABASE_URL UPSTREAM_URL HOW_MANY SECONDS_OF_A_LEASE [async]
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import threading

import httpx

from llm_cache import LLMCache, wrap
from llm_cache.stores import base

ASK = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}]}


def in_threads(cache: LLMCache, url: str, count: int) -> list[str]:
    ready = threading.Barrier(count)
    said: list[str] = []

    def work() -> None:
        with httpx.Client(trust_env=False, timeout=60) as client, wrap(client, cache):
            ready.wait()
            reply = client.post(url, json=ASK)
            said.append(f"{reply.extensions['llm_cache'].status} {reply.json()['choices'][0]['message']['content']}")

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


async def in_tasks(cache: LLMCache, url: str, count: int) -> list[str]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        with wrap(client, cache):
            replies = await asyncio.gather(*(client.post(url, json=ASK) for _ in range(count)))
            return [
                f"{reply.extensions['llm_cache'].status} {reply.json()['choices'][0]['message']['content']}"
                for reply in replies
            ]


def main() -> None:
    database, url, count, lease_s = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    base.LEASE_S = lease_s
    with LLMCache(database_url=database, read_timeout_ms=5000, write_timeout_ms=20_000) as cache:
        print("ready", flush=True)
        sys.stdin.readline()
        said = asyncio.run(in_tasks(cache, url, count)) if "async" in sys.argv else in_threads(cache, url, count)
    print(json.dumps(collections.Counter(said)), flush=True)


if __name__ == "__main__":
    main()
