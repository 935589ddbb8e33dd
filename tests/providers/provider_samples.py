"""What the provider tests share: recorded exchanges and ways to read a reply. It must not hold tests."""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections.abc import Iterable

import pytest

from llm_cache.core.eventstream import FrameSplitter
from llm_cache.core.model import Endpoint, Head, Reading, Request, Step
from llm_cache.providers.registry import recognise
from llm_cache.testing.traffic import Exchange, load_traffic

SSE = Head(200, (("content-type", "text/event-stream; charset=utf-8"),))
JSON = Head(200, (("content-type", "application/json"),))

try:
    TRAFFIC = load_traffic()
except FileNotFoundError:
    TRAFFIC = ()


def request_of(exchange: Exchange) -> Request:
    local = exchange.host.startswith(("localhost", "127."))
    url = f"{'http' if local else 'https'}://{exchange.host}{exchange.path}"
    return Request("POST", url, exchange.request_headers, exchange.request)


OURS = [exchange for exchange in TRAFFIC if recognise(request_of(exchange), json.loads(exchange.request)) is not None]
"""Those of the endpoints that this version reads; a test says which they are not."""
needs_traffic = pytest.mark.skipif(not TRAFFIC, reason="there is no recorded traffic here (LLMCACHE_TEST_TRAFFIC)")


def each(exchanges: Iterable[Exchange]):
    """A test parameter for every exchange."""
    return pytest.mark.parametrize("exchange", [pytest.param(item, id=item.name) for item in exchanges])


def endpoint_of(exchange: Exchange) -> Endpoint:
    endpoint = recognise(request_of(exchange), json.loads(exchange.request))
    assert endpoint is not None
    return endpoint


def head_of(exchange: Exchange) -> Head:
    return Head(exchange.status, exchange.response_headers)


def asking(path: str, body: object, **headers: str) -> Endpoint:
    """The endpoint of a made-up request to a made-up server."""
    request = Request("POST", f"http://llm.test{path}", tuple((k.replace("_", "-"), v) for k, v in headers.items()))
    endpoint = recognise(request, body, kind="acme")
    assert endpoint is not None
    return endpoint


def read(endpoint: Endpoint, head: Head, *chunks: bytes) -> tuple[list[Step], Reading]:
    """What the reader says of each chunk, and of the whole."""
    reader = endpoint.reader(head)
    return [reader.feed(chunk) for chunk in chunks], reader.finish()


def whole(endpoint: Endpoint, head: Head, body: bytes | str | object) -> Reading:
    """The reading of a body fed at once."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return read(endpoint, head, body)[1]


def events(*data: object, done: bool = False) -> bytes:
    """A stream of these events, named by their type where they have one."""
    parts = []
    for item in data:
        name = f"event: {item['type']}\n" if isinstance(item, dict) and "type" in item else ""
        parts.append(f"{name}data: {json.dumps(item)}\n\n")
    return "".join([*parts, "data: [DONE]\n\n" if done else ""]).encode()


def cut(body: bytes, seed: int) -> list[bytes]:
    """The body in pieces of random sizes."""
    chance = random.Random(seed)
    edges = sorted({0, len(body), *(chance.randrange(len(body)) for _ in range(len(body) // 40 + 3))})
    return [body[a:b] for a, b in itertools.pairwise(edges)]


LINES = ("application/x-ndjson", "application/stream+json")


def objects(exchange: Exchange) -> list[dict]:
    """The JSON of a recording, by the plainest means."""
    kind = exchange.content_type or ""
    if kind.startswith("application/vnd.amazon.eventstream"):
        found = [json.loads(event.data) for event in FrameSplitter().feed(exchange.response)]
        return [json.loads(base64.b64decode(item["bytes"])) if "bytes" in item else item for item in found]
    text = exchange.response.decode()
    if kind.startswith(LINES):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if not exchange.stream:
        return [json.loads(text)]
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]
