"""Policy and account hold for decorated functions as for every other way in."""

from __future__ import annotations

import itertools
import time

import pytest

from llm_cache import CacheMissError, ConfigError, LLMCache, cached_call, last_call, options, wrap
from llm_cache.testing import openai_chat

calls = []
"""Only added to: a list that a function reads would count."""
REPLY = {
    "id": "1", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18", "created": 1,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _none_yet():
    calls.clear()


@pytest.fixture
def number():
    """The number of the call."""
    numbers = itertools.count(1)
    return lambda: next(numbers)


@pytest.fixture
def ask(cache, number):
    @cached_call(cache=cache)
    def ask(x):
        calls.append(x)
        return [number()]

    return ask


def call(ask, mode):
    with options(mode=mode):
        return ask(1), last_call().status


def test_modes(ask, cache):
    assert call(ask, "read-only") == ([1], "miss")
    assert call(ask, "read-write") == ([2], "miss")
    assert call(ask, "read-only") == ([2], "hit")
    assert call(ask, "refresh") == ([3], "miss")
    assert call(ask, "offline") == ([3], "hit")
    assert call(ask, "off") == ([4], "bypass")
    assert call(ask, "read-write") == ([3], "hit")
    assert last_call().key == ask.cache_key(1)


def test_a_miss_while_offline_is_explained(cache, write_module):
    source = "T = 'one'\ndef ask(prompt, n=1): return prompt + T"
    ask = cached_call(cache=cache)(write_module(source).ask)
    ask("Tell me about foxes")
    with options(mode="offline"), pytest.raises(CacheMissError) as caught:
        ask("Tell me about wolves")
    assert "arguments.prompt" in caught.value.explanation
    assert "wolves" in caught.value.explanation
    edited = cached_call(cache=cache)(write_module(source.replace("one", "two")).ask)
    with options(mode="offline"), pytest.raises(CacheMissError) as caught:
        edited("Tell me about foxes")
    assert "body.code" in caught.value.explanation


def test_off_asks_nothing_of_the_arguments(ask):
    with options(mode="off"):
        assert ask(object()) == [1]


def test_offline_raises_and_calls_nobody(cache, ask):
    @cached_call(cache=cache)
    def items(x):
        yield from ask(x)

    for function in (ask, lambda x: list(items(x))):
        with options(mode="offline"), pytest.raises(CacheMissError) as caught:
            function(1)
        assert "call://" in str(caught.value)
        assert len(caught.value.key) == 64
        assert (last_call().status, last_call().reason) == ("miss", "offline")
    assert calls == []


async def test_offline_coroutines(cache):
    @cached_call(cache=cache)
    async def ask(x):
        calls.append(x)

    with options(mode="offline"), pytest.raises(CacheMissError):
        await ask(1)
    assert calls == []


def test_offline_of_the_environment_holds(database, monkeypatch):
    monkeypatch.setenv("LLMCACHE_MODE", "offline")
    with LLMCache(database_url=database) as cache:
        for_all = cached_call(cache=cache)(calls.append)
        with options(mode="off"), pytest.raises(CacheMissError):
            for_all(1)
    assert calls == []


def test_lifetimes(cache):
    @cached_call(cache=cache, ttl_days=0.2 / 86_400)
    def short(x):
        calls.append(x)
        return x

    @cached_call(cache=cache, ttl_days="never")
    def forever(x):
        return x

    short(1)
    short(1)
    assert len(calls) == 1
    time.sleep(0.25)
    short(1)
    assert (len(calls), last_call().reason) == (2, "expired")
    forever(1)
    assert [entry.expires_at for entry in cache.entries() if entry.endpoint.endswith("forever")] == [None]
    with options(ttl_days=5):
        forever(2)
    newest = next(iter(cache.entries()))
    assert newest.expires_at - newest.created_at == 5 * 86_400


def test_namespaces_and_samples(ask):
    ask(1)
    for given in ({"namespace": "other"}, {"sample": 1}):
        with options(**given):
            ask(1)
            assert last_call().status == "miss"
            ask(1)
            assert last_call().status == "hit"


def test_stale_answers(database, number):
    with LLMCache(database_url=database, stale_if_error_s=60, stale_while_revalidate_s=0) as cache:

        @cached_call(cache=cache, ttl_days=0.05 / 86_400)
        def ask(x):
            if number() > 1:
                raise ConnectionError("down")
            return "answer"

        assert ask(1) == "answer"
        time.sleep(0.1)
        assert (ask(1), last_call().status) == ("answer", "stale")
    with LLMCache(database_url=database + "2", stale_while_revalidate_s=60) as cache:

        @cached_call(cache=cache, ttl_days=0.05 / 86_400)
        def counted(x):
            calls.append(x)
            return number()

        first = counted(1)
        time.sleep(0.1)
        assert (counted(1), last_call().status) == (first, "stale")
        for _ in range(100):
            if len(calls) == 2:
                break
            time.sleep(0.02)
        assert len(calls) == 2


def test_a_result_that_cannot_be_kept_is_better_than_a_stale_one(database, number):
    with LLMCache(database_url=database, stale_if_error_s=60) as cache:

        @cached_call(cache=cache, ttl_days=0.05 / 86_400)
        def ask(x):
            return "answer" if number() == 1 else object()

        ask(1)
        time.sleep(0.1)
        assert type(ask(1)) is object


def test_the_account(cache):
    @cached_call("openai", "gpt-4o-mini", cache=cache)
    def ask(x):
        return dict(REPLY)

    assert ask(1) == ask(1) == REPLY
    stats = cache.stats()
    assert (stats.entries, stats.hits, stats.misses) == (1, 1, 1)
    assert stats.cost_spent_usd == stats.cost_saved_usd > 0
    assert stats.tokens_saved == 1500
    (entry,) = cache.entries()
    assert (entry.provider, entry.model, entry.input_tokens, entry.text) == ("openai", "gpt-4o-mini", 1000, "Hi")
    assert last_call().cost_saved_usd == stats.cost_saved_usd


def test_the_model_comes_from_the_result_where_the_decorator_names_none(cache):
    @cached_call(cache=cache)
    def ask(x):
        return dict(REPLY)

    ask(1)
    (entry,) = cache.entries()
    assert (entry.provider, entry.model) == ("", "gpt-4o-mini-2024-07-18")


@pytest.mark.parametrize("kind", ["function", "generator"])
def test_money_is_counted_by_the_layer_that_met_the_network(cache, upstream, kind):
    httpx = pytest.importorskip("httpx")
    upstream.reply("/v1/chat/completions", openai_chat("Hi"))
    client = httpx.Client(trust_env=False)
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}

    def post(x):
        with wrap(client, cache):
            return client.post(upstream.url + "/v1/chat/completions", json=body).json()

    def stream(x):
        reply = post(x)
        delta = {"role": "assistant", "content": reply["choices"][0]["message"]["content"]}
        choice = {"index": 0, "delta": delta, "finish_reason": "stop"}
        yield {**reply, "object": "chat.completion.chunk", "choices": [choice]}

    ask = cached_call("openai", cache=cache)(post if kind == "function" else stream)
    for x in (1, 1, 2):
        result = ask(x)
        assert result == post(x) if kind == "function" else len(list(result)) == 1
    assert upstream.count() == 1
    spent = cache.stats().cost_spent_usd
    client.close()
    with LLMCache(database_url=":memory:") as alone, httpx.Client(trust_env=False) as other:
        with wrap(other, alone):
            other.post(upstream.url + "/v1/chat/completions", json=body)
        assert alone.stats().cost_spent_usd == spent


