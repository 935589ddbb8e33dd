"""A stream of Gemini's that is one JSON array is a stream: it comes in pieces, is kept as such, and replays in them."""

from __future__ import annotations

import threading
from dataclasses import replace

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.testing import FakeUpstream, google_content, google_stream
from tests.proxy.running import NO_PROXY, running

PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
ASK = {"contents": [{"parts": [{"text": "hi"}]}]}
KEY = {"x-goog-api-key": "k"}
WORDS = ["a", "b", "c"]


def pieces(client: httpx.Client, url: str, gate: threading.Event | None = None) -> list[bytes]:
    """The pieces as they come; the first of them before the gate opens."""
    with client.stream("POST", url + PATH, json=ASK, headers=KEY) as answer:
        found = []
        for piece in answer.iter_raw():
            found.append(piece)
            if gate is not None:
                gate.set()
        return found


def test_through_the_library(upstream: FakeUpstream, database: str) -> None:
    gate = threading.Event()
    upstream.reply(PATH, replace(google_stream(WORDS, array=True), gates={1: gate}))
    with LLMCache(database_url=database) as cache, httpx.Client(**NO_PROXY) as client, wrap(client, cache):
        first, second = pieces(client, upstream.url, gate), pieces(client, upstream.url)
        assert first == second
        assert len(first) >= 2
        (entry,) = cache.entries()
        assert entry.stream
        assert entry.text == "abc"
        assert len(entry.response) == len(WORDS)
    assert upstream.count() == 1


@pytest.mark.parametrize("pace", ["instant", "recorded"])
def test_through_the_proxy(pace: str, upstream: FakeUpstream, database: str) -> None:
    gate = threading.Event()
    upstream.reply(PATH, replace(google_stream(WORDS, array=True), gates={1: gate}))
    names = {"google": upstream.url}
    with (
        running(None, database_url=database, upstreams=names, replay_pace=pace) as proxy,
        httpx.Client(**NO_PROXY) as client,
    ):
        first, second = pieces(client, proxy.url, gate), pieces(client, proxy.url)
        assert b"".join(first) == b"".join(second)
        assert len(first) >= 2
        if pace == "recorded":
            assert len(second) >= 2
    assert upstream.count() == 1


def test_an_object_in_its_place_is_no_stream(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(PATH, google_content("abc"))
    with LLMCache(database_url=database) as cache, httpx.Client(**NO_PROXY) as client, wrap(client, cache):
        for _ in range(2):
            assert client.post(upstream.url + PATH, json=ASK, headers=KEY).json()["candidates"]
        (entry,) = cache.entries()
        assert not entry.stream
    assert upstream.count() == 1
