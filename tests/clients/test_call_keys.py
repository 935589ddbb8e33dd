"""The key of a call is what the specification says: computed here again from its text, without our code."""

from __future__ import annotations

import hashlib
import json

import pytest

from llm_cache import cached_call, options


def key_of(**members):
    document = {
        "endpoint": "", "headers": {}, "kind": "call", "namespace": "default", "query": [], "sample": 0, "scope": "",
        "upstream": "", "version": 1, **members,
    }  # fmt: skip
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def where(request):
    return f"{__name__}.{request.node.name}.<locals>.ask"


def test_a_call_with_a_version(cache, where):
    @cached_call("openai", "gpt-4", cache=cache, version="2")
    def ask(prompt, n=3, *rest, temperature=0.7, **more): ...

    arguments = {
        "prompt": "é\n", "n": 3, "rest": ["tuple", True], "temperature": ["float", "1"],
        "more": {"b": None, "a": ["list", ["bytes", "AA=="]]},
    }  # fmt: skip
    body = {"arguments": arguments, "code": {"version": "2"}, "model": "gpt-4"}
    found = ask.cache_key("é\n", 3, True, temperature=1.0, b=None, a=[b"\0"])
    assert found == key_of(body=body, endpoint=where, upstream="openai")
    with options(namespace="other", sample=2):
        found = ask.cache_key("é\n", 3, True, temperature=1.0, b=None, a=[b"\0"])
    assert found == key_of(body=body, endpoint=where, upstream="openai", namespace="other", sample=2)


def test_a_call_with_its_digest(cache, where):
    from llm_cache.clients.function_digest import digest

    @cached_call(cache=cache)
    def ask(x): ...

    body = {"arguments": {"x": "a"}, "code": digest(ask.uncached), "model": ""}
    assert ask.cache_key("a") == key_of(body=body, endpoint=where)
    ask("a")
    (entry,) = cache.entries()
    assert entry.key == ask.cache_key("a")
    assert entry.request == body


@pytest.mark.parametrize("value", ["a", 5, 0, 0.0, -0.0, 1.5, True, None, "\ud83d", "x" * 5000, [1], {"a": ["b"]}])
def test_what_is_remembered_is_what_would_be_computed(cache, value):
    @cached_call(cache=cache)
    def ask(x): ...

    expected = ask.cache_key(value)
    for _ in range(3):
        ask(value)
        (entry,) = cache.entries()
        assert entry.key == expected
    with options(namespace="other"):
        ask(value)
        assert {entry.key for entry in cache.entries()} == {expected, ask.cache_key(value)}


def test_values_that_are_equal_and_not_the_same_are_remembered_apart(cache):
    @cached_call(cache=cache)
    def ask(x):
        return [x]

    values = [0, 0.0, -0.0, False, 1, 1.0, True, "1", None, ""]
    for _ in range(2):
        assert [repr(ask(value)[0]) for value in values] == [repr(value) for value in values]
    assert len(list(cache.entries())) == len(values)


def test_what_is_remembered_does_not_outlive_what_it_was_made_of(cache, write_module):
    module = write_module("T = 1\ndef ask(x): return x, T")
    ask = cached_call(cache=cache)(module.ask)
    for value in (1, 2, 1):
        module.T = value
        assert ask("a") == ("a", value)
