"""What the tests of export and import share: a cache with entries of every kind. It must not hold tests."""

from __future__ import annotations

import dataclasses
import io
import json
from dataclasses import replace
from decimal import Decimal

import pytest

from llm_cache import LLMCache, cached_call
from llm_cache.core.model import Entry, Frame, Head, Request, Usage
from llm_cache.transfer.exporting import export
from llm_cache.transfer.importing import import_entries, read_entries

NOON = 1_767_268_800.0
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"h\xc3\xa9"}]}'
REPLY = (
    b'{"id":"1","model":"gpt-4o-2024-08-06","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
)
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"\xc3',
    b'\xa9"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
)
"""Cut inside of a character."""


@dataclasses.dataclass
class Point:
    x: int
    y: int


def an_entry(number=1, frames=(REPLY,), body=BODY, **more) -> Entry:
    made = Entry(
        key=f"{number:064x}",
        kind="http",
        provider="openai",
        model="gpt-4o",
        endpoint="/v1/chat/completions",
        namespace="default",
        head=Head(200, (("content-type", "application/json"), ("x-request-id", "req_1"))),
        frames=tuple(Frame(data, 1000 * place) for place, data in enumerate(frames)),
        stream=len(frames) > 1,
        created_at=NOON + number,
        expires_at=NOON + 86_400.123456789 + number,
        asked=Request("POST", "https://api.openai.com/v1/chat/completions", (), body),
        usage=Usage(3, 2, 1),
        cost_usd=Decimal("0.000012345678"),
        latency_ms=812.25,
        answered_model="gpt-4o-2024-08-06",
    )
    return replace(made, **more)


ODD = (
    an_entry(1),
    an_entry(2, STREAM, head=Head(200, (("content-type", "text/event-stream"),))),
    an_entry(3, (json.dumps(json.loads(REPLY), indent=2).encode() + b"\n",), expires_at=None, namespace="tëam"),
    an_entry(4, (b'{"a": 1.0, "a": 2}', b""), body=b'{ "odd" : 1e0 }', cost_usd=None, usage=None),
    an_entry(5, (b"\xff\xfe\x00binary",), body=b"\x00\xff", answered_model=None),
    an_entry(6, asked=None, provider="", model="evil\x1b[31m\u202e<script>", endpoint="/v1/\u2028x"),
    an_entry(7, (b'{"n":123456789012345678901234567890,"f":1e400}',), body=b'{"s":"\\ud800 lone"}'),
    an_entry(8, (json.dumps({"\u00e9": "\U0001f99c"}).encode(),), body=b'"just text"'),
    an_entry(9, (b"[" * 5000 + b"]" * 5000,), body=b""),
    an_entry(10, (b"x" * 1_000_000,), created_at=NOON),
    an_entry(11, (b"",), created_at=NOON),
)


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made


def fill(cache: LLMCache) -> None:
    """HTTP replies of every shape, values, and a function's results."""
    store, codec = cache.engine.store, cache.engine.codec
    for entry in ODD:
        store.put(codec.encode(entry))
    store.touch({bytes.fromhex(entry.key): (number, NOON + 50.5) for number, entry in enumerate(ODD[:4])})
    cache.set("plain", {"text": "value"}, "acme", "m", "/x", {"q": 1})
    cache.set("point", Point(1, 2), "acme", "m", "/x", {"q": 2})
    cache.set("bytes", (b"\xff", 1.5, {3, 4}), "acme", "m", "/x", {"q": 3})
    list(cache.get_or_set("stream", lambda: iter(["a", {"b": 1}]), "acme", "m", "/x", {"q": 4}, stream=True))

    @cached_call(cache=cache, provider="acme", model="m")
    def shout(text):
        return Point(len(text), 0)

    shout("hello")


@pytest.fixture
def filled(cache):
    fill(cache)
    return cache


def exported(cache, **more) -> bytes:
    file = io.BytesIO()
    export(cache.engine, file, **more)
    return file.getvalue()


def imported(cache, path, **more):
    return import_entries(cache.engine, read_entries(str(path), 16 * 1024 * 1024), **more)
