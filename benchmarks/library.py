"""A hit of `get_or_set` on an SQLite file, beside the same value as JSON text in `diskcache`."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from functools import partial

import diskcache

from benchmarks.measure import PRICES_LOADED_S, Result, alternately, versus
from llm_cache import LLMCache

TEXT = "The quick brown fox jumps over the lazy dog, and then it sits down to think about language models. " * 7
REPLY = {
    "id": "chatcmpl-9zQm3Xb7Yk2Lr8Tn5Vw1Pd6Sf",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 150, "total_tokens": 162},
}
REQUEST = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about foxes."}]}


def run(*, quick: bool) -> list[Result]:
    """A hit with the memory tier and one without: about 1 KB of JSON behind an explicit key."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        peer = stack.enter_context(diskcache.Cache(f"{folder}/peer"))
        peer["key"] = json.dumps(REPLY)
        kept = stack.enter_context(LLMCache(database_url=f"{folder}/kept.db"))
        read = stack.enter_context(LLMCache(database_url=f"{folder}/read.db", memory_mb=0))

        def theirs() -> object:
            return json.loads(peer.get("key"))

        def asked(cache: LLMCache) -> object:
            return cache.get_or_set("key", lambda: REPLY, "openai", "gpt-4o-mini", "/v1/chat/completions", REQUEST)

        jobs = {"kept": partial(asked, kept), "read": partial(asked, read), "theirs": theirs}
        assert jobs["kept"]() == jobs["read"]() == theirs()
        time.sleep(PRICES_LOADED_S)
        timings = alternately(jobs, rounds=3 if quick else 15, calls=2000)
    what, beside = "get_or_set hit, SQLite, 1 KB", "json.loads(diskcache.get(…))"
    return [
        versus(f"{what}, in memory", beside, timings["kept"], timings["theirs"], ratio=0.5),
        versus(f"{what}, memory_mb=0", beside, timings["read"], timings["theirs"], ratio=1),
    ]
