"""A stream and a single value under one key are never taken for each other."""

from __future__ import annotations

import pytest

from llm_cache import LLMCache

CALL = ("openai", "m", "/v1/chat/completions", {"messages": []})


@pytest.fixture
def cache(database):
    with LLMCache(database_url=database) as made:
        yield made


@pytest.mark.parametrize("key", ["k", None])
def test_the_first_value_of_a_stream_is_not_its_answer(cache, key):
    assert list(cache.get_or_set(key, lambda: iter([1, 2]), *CALL, stream=True)) == [1, 2]
    assert cache.get_or_set(key, lambda: 3, *CALL) == 3
    assert cache.get_or_set(key, lambda: 4, *CALL) == 3


@pytest.mark.parametrize("key", ["k", None])
def test_a_value_is_not_a_stream_of_one(cache, key):
    assert cache.get_or_set(key, lambda: 3, *CALL) == 3
    assert list(cache.get_or_set(key, lambda: iter([1, 2]), *CALL, stream=True)) == [1, 2]
    assert list(cache.get_or_set(key, lambda: iter([5]), *CALL, stream=True)) == [1, 2]
