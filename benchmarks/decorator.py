"""A hit of `cached_call` on an SQLite file, beside the same function under `diskcache.memoize`."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import diskcache

from benchmarks.library import REPLY
from benchmarks.measure import PRICES_LOADED_S, Result, alternately, versus
from llm_cache import LLMCache, cached_call

TEMPLATE = "Answer in one paragraph: {prompt}"
HISTORY = [
    {"role": "user" if turn % 2 == 0 else "assistant", "content": f"What was said in turn {turn}, at some length."}
    for turn in range(20)
]


class Client:
    """Stands in for an SDK's client: an object that does not count."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply

    def create(self, messages: list[dict[str, str]]) -> Any:
        """The same answer to everything."""
        return self._reply if messages else None


client = Client(REPLY)


def ask(prompt: str, temperature: float = 0.7) -> Any:
    """What people decorate: a template, a client, a call."""
    return client.create([{"role": "user", "content": TEMPLATE.format(prompt=prompt), "temperature": str(temperature)}])


def converse(messages: list[dict[str, str]]) -> Any:
    """The same with a conversation of 20 messages as its argument."""
    return client.create(messages)


def run(*, quick: bool) -> list[Result]:
    """Two results: a prompt, and a conversation as the argument."""
    rounds = 3 if quick else 15
    with tempfile.TemporaryDirectory() as folder:
        with LLMCache(database_url=str(Path(folder) / "cache.db")) as cache, diskcache.Cache(f"{folder}/peer") as peer:
            found = []
            for name, function, argument in (("1 KB", ask, "foxes"), ("20 messages", converse, HISTORY)):
                ours, theirs = cached_call("openai", "gpt-4o-mini", cache=cache)(function), peer.memoize()(function)
                assert ours(argument) == theirs(argument) == ours(argument)
                time.sleep(PRICES_LOADED_S)
                jobs = {"ours": partial(ours, argument), "theirs": partial(theirs, argument)}
                timings = alternately(jobs, rounds=rounds, calls=2000)
                found.append(
                    versus(
                        f"cached_call hit, SQLite, {name}",
                        "diskcache.memoize",
                        timings["ours"],
                        timings["theirs"],
                        ratio=0.5,
                    )
                )
            assert cache.stats().misses == 2
    return found
