"""What type checkers must see of the public API, written as its users write. It is checked, and never run.

`assert_type` says what an expression is. A line with `# wrong` must be an error, and no other line may be one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import openai
from openai.types.chat import ChatCompletion
from typing_extensions import assert_type

from llm_cache import (
    CacheMissError,
    ConfigError,
    Entry,
    LLMCache,
    LLMCacheError,
    Mode,
    Stats,
    cached_call,
    get_config,
    hash_request,
    install,
    last_call,
    options,
    uninstall,
    wrap,
    wrap_anthropic,
    wrap_openai,
)
from llm_cache.httpx import AsyncCachingTransport, CachingTransport
from llm_cache.testing import FakeUpstream, Reply, openai_chat

# --- functions ------------------------------------------------------------------------------------------------------


@cached_call
def bare(prompt: str, n: int = 1) -> list[str]:
    return [prompt] * n


@cached_call("openai", "gpt-4", ttl_days=7)
def called(prompt: str) -> dict[str, int]:
    return {prompt: 1}


@cached_call(provider="openai", ignore=("client",), version=2)
async def coroutine(prompt: str, client: object = None) -> bytes:
    return prompt.encode()


@cached_call()
def generator(prompt: str) -> Iterator[int]:
    yield len(prompt)


@cached_call()
async def async_generator(prompt: str) -> AsyncIterator[int]:
    yield len(prompt)


def functions() -> None:
    assert_type(bare("a"), list[str])
    assert_type(bare("a", n=2), list[str])
    assert_type(called("a"), dict[str, int])
    assert_type(generator("a"), Iterator[int])
    assert_type(async_generator("a"), AsyncIterator[int])
    assert_type(bare.cache_key("a", n=2), str)
    assert_type(bare.invalidate("a"), bool)
    assert_type(bare.uncached("a"), list[str])
    bare(1)  # wrong
    bare("a", m=1)  # wrong
    called()  # wrong
    bare.cache_key(1)  # wrong
    cached_call(ttl=7)  # wrong


async def coroutines() -> None:
    assert_type(await coroutine("a"), bytes)
    asked: Callable[[str], Coroutine[Any, Any, bytes]] = coroutine
    assert_type(await asked("a"), bytes)
    async for item in async_generator("a"):
        assert_type(item, int)
    await coroutine(2)  # wrong


class Agent:
    @cached_call(ignore=("self",))
    def ask(self, prompt: str, *, tone: str = "dry") -> str:
        return prompt + tone

    @cached_call(ignore=("self",))
    async def aask(self, prompt: str) -> str:
        return prompt

    @staticmethod
    @cached_call
    def plain(prompt: str) -> str:
        return prompt


async def methods(agent: Agent) -> None:
    assert_type(agent.ask("a", tone="warm"), str)
    assert_type(agent.ask.cache_key("a"), str)
    assert_type(agent.ask.invalidate("a"), bool)
    assert_type(agent.ask.uncached("a"), str)
    assert_type(await agent.aask("a"), str)
    assert_type(Agent.plain("a"), str)
    agent.ask(1)  # wrong
    agent.ask("a", style="warm")  # wrong
    await agent.aask()  # wrong


# --- the cache ------------------------------------------------------------------------------------------------------


def the_cache() -> None:
    with LLMCache(database_url=":memory:", default_ttl_days="never", mode=Mode.OFFLINE, max_size_mb=10) as cache:
        assert_type(cache, LLMCache)

        def fetch() -> dict[str, int]:
            return {"n": 1}

        def chunks() -> Iterator[str]:
            yield "a"

        found = cache.get_or_set("key", fetch, "openai", "gpt-4", "/v1/chat/completions", {"q": 1})
        assert_type(found, dict[str, int])
        stream = cache.get_or_set(None, chunks, "openai", "gpt-4", "/v1/chat/completions", {"q": 1}, stream=True)
        assert_type(stream, Iterator[str])
        assert_type(cache.get("key"), "Entry | None")
        assert_type(cache.set("key", {"n": 1}, "openai", "gpt-4", "/v1", {}), str)
        assert_type(cache.delete("key"), bool)
        assert_type(cache.purge(provider="openai", dry_run=True), int)
        for entry in cache.entries(provider="openai", limit=3):
            assert_type(entry, Entry)
            assert_type(entry.model, str)
            assert_type(entry.cost_usd, "Decimal | None")
        assert_type(cache.stats(), Stats)
        cache.get_or_set("key", fetch(), "openai", "gpt-4", "/v1", {})  # wrong
        cache.get_or_set(1, fetch, "openai", "gpt-4", "/v1", {})  # wrong
    LLMCache(default_ttl=7)  # wrong, if not to ty
    LLMCache(max_size_mb="many")  # wrong


async def the_cache_in_a_loop() -> None:
    async with LLMCache("memory", read_timeout_ms=50) as cache:
        assert_type(cache, LLMCache)

        async def fetch() -> bytes:
            return b""

        def plain() -> str:
            return ""

        async def chunks() -> AsyncIterator[str]:
            yield "a"

        assert_type(await cache.aget_or_set("key", fetch, "openai", "gpt-4", "/v1", {}), bytes)
        assert_type(await cache.aget_or_set("key", plain, "openai", "gpt-4", "/v1", {}), str)
        stream = await cache.aget_or_set("key", chunks, "openai", "gpt-4", "/v1", {}, stream=True)
        assert_type(stream, AsyncIterator[str])
        assert_type(await cache.aget("key"), "Entry | None")
        assert_type(await cache.aentries(), list[Entry])
        assert_type(await cache.astats(), Stats)
        assert_type(await cache.apurge(everything=True), int)
        await cache.apurge(older_than="1d")  # wrong


# --- clients --------------------------------------------------------------------------------------------------------


def clients(cache: LLMCache) -> None:
    with wrap_openai(openai.OpenAI(), cache=cache, ttl_days=7, namespace="evals") as client:
        assert_type(client, openai.OpenAI)
        answer = client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hi"}])
        assert_type(answer, ChatCompletion)
    with wrap_anthropic(anthropic.Anthropic()) as other:
        assert_type(other, anthropic.Anthropic)
    with wrap(httpx.Client()) as plain:
        assert_type(plain, httpx.Client)
    handle = wrap(openai.OpenAI(), cache).start()
    assert_type(handle.client, openai.OpenAI)
    handle.stop()
    transport = CachingTransport(httpx.HTTPTransport(), cache=cache, ttl_days="never")
    assert_type(transport, CachingTransport)
    assert_type(httpx.Client(transport=transport), httpx.Client)
    install(cache)
    uninstall()
    wrap_openai(openai.OpenAI(), ttl=7)  # wrong
    CachingTransport(cache="cache.db")  # wrong


async def async_clients(cache: LLMCache) -> None:
    async with wrap_openai(openai.AsyncOpenAI(), cache) as client:
        assert_type(client, openai.AsyncOpenAI)
    with wrap(openai.AsyncOpenAI(), cache) as again:
        assert_type(again, openai.AsyncOpenAI)
    httpx.AsyncClient(transport=AsyncCachingTransport(cache=cache))


# --- what one asks --------------------------------------------------------------------------------------------------


def questions() -> None:
    with options(namespace="evals", ttl_days=1.5, mode="offline", sample=3):
        call = last_call()
        if call is not None:
            assert_type(call.status, str)
            assert_type(call.cost_saved_usd, "Decimal | None")
    with options(mode=Mode.REFRESH):
        pass
    assert_type(hash_request("openai", "gpt-4", "/v1/chat/completions", {"q": 1}), str)
    assert_type(get_config().database_url, str)
    try:
        bare("a")
    except CacheMissError as error:
        base: LLMCacheError = error
        print(base)
    except (ConfigError, LLMCacheError):
        pass
    options(sample="first")  # wrong
    options("evals")  # wrong


def tests_of_theirs() -> None:
    with FakeUpstream() as upstream:
        upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
        assert_type(upstream.url, str)
        assert_type(upstream.count(), int)
        assert_type(openai_chat("Hello!"), Reply)
