"""What a hit of a wrapped SDK's client may add to what the SDK takes, in instructions of Python's virtual machine."""

from __future__ import annotations

import json

import pytest

from llm_cache import wrap
from tests.instructions import settled

from .short_ways import NEEDED, ask

openai = pytest.importorskip("openai")
pytestmark = NEEDED

BODY = json.dumps({
    "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}).encode()  # fmt: skip


def made():
    library = pytest.importorskip(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])

    class Null(library.BaseTransport):
        def handle_request(self, request):
            headers = [("content-type", "application/json"), ("x-request-id", "req_1")]
            return library.Response(200, headers=headers, stream=library.ByteStream(BODY))

    return openai.OpenAI(
        base_url="https://api.openai.com/v1", api_key="sk", http_client=library.Client(transport=Null())
    )


def test_the_long_way_adds_a_twentieth_to_the_sdk_and_the_short_way_is_a_twentieth_of_it(cache):
    bare, client = made(), made()
    with wrap(client, cache):
        without = settled(lambda: ask(bare.with_options(max_retries=2)))
        assert settled(lambda: ask(client.with_options(max_retries=2))) < 1.05 * without
        assert settled(lambda: ask(client)) < 0.05 * without
    assert cache.stats().misses == 1