@pytest.mark.parametrize(
    "result",
    [
        {**REPLY, "choices": [{"index": 0, "finish_reason": "content_filter", "message": {"content": "x"}}]},
        {**REPLY, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}]},
        {"error": {"message": "overloaded", "type": "server_error"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ],
)
def test_replies_that_are_no_good_answers_are_not_kept(cache, result):
    @cached_call(cache=cache)
    def ask(x):
        calls.append(x)
        return result

    assert ask(1) == ask(1) == result
    assert len(calls) == 2


@pytest.mark.parametrize("result", ["", None, [], {}, 0, {"error": None, "a": 1}, {"error": "text"}, {"choices": []}])
def test_results_that_are_no_replies_are_kept(cache, result):
    @cached_call(cache=cache)
    def ask(x):
        calls.append(x)
        return result

    assert [ask(1), ask(1), len(calls)] == [result, result, 1]


def test_the_default_cache_is_made_at_the_first_call(monkeypatch, tmp_path):
    from llm_cache.clients import cache as module

    monkeypatch.setattr(module, "_default", None)
    monkeypatch.setenv("LLMCACHE_TTL", "soon")
    ask = cached_call(lambda x: x)
    with pytest.raises(ConfigError, match="LLMCACHE_TTL"):
        ask(1)
    monkeypatch.setenv("LLMCACHE_TTL", "1")
    monkeypatch.setenv("LLMCACHE_DATABASE_URL", str(tmp_path / "default.db"))
    assert [ask(1), ask(1), last_call().status] == [1, 1, "hit"]
    module._default.close()
    assert (tmp_path / "default.db").exists()
