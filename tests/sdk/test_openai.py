"""The real `openai` SDK: typed objects, helpers, raw views, sync and async, plain and streamed, all on hits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from llm_cache import last_call, options, wrap, wrap_openai
from llm_cache.testing import (
    Reply,
    openai_chat,
    openai_chat_stream,
    openai_embeddings,
    openai_error,
    openai_responses,
    openai_responses_stream,
)

openai = pytest.importorskip("openai")

MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"


@pytest.fixture
def client(upstream):
    with openai.OpenAI(base_url=upstream.url + "/v1", api_key="sk-test", max_retries=0) as made:
        yield made


def twice(call):
    """The results of a call that is made twice, the second time answered from the cache."""
    first = call()
    assert last_call().status == "miss"
    second = call()
    assert last_call().status == "hit"
    return first, second


def same(first, second):
    assert type(first) is type(second)
    assert first == second
    assert repr(first) == repr(second)
    assert first.model_dump(exclude_unset=True) == second.model_dump(exclude_unset=True)
    assert getattr(first, "_request_id", None) == getattr(second, "_request_id", None)


def test_chat_completions(upstream, cache, client):
    upstream.reply(CHAT, openai_chat("hello"))
    with wrap_openai(client, cache):
        same(*twice(lambda: client.chat.completions.create(model="gpt-4", messages=MESSAGES)))
    assert upstream.count() == 1


def test_chat_streams(upstream, cache, client):
    upstream.reply(CHAT, openai_chat_stream(["he", "llo"], include_usage=True))
    with wrap_openai(client, cache):
        first, second = twice(
            lambda: list(client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True))
        )
    assert len(first) > 3
    for one, other in zip(first, second, strict=True):
        same(one, other)
    assert upstream.count() == 1


def test_embeddings_and_responses(upstream, cache, client):
    upstream.reply("/v1/embeddings", openai_embeddings(2, encoding="base64"))
    upstream.script("/v1/responses", openai_responses(), openai_responses_stream())
    with wrap_openai(client, cache):
        same(*twice(lambda: client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])))
        same(*twice(lambda: client.responses.create(model="gpt-4.1", input="hi")))
        first, second = twice(lambda: list(client.responses.create(model="gpt-4.1", input="hi", stream=True)))
    for one, other in zip(first, second, strict=True):
        same(one, other)
    assert upstream.count() == 3


def test_raw_views_and_helpers(upstream, cache, client):
    upstream.reply(CHAT, openai_chat("hello"))
    with wrap_openai(client, cache):
        first, second = twice(
            lambda: client.with_options(timeout=7).chat.completions.with_raw_response.create(
                model="gpt-4", messages=MESSAGES
            )
        )
        assert first.headers["x-request-id"] == second.headers["x-request-id"]
        assert first.content == second.content
        same(first.parse(), second.parse())
        with client.chat.completions.with_streaming_response.create(model="gpt-4", messages=MESSAGES) as response:
            assert response.read() == first.content
            assert response.elapsed is None or response.elapsed.total_seconds() >= 0
    assert upstream.count() == 1


def test_the_stream_helper(upstream, cache, client):
    if not hasattr(client.chat.completions, "stream"):
        pytest.skip("this major has no .stream() helper outside beta")
    upstream.reply(CHAT, openai_chat_stream(["he", "llo"]))

    def final():
        with client.chat.completions.stream(model="gpt-4", messages=MESSAGES) as stream:
            return stream.get_final_completion()

    with wrap_openai(client, cache):
        same(*twice(final))
    assert upstream.count() == 1


def test_the_async_client(upstream, cache):
    upstream.reply(CHAT, openai_chat("hello"))

    async def main():
        async with openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="sk-test", max_retries=0) as client:
            with wrap(client, cache):
                first = await client.chat.completions.create(model="gpt-4", messages=MESSAGES)
                second = await client.chat.completions.create(model="gpt-4", messages=MESSAGES)
                assert last_call().status == "hit"
                same(first, second)
                upstream.reply(CHAT, openai_chat_stream(["he", "llo"]))
                ask = {"model": "gpt-4", "messages": MESSAGES, "stream": True}
                streams = []
                for _ in range(2):
                    stream = await client.chat.completions.create(**ask)
                    streams.append([chunk async for chunk in stream])
                for one, other in zip(*streams, strict=True):
                    same(one, other)

    asyncio.run(main())
    assert upstream.count() == 2


def test_sync_async_and_bare_clients_share_entries(upstream, cache, client):
    upstream.reply(CHAT, openai_chat("hello"))

    async def main():
        async with openai.AsyncOpenAI(base_url=upstream.url, api_key="other", max_retries=0) as other:
            with wrap(other, cache):
                await other.chat.completions.create(messages=MESSAGES, model="gpt-4")

    with wrap(client, cache):
        client.chat.completions.create(model="gpt-4", messages=MESSAGES)
    asyncio.run(main())
    assert last_call() is None or last_call().status in {"miss", "hit"}
    assert upstream.count() == 1


def test_azure(upstream, cache):
    path = "/openai/deployments/dep/chat/completions"
    upstream.reply(path, openai_chat("hello"))
    with openai.AzureOpenAI(
        azure_endpoint=upstream.url, api_key="k", api_version="2024-06-01", max_retries=0
    ) as client:
        with wrap_openai(client, cache):
            same(*twice(lambda: client.chat.completions.create(model="dep", messages=MESSAGES)))
    (entry,) = cache.entries()
    assert entry.provider == "azure"
    assert upstream.count() == 1


def test_errors_are_the_sdks_own_and_are_asked_for_again(upstream, cache, client):
    upstream.reply(CHAT, openai_error(429, "slow down"))
    with wrap_openai(client, cache):
        for _ in range(2):
            with pytest.raises(openai.RateLimitError, match="slow down"):
                client.chat.completions.create(model="gpt-4", messages=MESSAGES)
    assert upstream.count() == 2
    assert list(cache.entries()) == []


def test_retries_work_as_without_the_cache(upstream, cache):
    upstream.script(CHAT, openai_error(500, "oops", headers={"retry-after-ms": "1"}), openai_chat("hello"))
    with openai.OpenAI(base_url=upstream.url + "/v1", api_key="sk-test", max_retries=2) as client:
        with wrap_openai(client, cache):
            answer = client.chat.completions.create(model="gpt-4", messages=MESSAGES)
    assert answer.choices[0].message.content == "hello"
    assert upstream.count() == 2
    assert len(list(cache.entries())) == 1


def test_a_miss_while_offline_is_one_reply_that_explains_itself_and_is_not_retried(upstream, cache, database):
    upstream.reply(CHAT, openai_chat("hello"))
    with openai.OpenAI(base_url=upstream.url + "/v1", api_key="sk-test", max_retries=5) as client:
        with wrap_openai(client, cache):
            client.chat.completions.create(model="gpt-4", messages=MESSAGES, seed=1)
            with options(mode="offline"):
                with pytest.raises(openai.APIStatusError) as caught:
                    client.chat.completions.create(model="gpt-4", messages=MESSAGES, seed=2)
                assert client.chat.completions.create(model="gpt-4", messages=MESSAGES, seed=1)
    assert caught.value.status_code == 504
    assert "body.seed: 2 here, 1 there" in str(caught.value)
    assert upstream.count() == 1


def test_a_consumer_that_breaks_at_the_last_chunk_has_stored_it(upstream, cache, client):
    upstream.reply(CHAT, openai_chat_stream(["he", "llo"]))
    with wrap_openai(client, cache):
        for _chunk in client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True):
            pass
        assert len(list(cache.entries())) == 1


def test_an_abandoned_stream_is_not_stored(upstream, cache, client):
    upstream.reply(CHAT, openai_chat_stream(["he", "llo"]))
    with wrap_openai(client, cache):
        with client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True) as stream:
            next(iter(stream))
    assert list(cache.entries()) == []


def test_fifty_threads_pay_once(upstream, cache, client):
    held = threading.Event()
    events = list(openai_chat_stream(["he", "llo"]).chunks)
    upstream.reply(CHAT, Reply(chunks=events, gates={len(events) - 1: held}))
    texts, firsts, lock = [], [], threading.Lock()

    def ask():
        stream = client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True)
        text = ""
        for chunk in stream:
            with lock:
                if not text:
                    firsts.append(chunk)
                    if len(firsts) == 50:
                        held.set()
            text += chunk.choices[0].delta.content or " "
        with lock:
            texts.append(text)

    with wrap_openai(client, cache):
        threads = [threading.Thread(target=ask) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(texts) == 50
    assert len(set(texts)) == 1
    assert upstream.count() == 1
