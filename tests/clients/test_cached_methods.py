"""`cached_call` on methods: bound to what they are called on, whatever decorator stands above or below."""

from __future__ import annotations

import dataclasses
import inspect
import sys

import pydantic
import pytest

from llm_cache import cached_call, last_call

calls = []


@pytest.fixture(autouse=True)
def _none_yet():
    calls.clear()


def status():
    return last_call().status


def agents(cache):
    class Plain:
        def __init__(self, client=None):
            self.client = client

        @cached_call(cache=cache, ignore=("self",))
        def ask(self, x, y=1):
            """Asks."""
            calls.append(x)
            return [x, y]

        @cached_call(cache=cache)
        def refused(self, x): ...

        @classmethod
        @cached_call(cache=cache)
        def below(cls, x):
            calls.append(x)
            return cls.__name__, x

        @cached_call(cache=cache)
        @classmethod
        def above(cls, x):
            calls.append(x)
            return cls.__name__, x

        @staticmethod
        @cached_call(cache=cache)
        def static_below(x):
            calls.append(x)
            return x

        @cached_call(cache=cache)
        @staticmethod
        def static_above(x):
            calls.append(x)
            return x

        @cached_call(cache=cache, ignore="self")
        async def later(self, x):
            calls.append(x)
            return x

        @cached_call(cache=cache, ignore="self")
        def items(self, n):
            calls.append(n)
            yield from range(n)

    class Child(Plain):
        pass

    return Plain, Child


def test_a_method_whose_self_is_left_out(cache):
    plain, _ = agents(cache)
    one, two = plain(object()), plain(object())
    assert [one.ask(1), status(), two.ask(1), status(), plain.ask(one, 1, y=1), status()] == [
        [1, 1], "miss", [1, 1], "hit", [1, 1], "hit",
    ]  # fmt: skip
    assert one.ask.cache_key(1) == two.ask.cache_key(1) == plain.ask.cache_key(one, 1) == last_call().key
    assert one.ask.invalidate(1)
    assert not two.ask.invalidate(1)
    assert one.ask.uncached(5) == [5, 1]
    assert calls == [1, 5]


def test_it_looks_like_a_method(cache):
    plain, _ = agents(cache)
    one, two = plain(), plain()
    assert (one.ask.__name__, one.ask.__doc__, one.ask.__module__) == ("ask", "Asks.", __name__)
    assert one.ask.__self__ is one
    assert str(inspect.signature(one.ask)) == "(x, y=1)"
    assert str(inspect.signature(plain.ask)) == "(self, x, y=1)"
    assert str(inspect.signature(plain.above)) == "(x)"
    assert one.ask == one.ask != two.ask
    assert hash(one.ask) == hash(one.ask)
    assert inspect.iscoroutinefunction(one.later)
    assert inspect.isgeneratorfunction(one.items)
    assert not inspect.iscoroutinefunction(one.ask)


def test_self_without_fields_is_refused_with_advice(cache):
    plain, _ = agents(cache)
    with pytest.raises(TypeError, match=r"'self'.*dataclass or a pydantic model.*ignore=\('self',\)"):
        plain().refused(1)


@pytest.mark.parametrize("name", ["below", "above"])
def test_class_methods(cache, name):
    plain, child = agents(cache)
    of_plain, of_child = getattr(plain, name), getattr(child, name)
    assert [of_plain(1), of_plain(1), getattr(plain(), name)(1), status()] == [("Plain", 1)] * 3 + ["hit"]
    assert [of_child(1), status()] == [("Child", 1), "miss"]
    assert calls == [1, 1]
    if name == "above" or sys.version_info < (3, 13):
        assert of_plain.cache_key(1) != of_child.cache_key(1)
        assert of_plain.invalidate(1)
        assert of_plain.uncached(3) == ("Plain", 3)


@pytest.mark.parametrize("name", ["static_below", "static_above"])
def test_static_methods(cache, name):
    plain, child = agents(cache)
    assert [getattr(each, name)(1) for each in (plain, plain(), child, child())] == [1] * 4
    assert calls == [1]
    assert getattr(plain, name).cache_key(1) == getattr(child(), name).cache_key(1)


async def test_coroutine_methods(cache):
    plain, _ = agents(cache)
    assert [await plain().later(1), await plain().later(1), status()] == [1, 1, "hit"]


def test_generator_methods(cache):
    plain, _ = agents(cache)
    assert [list(plain().items(3)), list(plain().items(3)), status()] == [[0, 1, 2], [0, 1, 2], "hit"]


@dataclasses.dataclass
class Agent:
    model: str
    temperature: float = 1.0

    HEAD = "Hi "

    def head(self):
        return self.HEAD

    @cached_call
    def ask(self, x):
        calls.append((self.model, x))
        return self.head() + x


class Settings(pydantic.BaseModel):
    model: str

    @cached_call
    def ask(self, x):
        calls.append((self.model, x))
        return x


@pytest.mark.parametrize("kind", [Agent, Settings])
def test_self_counts_by_its_fields(kind, tmp_path, monkeypatch):
    one, two, other = kind(model="a"), kind(model="a"), kind(model="b")
    assert one.ask.cache_key("x") == two.ask.cache_key("x") != other.ask.cache_key("x")
    before = one.ask.cache_key("x")
    one.model = "c"
    assert one.ask.cache_key("x") != before


def test_what_a_method_takes_from_its_class_counts(monkeypatch):
    agent = Agent("a")
    before = agent.ask.cache_key("x")
    monkeypatch.setattr(Agent, "HEAD", "Ho ")
    assert agent.ask.cache_key("x") != before
    monkeypatch.undo()
    assert agent.ask.cache_key("x") == before


def test_a_bound_method_of_somebody_elses_class(cache):
    class Client:
        def create(self, prompt, *, model):
            calls.append(prompt)
            return prompt, model

    create = cached_call(cache=cache, ignore="self")(Client().create)
    assert [create("a", model="m"), create("a", model="m"), status()] == [("a", "m"), ("a", "m"), "hit"]
    assert calls == ["a"]
    again = cached_call(cache=cache, ignore="self")(Client().create)
    assert again.cache_key("a", model="m") == last_call().key
    assert str(inspect.signature(create)) == "(prompt, *, model)"


def test_methods_of_one_name_in_two_classes_are_two(cache):
    class One:
        @cached_call(cache=cache, ignore="self")
        def ask(self, x):
            return 1

    class Two:
        @cached_call(cache=cache, ignore="self")
        def ask(self, x):
            return 1

    assert One().ask.cache_key(1) != Two().ask.cache_key(1)
