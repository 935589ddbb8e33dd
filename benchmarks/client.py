"""A hit through a wrapped OpenAI client, beside the same client on a transport that answers from memory."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import openai

from benchmarks.library import REPLY
from benchmarks.measure import Result, alternately, versus
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
    """One result: `chat.completions.create` with a reply of about 1 KB."""
    with tempfile.TemporaryDirectory() as folder, LLMCache(database_url=str(Path(folder) / "cache.db")) as cache:
        bare, wrapped = _client(), _client()

        def ask(client: Any) -> object:
            return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

        with wrap_openai(wrapped, cache):
            assert ask(wrapped) == ask(bare)
            timings = alternately(
                {"ours": lambda: ask(wrapped), "theirs": lambda: ask(bare)}, rounds=3 if quick else 10, calls=200
            )
            assert cache.stats().misses == 1
    return [
        versus(
            "wrapped OpenAI client, hit", "the client on a null transport", timings["ours"], timings["theirs"],
            added_us=150,
        )
    ]  # fmt: skip
