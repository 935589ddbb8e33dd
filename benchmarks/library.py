"""A hit of `get_or_set` on an SQLite file, beside the same value as JSON text in `diskcache`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import diskcache

from benchmarks.measure import Result, alternately, versus
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
    """One result: about 1 KB of JSON behind an explicit key."""
    with tempfile.TemporaryDirectory() as folder:
        with LLMCache(database_url=str(Path(folder) / "cache.db")) as cache, diskcache.Cache(f"{folder}/peer") as peer:
            peer["key"] = json.dumps(REPLY)

            def ours() -> object:
                return cache.get_or_set("key", lambda: REPLY, "openai", "gpt-4o-mini", "/v1/chat/completions", REQUEST)

            def theirs() -> object:
                return json.loads(peer.get("key"))

            assert ours() == theirs()
            timings = alternately({"ours": ours, "theirs": theirs}, rounds=3 if quick else 15, calls=2000)
    return [
        versus(
            "get_or_set hit, SQLite, 1 KB", "json.loads(diskcache.get(…))", timings["ours"], timings["theirs"], ratio=2
        )
    ]
