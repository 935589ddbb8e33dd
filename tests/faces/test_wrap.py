"""`wrap`: it changes nothing but where answers come from, and takes itself away without a trace."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import threading

import httpx
import pytest

from llm_cache import ConfigError, LLMCache, last_call, options, wrap, wrap_openai
from llm_cache.testing import Reply, openai_chat, openai_chat_stream

ASK = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made


LIBRARIES = [
    pytest.param(
        name, marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")
    )
    for name in ("httpx", "httpx2")
]


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_client_is_as_it_was_afterwards(name, cache, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    library = importlib.import_module(name)
    with library.Client() as client:
        transport, mounts = client._transport, dict(client._mounts)
        with wrap(client, cache):
            assert client._transport is not transport
            assert all(client._mounts[key] is not inner for key, inner in mounts.items() if inner is not None)
            assert [key for key, inner in client._mounts.items() if inner is None] == [
                key for key, inner in mounts.items() if inner is None
            ]
        assert client._transport is transport
        assert dict(client._mounts) == mounts


def test_handles_nest_and_the_innermost_serves(upstream, cache, tmp_path):
    upstream.reply(CHAT, openai_chat("hello"))
    with LLMCache(database_url=str(tmp_path / "other.db")) as other, httpx.Client(trust_env=False) as client:
        transport = client._transport
        outer, inner = wrap(client, cache), wrap(client, other)
        outer.start()
        client.post(upstream.url + CHAT, json=ASK)
        inner.start()
        client.post(upstream.url + CHAT, json=ASK)
        assert (len(list(cache.entries())), len(list(other.entries()))) == (1, 1)
        outer.stop()
        assert client.post(upstream.url + CHAT, json=ASK).extensions["llm_cache"].status == "hit"
        assert client._transport is not transport
        inner.stop()
        inner.stop()
        assert client._transport is transport


def test_threads_that_wrap_one_client_each_get_their_own_namespace(upstream, cache):
    upstream.reply(CHAT, openai_chat("hello"))
    barrier = threading.Barrier(8)
    failed = []
    with httpx.Client(trust_env=False) as client:
        transport = client._transport

        def work(number):
            try:
                with wrap(client, cache, namespace=f"n{number}"):
                    barrier.wait()
                    for _ in range(5):
                        client.post(upstream.url + CHAT, json=ASK)
                    barrier.wait()
            except Exception as error:  # shown below
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert client._transport is transport
    assert sorted(entry.namespace for entry in cache.entries()) == [f"n{number}" for number in range(8)]
    assert upstream.count() == 8


def test_what_is_not_an_llm_call_passes_untouched(upstream, cache):
    upstream.reply("/v1/models", Reply(json={"data": []}, headers={"x-ratelimit-limit": "1"}))
    upstream.reply("/v1/files", Reply(json={"id": "f"}, gzip=True))
    with httpx.Client(trust_env=False) as client, wrap(client, cache):
        reply = client.get(upstream.url + "/v1/models")
        assert reply.headers["x-ratelimit-limit"] == "1"
        reply = client.post(upstream.url + "/v1/files", files={"file": b"0" * 10_000})
        assert reply.json() == {"id": "f"}
        assert reply.headers["content-encoding"] == "gzip"
        assert last_call().status == "bypass"
    assert list(cache.entries()) == []
    assert cache.stats().bypasses == 2


def test_fifty_tasks_pay_once(upstream, cache):
    held = threading.Event()
    chunks = list(openai_chat_stream(["a", "b"]).chunks)
    upstream.reply(CHAT, Reply(chunks=chunks, gates={len(chunks) - 1: held}))
    firsts = []

    async def main():
        async with httpx.AsyncClient(trust_env=False) as client:
            with wrap(client, cache):

                async def ask():
                    async with client.stream("POST", upstream.url + CHAT, json={**ASK, "stream": True}) as response:
                        body = b""
                        async for piece in response.aiter_bytes():
                            if not body:
                                firsts.append(piece)
                            body += piece
                            if len(firsts) == 50:
                                held.set()
                        return body

                return await asyncio.gather(*(ask() for _ in range(50)))

    bodies = asyncio.run(main())
    assert set(bodies) == {b"".join(chunks)}
    assert upstream.count() == 1


def test_a_leader_that_is_cancelled_leaves_the_fetch_to_its_followers(upstream, cache):
    held = threading.Event()
    upstream.reply(CHAT, Reply(json=openai_chat("hello").json, gates={"head": held}))

    async def main():
        async with httpx.AsyncClient(trust_env=False) as client:
            with wrap(client, cache):
                tasks = [asyncio.ensure_future(client.post(upstream.url + CHAT, json=ASK)) for _ in range(3)]
                await upstream.await_for(1)
                await asyncio.sleep(0.05)
                tasks[0].cancel()
                await asyncio.sleep(0)
                held.set()
                return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert [reply.json()["choices"][0]["message"]["content"] for reply in others] == ["hello", "hello"]
    assert upstream.count() == 1


def test_environment_proxies_keep_working(upstream, cache, monkeypatch):
    """The fake upstream stands in for the proxy: it is asked for the whole URL."""
    monkeypatch.setenv("HTTP_PROXY", upstream.url)
    upstream.reply(CHAT, openai_chat("hello"))
    with httpx.Client() as client, wrap(client, cache):
        for _ in range(2):
            reply = client.post("http://llm.example/v1/chat/completions", json=ASK)
            assert reply.status_code in {200, 404}
    assert upstream.count() >= 1


def test_transports_are_public(upstream, cache):
    from llm_cache.httpx import AsyncCachingTransport, CachingTransport

    upstream.reply(CHAT, openai_chat("hello"))
    for _ in range(2):
        with httpx.Client(transport=CachingTransport(httpx.HTTPTransport(), cache=cache)) as client:
            client.post(upstream.url + CHAT, json=ASK)

    async def main():
        async with httpx.AsyncClient(
            transport=AsyncCachingTransport(httpx.AsyncHTTPTransport(), cache=cache)
        ) as client:
            await client.post(upstream.url + CHAT, json=ASK)

    asyncio.run(main())
    assert upstream.count() == 1


def test_it_says_plainly_what_it_cannot_wrap(cache):
    with pytest.raises(ConfigError, match=r"builtins\.object"):
        wrap(object(), cache)
    with httpx.Client() as client, pytest.raises(ConfigError, match="no openai client"):
        wrap_openai(client, cache)


def test_options_reach_every_call_inside(upstream, cache):
    upstream.reply(CHAT, openai_chat("hello"))
    with httpx.Client(trust_env=False) as client, wrap(client, cache, namespace="w", ttl_days=2):
        client.post(upstream.url + CHAT, json=ASK)
        with options(namespace="o"):
            client.post(upstream.url + CHAT, json=ASK)
    by_namespace = {entry.namespace: entry for entry in cache.entries()}
    assert set(by_namespace) == {"w", "o"}
    assert by_namespace["o"].expires_at - by_namespace["o"].created_at == pytest.approx(2 * 86_400)
