"""`install`: one hook for a whole process, that touches calls of models alone and leaves nothing behind."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
import textwrap

import httpx
import pytest
import requests

from llm_cache import CacheMissError, LLMCache, install, last_call, options, uninstall, wrap
from llm_cache.testing import Reply, openai_chat, openai_chat_stream

ASK = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"

needs_httpx2 = pytest.mark.skipif(importlib.util.find_spec("httpx2") is None, reason="httpx2 is not installed")


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    for _ in range(10):
        uninstall()


def classes():
    found = [httpx.Client, httpx.AsyncClient]
    if "httpx2" in sys.modules:
        found += [sys.modules["httpx2"].Client, sys.modules["httpx2"].AsyncClient]
    return {
        **{cls: cls.__dict__["_transport_for_url"] for cls in found},
        requests.Session: requests.Session.__dict__["get_adapter"],
    }


def test_it_covers_clients_made_before_and_after_and_restores_every_class(upstream, cache):
    upstream.reply(CHAT, openai_chat("hello"))
    before, finders = classes(), list(sys.meta_path)
    with httpx.Client(trust_env=False) as early:
        install(cache)
        with httpx.Client(trust_env=False) as late:
            bodies = [client.post(upstream.url + CHAT, json=ASK).content for client in (early, late, early)]
        assert last_call().status == "hit"
        uninstall()
        assert classes() == before
        assert sys.meta_path == finders
        early.post(upstream.url + CHAT, json=ASK)
    assert len(set(bodies)) == 1
    assert upstream.count() == 2


@needs_httpx2
def test_the_libraries_share_entries(upstream, cache):
    import httpx2

    upstream.reply(CHAT, openai_chat("hello"))
    install(cache)
    ask = {"url": upstream.url + CHAT, "json": ASK}

    async def main():
        async with httpx.AsyncClient() as one, httpx2.AsyncClient() as other:
            return [(await one.post(**ask)).content, (await other.post(**ask)).content]

    bodies = [httpx.post(**ask).content, httpx2.post(**ask).content, requests.post(**ask).content, *asyncio.run(main())]
    assert len(set(bodies)) == 1
    assert upstream.count() == 1
    assert cache.stats().hits == 4


@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_what_is_no_call_of_a_model_leaves_no_trace(upstream, cache, library):
    upstream.reply("/submit", Reply(json={"ok": 1}, gzip=True, headers={"set-cookie": "a=b", "x-ratelimit-limit": "3"}))
    upstream.reply("/v1/messages", Reply(json={"sent": True}))
    upstream.reply("/v1/models", Reply(json={"data": []}))
    install(cache)
    post = httpx.post if library == "httpx" else requests.post
    reply = post(upstream.url + "/submit", json={"messages": []})
    assert reply.json() == {"ok": 1}
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["x-ratelimit-limit"] == "3"
    assert reply.cookies["a"] == "b"
    # A chat application's own API, on a path that Anthropic has too.
    assert post(upstream.url + "/v1/messages", json={"to": "bob", "text": "hi"}).json() == {"sent": True}
    get = httpx.get if library == "httpx" else requests.get
    assert get(upstream.url + "/v1/models").json() == {"data": []}
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.bypasses, stats.entries) == (0, 0, 0, 0)


def test_an_upload_is_not_read_into_memory(upstream, cache):
    upstream.reply("/upload", Reply(json={}))
    install(cache)
    asked = []

    def pieces():
        for number in range(3):
            asked.append((number, upstream.count()))
            yield b"x" * 10

    with httpx.Client(trust_env=False) as client:
        request = client.build_request("POST", upstream.url + "/upload", content=pieces())
        assert client._transport_for_url(request.url) is client._transport
        client.send(request)
    assert not hasattr(request, "_content")
    assert len(asked) == 3


def test_installations_nest(upstream, cache, tmp_path):
    upstream.reply(CHAT, openai_chat("hello"))
    with LLMCache(database_url=str(tmp_path / "other.db")) as other:
        install(cache, namespace="outer")
        install(other, ttl_days=1, namespace="inner")
        httpx.post(upstream.url + CHAT, json=ASK)
        assert [entry.namespace for entry in other.entries()] == ["inner"]
        assert list(cache.entries()) == []
        uninstall()
        httpx.post(upstream.url + CHAT, json=ASK)
        assert [entry.namespace for entry in cache.entries()] == ["outer"]
    uninstall()
    uninstall()
    httpx.post(upstream.url + CHAT, json=ASK)
    assert upstream.count() == 3


def test_a_wrapped_client_keeps_its_own_cache(upstream, cache, tmp_path):
    upstream.reply(CHAT, openai_chat("hello"))
    with LLMCache(database_url=str(tmp_path / "other.db")) as other:
        install(cache)
        for client in (httpx.Client(trust_env=False), requests.Session()):
            with client, wrap(client, other):
                for _ in range(2):
                    client.post(upstream.url + CHAT, json=ASK)
        assert list(cache.entries()) == []
        assert (cache.stats().misses, other.stats().misses, other.stats().hits) == (0, 1, 3)


def test_streams_of_requests_arrive_piece_by_piece(upstream, cache):
    import threading

    held = threading.Event()
    reply = openai_chat_stream(["a", "b"])
    chunks = list(reply.chunks)
    upstream.reply(CHAT, Reply(chunks=chunks, gates={len(chunks) - 1: held}))
    install(cache)
    bodies = []
    for _ in range(2):
        with requests.post(upstream.url + CHAT, json={**ASK, "stream": True}, stream=True) as response:
            body = b""
            for line in response.iter_lines(chunk_size=4096):
                # The last piece is only sent once the first has been seen.
                held.set()
                body += line + b"\n"
        bodies.append(body)
    assert bodies[0] == bodies[1]
    assert bodies[0].count(b"data:") == len([c for c in b"".join(chunks).split(b"\n") if c.startswith(b"data:")])
    assert upstream.count() == 1
    assert last_call().status == "hit"


def test_requests_in_every_way_of_reading(upstream, cache):
    upstream.reply(CHAT, Reply(json=openai_chat("hello").json, gzip=True))
    install(cache)
    with requests.Session() as session:
        session.trust_env = False
        replies = [session.post(upstream.url + CHAT, json=ASK) for _ in range(2)]
        assert replies[0].json() == replies[1].json()
        assert [reply.status_code for reply in replies] == [200, 200]
        assert replies[1].headers["content-type"].startswith("application/json")
        content = replies[1].content
        raw = session.post(upstream.url + CHAT, json=ASK, stream=True).raw
        assert raw.read(7) + raw.read() == content
        assert b"".join(session.post(upstream.url + CHAT, json=ASK, stream=True).iter_content(3)) == content
    assert upstream.count() == 1


def test_offline_in_the_words_of_who_asks(upstream, cache):
    install(cache)
    with options(mode="offline"):
        for post in (httpx.post, requests.post):
            with pytest.raises(CacheMissError):
                post(upstream.url + CHAT, json=ASK)
        reply = httpx.post(upstream.url + CHAT, json=ASK, headers={"user-agent": "OpenAI/Python 3.54"})
    assert reply.status_code == 504
    assert reply.headers["x-should-retry"] == "false"
    assert upstream.count() == 0


def test_mock_transports_are_what_they_are(cache):
    def answer(request):
        return httpx.Response(200, json=openai_chat("hello").json)

    install(cache)
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        for _ in range(2):
            client.post("http://llm.example" + CHAT, json=ASK)
    assert cache.stats().hits == 1


def test_libraries_that_come_later_are_covered(upstream, database):
    upstream.reply(CHAT, openai_chat("hello"))
    code = f"""
        import json, sys
        from llm_cache import LLMCache, install, uninstall
        early = [name for name in ("httpx", "httpx2", "requests", "botocore", "google.genai") if name in sys.modules]
        cache = LLMCache(database_url={database!r})
        install(cache)
        assert not [name for name in ("httpx", "requests", "botocore") if name in sys.modules]
        import requests, httpx
        assert type(httpx.__spec__.loader).__module__ != "llm_cache.clients.arrivals"
        url, ask = {upstream.url + CHAT!r}, {ASK!r}
        requests.post(url, json=ask)
        httpx.post(url, json=ask)
        before = cache.stats()
        uninstall()
        import importlib
        assert "llm_cache" not in requests.Session.get_adapter.__module__
        assert not hasattr(requests.Session.get_adapter, "llm_cache_replaced")
        assert not hasattr(httpx.Client._transport_for_url, "llm_cache_replaced")
        cache.close()
        print(json.dumps([early, before.hits, before.misses]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    early, hits, misses = json.loads(done.stdout)
    assert (early, hits, misses) == ([], 1, 1)
    assert upstream.count() == 1
