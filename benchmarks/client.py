"""Hits of a wrapped OpenAI client, both ways, beside the same client on a transport that answers from memory."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import openai

from benchmarks.library import REPLY
from benchmarks.measure import PRICES_LOADED_S, Result, alternately, versus
from llm_cache import LLMCache, wrap_openai

if sys.version_info >= (3, 11):
    import httpx2 as httpx
else:
    import httpx

MESSAGES = [{"role": "user", "content": "Tell me about foxes."}]
BODY = json.dumps(REPLY).encode()


class Null(httpx.BaseTransport):
    """Answers at once: what the SDK itself costs."""

    def handle_request(self, request: Any) -> Any:
        """The same reply to every request."""
        headers = [("content-type", "application/json"), ("x-request-id", "req_1")]
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(BODY))


def _client() -> Any:
    return openai.OpenAI(
        base_url="https://api.openai.com/v1", api_key="sk-bench", http_client=httpx.Client(transport=Null())
    )


def run(*, quick: bool) -> list[Result]:
    """Two results: `chat.completions.create` with a reply of about 1 KB; a copy of a client has no short way."""
    with tempfile.TemporaryDirectory() as folder, LLMCache(database_url=str(Path(folder) / "cache.db")) as cache:
        bare, wrapped = _client(), _client()

        def ask(client: Any) -> object:
            return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

        with wrap_openai(wrapped, cache):
            copy, bare_copy = wrapped.with_options(max_retries=2), bare.with_options(max_retries=2)
            assert ask(wrapped) == ask(bare) == ask(copy)
            time.sleep(PRICES_LOADED_S)
            jobs = {"short": wrapped, "long": copy, "theirs": bare, "theirs too": bare_copy}
            timings = alternately(
                {name: partial(ask, client) for name, client in jobs.items()}, rounds=3 if quick else 10, calls=200
            )
            assert cache.stats().misses == 1
    name, peer = "wrapped OpenAI client, hit", "the client on a null transport"
    return [
        versus(name, peer, timings["short"], timings["theirs"], ratio=0.2),
        versus(f"{name}, long way", peer, timings["long"], timings["theirs too"], ratio=1.05),
    ]
