"""`cached_call` on functions of every kind: what the caller sees is what the function would have given."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import re

import pytest

from llm_cache import CacheMissError, ConfigError, LLMCache, cached_call, last_call, options

calls = []


@pytest.fixture(autouse=True)
def _none_yet():
    calls.clear()


def noted(value):
    calls.append(value)
    return value


def status():
    return last_call().status


def test_bare_and_called(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("LLMCACHE_DATABASE_URL", str(tmp_path / "default.db"))

    @cached_call
    def bare(x):
        """Doubles."""
        calls.append(x)
        return x * 2

    @cached_call()
    def empty(x):
        calls.append(x)
        return x * 2

    @cached_call("openai", "gpt-4", 7, cache=cache)
    def called(x):
        calls.append(x)
        return x * 2

    for function in (bare, empty, called):
        assert [function(2), status(), function(2), status()] == [4, "miss", 4, "hit"]
    assert calls == [2, 2, 2]
    (entry,) = cache.entries()
    assert (entry.provider, entry.model, entry.kind, entry.response) == ("openai", "gpt-4", "call", 4)
    assert entry.endpoint == f"{__name__}.test_bare_and_called.<locals>.called"
    assert entry.expires_at - entry.created_at == 7 * 86_400
    assert entry.asked.url == f"call://openai/{entry.endpoint}"
    assert entry.request["arguments"] == {"x": 2}


def test_it_looks_like_the_function(cache):
    def plain(a: int, b: str = "x", *rest, c=1, **more) -> str:
        """Says something."""
        return f"{a}{b}"

    plain.mark = "kept"
    cached = cached_call(cache=cache)(plain)
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "__defaults__", "mark"):
        assert getattr(cached, name) == getattr(plain, name)
    assert inspect.signature(cached) == inspect.signature(plain)
    assert cached.__wrapped__ is plain
    assert cached.uncached is plain
    assert copy.deepcopy(cached) is cached
    assert inspect.getdoc(cached) == "Says something."
    assert callable(cached)


@cached_call
def of_the_module(x):
    return x


def test_it_is_pickled_by_its_name_as_functions_are():
    import pickle

    assert pickle.loads(pickle.dumps(of_the_module)) is of_the_module


def test_kinds_are_seen_by_inspect(cache):
    decorate = cached_call(cache=cache)

    @decorate
    def plain(): ...

    @decorate
    def generator():
        yield

    @decorate
    async def coroutine(): ...

    @decorate
    async def async_generator():
        yield

    found = [
        (inspect.iscoroutinefunction(f), inspect.isgeneratorfunction(f), inspect.isasyncgenfunction(f))
        for f in (plain, generator, coroutine, async_generator, functools.partial(coroutine))
    ]
    assert found == [
        (False, False, False), (False, True, False), (True, False, False), (False, False, True), (True, False, False),
    ]  # fmt: skip


def test_one_call_however_it_is_written(cache):
    @cached_call(cache=cache)
    def ask(a, b=2, /, c=3, *args, d=4, **more):
        return noted((a, b, c, args, d, more))

    same = [ask.cache_key(1), ask.cache_key(1, 2), ask.cache_key(1, c=3), ask.cache_key(1, 2, 3, d=4)]
    assert len(set(same)) == 1
    assert ask.cache_key(1, e=1, f=2) == ask.cache_key(1, f=2, e=1)
    different = [ask.cache_key(*a, **k) for a, k in (((1,), {}), ((1, 3), {}), ((1, 2, 4), {}), ((1, 2, 3, 4), {}),
                 ((1,), {"d": 5}), ((1,), {"e": 5}), ((1,), {"a": 5}), ((1, 2, 3, 4, 5), {}))]  # fmt: skip
    assert len(set(different)) == len(different)
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in different)
    assert ask(1, 2, 3, 4, e=5) == ask(1, 2, 3, 4, e=5) == (1, 2, 3, (4,), 4, {"e": 5})
    assert len(calls) == 1
    assert last_call().key == ask.cache_key(1, 2, 3, 4, e=5)


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"a": 1}), ((1,), {"z": 1}), ((), {"b": 1})]
)
def test_wrong_arguments_are_a_type_error_and_no_call(cache, args, kwargs):
    @cached_call(cache=cache)
    def ask(a, b=2):
        return noted(a)

    with pytest.raises(TypeError, match=r"ask\(\)"):
        ask(*args, **kwargs)
    assert calls == []


def test_partials_and_lambdas(cache):
    def ask(a, b, *, c=3):
        return noted((a, b, c))

    cached, partial = cached_call(cache=cache)(ask), cached_call(cache=cache)(functools.partial(ask, 1, c=5))
    assert partial(2) == (1, 2, 5)
    assert partial.cache_key(2) == cached.cache_key(1, 2, c=5)
    assert partial.cache_key(2, c=6) == cached.cache_key(1, 2, c=6)
    assert cached(1, 2, c=5) == (1, 2, 5)
    assert status() == "hit"
    assert functools.partial(cached, 1)(2, c=5) == (1, 2, 5)
    assert len(calls) == 1
    assert (partial.__name__, partial.uncached(2)) == ("ask", (1, 2, 5))
    double = cached_call(cache=cache)(lambda x: noted(x * 2))
    assert [double(2), double(2), double(3), len(calls)] == [4, 4, 6, 4]


def test_a_function_around_which_others_have_wrapped_something(cache):
    @cached_call(cache=cache)
    @functools.lru_cache
    def ask(x):
        return noted(x)

    assert [ask(1), ask(1), status()] == [1, 1, "hit"]

    @cached_call(cache=cache, ttl_days=1)
    @cached_call(cache=cache, ttl_days=2)
    def twice(x):
        return noted(x)

    # Both have one key, so that the inner one would wait for the outer if it did not know.
    assert [twice(5), twice(5), len(calls)] == [5, 5, 2]


def test_recursion(cache):
    @cached_call(cache=cache)
    def fibonacci(n):
        return noted(n) if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(20) == 6765
    assert sorted(calls) == [0, 1]


def test_invalidate_and_uncached(cache):
    @cached_call(cache=cache)
    def ask(x, y=1):
        return noted(x)

    assert not ask.invalidate(1)
    ask(1)
    ask(2)
    assert ask.invalidate(x=1, y=1)
    assert not ask.invalidate(1)
    assert [ask(2), status(), ask(1), status()] == [2, "hit", 1, "miss"]
    assert ask.uncached(1) == 1
    assert calls == [1, 2, 1, 1]


def test_ignored_arguments(cache):
    @cached_call(cache=cache, ignore=("client", "trace"))
    def ask(prompt, client, **more):
        return noted(prompt)

    assert ask("a", object(), trace=object()) == ask("a", object()) == "a"
    assert ask.cache_key("a", 1, trace=1) == ask.cache_key("a", 2) != ask.cache_key("a", 1, other=1)
    assert calls == ["a"]


@pytest.mark.parametrize("ignore", [("clinet",), "clinet", ["prompt", "clinet"]])
def test_an_unknown_name_in_ignore_is_an_error_at_once(ignore):
    with pytest.raises(ConfigError, match=r"'clinet'.*ask\(\); it takes prompt, client"):

        @cached_call(ignore=ignore)
        def ask(prompt, client): ...


@pytest.mark.parametrize("given", [{"ttl_days": 0}, {"ttl_days": "soon"}, {"provider": "x", "model": 5}])
def test_a_wrong_setting_is_an_error_at_once(given):
    with pytest.raises(ConfigError):
        cached_call(**given)(lambda: 1)


@pytest.mark.parametrize("thing", [5, int, object(), functools.partial(int), type("C", (), {"__call__": len})()])
def test_only_functions_are_decorated(thing):
    with pytest.raises(TypeError, match="decorates functions"):
        cached_call(cache=None)(thing)


def test_version_replaces_the_digest(cache, write_module):
    source = "T = 'one'\ndef ask(x): return x + T"
    one, two = write_module(source), write_module(source.replace("one", "two"))
    keys = {cached_call(cache=cache)(module.ask).cache_key("x") for module in (one, two)}
    assert len(keys) == 2
    versions = {cached_call(cache=cache, version=1)(module.ask).cache_key("x") for module in (one, two)}
    assert len(versions) == 1
    others = {cached_call(cache=cache, version=v)(one.ask).cache_key("x") for v in (1, 2, "1", None, (1,))}
    assert len(others) == 5


def test_provider_model_name_and_namespace_count(cache):
    def one(x): ...

    def two(x): ...

    keys = {
        cached_call(cache=cache)(one).cache_key(1),
        cached_call(cache=cache)(two).cache_key(1),
        cached_call("openai", cache=cache)(one).cache_key(1),
        cached_call("openai", "gpt-4", cache=cache)(one).cache_key(1),
        cached_call(None, "gpt-4", cache=cache)(one).cache_key(1),
    }
    with options(namespace="other"):
        keys.add(cached_call(cache=cache)(one).cache_key(1))
    with options(sample=1):
        keys.add(cached_call(cache=cache)(one).cache_key(1))
    assert len(keys) == 7
    assert cached_call(ttl_days=1, cache=cache)(one).cache_key(1) == cached_call(cache=cache)(one).cache_key(1)


def test_errors_of_the_function_pass_through_unwrapped(cache):
    cause = KeyError("cause")

    @cached_call(cache=cache)
    def ask(kind):
        noted(kind)
        raise kind("no") from cause

    for kind in (ValueError, StopIteration, StopAsyncIteration, CacheMissError, KeyboardInterrupt, SystemExit):
        for _ in range(2):
            with pytest.raises(kind) as caught:
                ask.uncached(kind)
            with pytest.raises(kind) as caught:
                ask_of(ask, kind)
            assert caught.value.__cause__ is cause
            assert type(caught.value) is kind
    assert list(cache.entries()) == []
    assert last_call().status == "miss"


def ask_of(ask, kind):
    @cached_call(cache=ask._recipe._cache, ignore="kind")
    def raising(kind):
        return ask.uncached(kind)

    return raising(kind)


def test_errors_of_a_coroutine_pass_through_unwrapped(cache):
    cause = KeyError("cause")

    @cached_call(cache=cache)
    async def ask(text):
        noted(text)
        raise ValueError(text) from cause

    for _ in range(2):
        with pytest.raises(ValueError, match="no") as caught:
            asyncio.run(ask("no"))
        assert caught.value.__cause__ is cause
    assert calls == ["no", "no"]


def test_arguments_that_the_function_changes_count_as_they_were(cache):
    @cached_call(cache=cache)
    def ask(messages):
        messages.append("answer")
        return noted(len(messages))

    assert [ask(["a"]), ask(["a"]), ask(["a", "answer"])] == [2, 2, 3]
    assert calls == [2, 3]


def test_a_cache_that_does_not_work_costs_misses_only(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with LLMCache(database_url=str(tmp_path / "file" / "cache.db")) as broken:

        @cached_call(cache=broken)
        def ask(x):
            return noted(x)

        assert [ask(1), ask(1)] == [1, 1]


def test_a_digest_that_cannot_be_made_costs_the_entry_only(cache, monkeypatch, caplog):
    @cached_call(cache=cache)
    def ask(x):
        return noted(x)

    @cached_call(cache=cache, version=1)
    def fixed(x):
        return noted(x)

    def broken(*_):
        raise RuntimeError("nobody has foreseen this")

    monkeypatch.setattr("llm_cache.clients.function_digest.Plan", broken)
    assert [ask(1), ask(1), status(), last_call().reason] == [1, 1, "bypass", "code_unreadable"]
    assert [fixed(2), fixed(2), status()] == [2, 2, "hit"]
    assert len(caplog.records) == 1
    assert "version=" in caplog.text
