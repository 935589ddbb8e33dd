"""What a hit may cost at most, in instructions of Python's virtual machine: they are the same on every machine.

A budget is about half as much again as what it took when it was set, so that only gross regressions exceed it; what is
measured against others is the benchmarks' business.
"""

from __future__ import annotations

import httpx
import pytest

from llm_cache import LLMCache, cached_call, wrap
from tests.instructions import settled

REPLY = {"choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}
ABOUT = "openai", "gpt-4o", "/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database, read_timeout_ms=5000) as made:
        yield made


def test_get_or_set(cache):
    assert settled(lambda: cache.get_or_set("key", dict, *ABOUT)) < 1000


def test_get_or_set_with_the_key_of_the_request(cache):
    assert settled(lambda: cache.get_or_set(None, dict, *ABOUT)) < 2500


def test_get_or_set_without_memory(database):
    with LLMCache(database_url=database, read_timeout_ms=5000, memory_mb=0) as cache:
        assert settled(lambda: cache.get_or_set("key", dict, *ABOUT)) < 3700


def test_cached_call(cache):
    @cached_call("openai", "gpt-4o", cache=cache)
    def ask(prompt):
        return REPLY

    assert settled(lambda: ask("hi")) < 2800


def test_a_wrapped_client_of_httpx(cache):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=REPLY))
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}

    def ask(client):
        return client.post("https://api.openai.com/v1/chat/completions", json=body).json()

    with httpx.Client(transport=transport) as bare, httpx.Client(transport=transport) as client:
        without = settled(lambda: ask(bare))
        with wrap(client, cache):
            assert settled(lambda: ask(client)) < without + 1000
    assert cache.stats().misses
