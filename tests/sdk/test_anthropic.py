"""The real `anthropic` SDK: typed objects, helpers, raw views, sync and async, plain and streamed, all on hits."""

from __future__ import annotations

import asyncio

import pytest

from llm_cache import last_call, options, wrap, wrap_anthropic
from llm_cache.testing import Reply, anthropic_error, anthropic_message, anthropic_stream

anthropic = pytest.importorskip("anthropic")

ASK = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = "/v1/messages"


@pytest.fixture
def client(upstream):
    with anthropic.Anthropic(base_url=upstream.url, api_key="sk-ant-test", max_retries=0) as made:
        yield made


def same(first, second):
    assert type(first) is type(second)
    assert first == second
    assert repr(first) == repr(second)
    assert first.model_dump(exclude_unset=True) == second.model_dump(exclude_unset=True)
    assert getattr(first, "_request_id", None) == getattr(second, "_request_id", None)


def test_messages(upstream, cache, client):
    upstream.reply(MESSAGES, anthropic_message("hello"))
    with wrap_anthropic(client, cache):
        first, second = client.messages.create(**ASK), client.messages.create(**ASK)
        same(first, second)
        assert last_call().status == "hit"
        marked = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]
        client.messages.create(**{**ASK, "messages": [{"role": "user", "content": marked}]})
        assert last_call().status == "miss"
        client.messages.create(**{**ASK, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]})
        assert last_call().status == "hit"
    assert upstream.count() == 2


def test_streams_and_their_helper(upstream, cache, client):
    upstream.reply(MESSAGES, anthropic_stream(["he", "llo"]))
    with wrap_anthropic(client, cache):
        first, second = (list(client.messages.create(**ASK, stream=True)) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            same(one, other)
        with client.messages.stream(**ASK) as stream:
            assert stream.get_final_text() == "hello"
            assert last_call().status == "hit"
    assert upstream.count() == 1


def test_raw_views(upstream, cache, client):
    upstream.reply(MESSAGES, anthropic_message("hello"))
    with wrap_anthropic(client, cache):
        first, second = (client.messages.with_raw_response.create(**ASK) for _ in range(2))
        assert first.headers["request-id"] == second.headers["request-id"]
        assert not [name for name in second.headers if "ratelimit" in name]
        same(first.parse(), second.parse())
    assert upstream.count() == 1


def test_count_tokens(upstream, cache, client):
    upstream.reply(MESSAGES + "/count_tokens", Reply(json={"input_tokens": 9}))
    ask = {"model": ASK["model"], "messages": ASK["messages"]}
    with wrap_anthropic(client, cache):
        assert [client.messages.count_tokens(**ask).input_tokens for _ in range(2)] == [9, 9]
    assert upstream.count() == 1


def test_the_async_client(upstream, cache):
    upstream.script(MESSAGES, anthropic_message("hello"), anthropic_stream(["he", "llo"]))

    async def main():
        async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key="sk-ant-test", max_retries=0) as client:
            with wrap(client, cache):
                same(await client.messages.create(**ASK), await client.messages.create(**ASK))
                finals = []
                for _ in range(2):
                    async with client.messages.stream(**ASK) as stream:
                        finals.append(await stream.get_final_message())
                same(*finals)

    asyncio.run(main())
    assert upstream.count() == 2


def test_errors_are_the_sdks_own(upstream, cache, client):
    upstream.reply(MESSAGES, anthropic_error(529, "overloaded"))
    with wrap_anthropic(client, cache):
        for _ in range(2):
            with pytest.raises(anthropic.APIStatusError, match="overloaded"):
                client.messages.create(**ASK)
    assert upstream.count() == 2
    assert list(cache.entries()) == []


def test_a_miss_while_offline_is_in_its_format_and_not_retried(upstream, cache):
    with anthropic.Anthropic(base_url=upstream.url, api_key="sk-ant-test", max_retries=5) as client:
        with wrap_anthropic(client, cache), options(mode="offline"), pytest.raises(anthropic.APIStatusError) as caught:
            client.messages.create(**ASK)
    assert caught.value.status_code == 504
    assert caught.value.body["type"] == "error"
    assert "offline" in str(caught.value)
    assert upstream.count() == 0
