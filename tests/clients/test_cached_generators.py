"""Streams of a function: passed on while they are recorded, kept only when they have come to their own end."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading

import pytest

from llm_cache import cached_call, last_call, options
from tests.clients.call_classes import Odd, Point

calls = []


@pytest.fixture(autouse=True)
def _none_yet():
    calls.clear()


def status():
    return last_call().status


def returned_by(generator):
    items = []
    while True:
        try:
            items.append(next(generator))
        except StopIteration as stop:
            return items, stop.value


@pytest.fixture
def count(cache):
    @cached_call(cache=cache)
    def count(n, fail_at=None, result=None):
        for i in range(n):
            calls.append(i)
            if i == fail_at:
                raise ValueError(i)
            yield Point(i)
        return result

    return count


def test_items_and_what_the_generator_returned(count, cache):
    for result in (None, "end", [Point(9)]):
        first = returned_by(count(3, result=result))
        second = returned_by(count(3, result=result))
        assert (first, status()) == (second, "hit") == (([Point(0), Point(1), Point(2)], result), "hit")
    assert len(calls) == 9
    assert all(entry.stream and len(entry.response) == 3 for entry in cache.entries())


def test_it_begins_with_its_first_item(count):
    generator = count(2)
    assert last_call() is None or last_call().status != "x"
    assert calls == []
    assert next(generator) == Point(0)
    assert calls == [0]
    assert next(generator) == Point(1)
    assert calls == [0, 1]
    assert returned_by(generator) == ([], None)
    assert returned_by(count(0)) == returned_by(count(0)) == ([], None)
    assert status() == "hit"


def test_what_is_abandoned_leaves_nothing(count, cache):
    for leave in (lambda g: g.close(), lambda g: None):
        generator = count(3)
        next(generator)
        leave(generator)
        del generator
        gc.collect()
    count(3)
    assert list(cache.entries()) == []
    assert len(returned_by(count(3))[0]) == 3
    assert status() == "miss"


def test_an_error_in_the_middle_leaves_nothing_and_is_raised(count, cache):
    for fail_at in (0, 2):
        for _ in range(2):
            generator = count(4, fail_at=fail_at)
            assert [next(generator) for _ in range(fail_at)] == [Point(i) for i in range(fail_at)]
            with pytest.raises(ValueError, match=str(fail_at)):
                next(generator)
            assert status() == "miss"
    assert list(cache.entries()) == []


def test_each_caller_has_its_own_items(count):
    list(count(2))
    first, second = list(count(2)), list(count(2))
    first[0].x = "changed"
    assert second == list(count(2)) == [Point(0), Point(1)]


def test_nothing_can_be_sent_but_errors_can_be_thrown(count):
    for _ in range(2):
        generator = count(3)
        next(generator)
        with pytest.raises(TypeError, match="takes no values"):
            generator.send("x")
        generator = count(3)
        next(generator)
        with pytest.raises(KeyError):
            generator.throw(KeyError("x"))
        assert list(generator) == []
        list(count(3))
    assert status() == "hit"


def test_without_a_cache_everything_reaches_the_generator(cache):
    @cached_call(cache=cache)
    def echo():
        received = yield "first"
        try:
            received = yield received
        except KeyError:
            received = "caught"
        return received

    with options(mode="off"):
        generator = echo()
        assert next(generator) == "first"
        assert generator.send("sent") == "sent"
        with pytest.raises(StopIteration, match="caught"):
            generator.throw(KeyError("x"))
    assert status() == "bypass"


def test_arguments_count_as_they_are_when_the_body_sees_them(cache):
    @cached_call(cache=cache)
    def ask(messages):
        yield from list(messages)

    messages = ["a"]
    generator = ask(messages)
    messages.append("b")
    assert list(generator) == ["a", "b"]
    assert list(ask(["a"])) == ["a"]
    assert [list(ask(["a", "b"])), status()] == [["a", "b"], "hit"]


def test_options_hold_for_the_call_wherever_it_is_read(count):
    with options(namespace="other"):
        generator = count(2)
    list(generator)
    list(count(2))
    assert status() == "miss"
    with options(namespace="other"):
        list(count(2))
    assert status() == "hit"


def test_an_item_that_cannot_be_kept_ends_the_recording_and_not_the_stream(cache, caplog, warned):
    @cached_call(cache=cache)
    def mixed(n):
        calls.append(n)
        yield 1
        odd = Odd()
        yield odd
        yield 3
        return "end"

    for _ in range(2):
        items, result = returned_by(mixed(1))
        assert (items[0], type(items[1]), items[2], result) == (1, Odd, 3, "end")
    assert len(calls) == 2
    assert list(cache.entries()) == []
    assert len(caplog.records) == 1
    assert "call_classes.Odd" in caplog.text


def test_a_result_of_a_generator_that_cannot_be_kept(cache, warned):
    @cached_call(cache=cache)
    def ask():
        yield 1
        return Odd()

    items, result = returned_by(ask())
    assert (items, type(result)) == ([1], Odd)
    assert list(cache.entries()) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: (i for i in "abc"),
        lambda: iter(["a", "b", "c"]),
        lambda: map(str, "abc"),
        lambda: itertools.chain("ab", "c"),
        lambda: (value for value in [Point(1), None]),
    ],
)
def test_iterators_that_a_function_returns(cache, make):
    @cached_call(cache=cache)
    def ask(stream=True):
        calls.append(stream)
        return make() if stream else "plain"

    first = ask()
    second = [list(first), list(ask()), list(ask())]
    assert second[0] == second[1] == second[2] == list(make())
    assert [status(), ask(False), ask(False), status(), len(calls)] == ["hit", "plain", "plain", "hit", 2]


def test_an_iterator_that_is_returned_stays_lazy(cache):
    @cached_call(cache=cache)
    def ask():
        return (calls.append(i) or i for i in range(3))

    stream = ask()
    assert calls == []
    assert next(stream) == 0
    assert calls == [0]
    stream.close()
    assert list(cache.entries()) == []


def test_files_and_other_iterators_with_a_life_of_their_own_are_left_alone(cache, tmp_path, warned, caplog):
    path = tmp_path / "file"
    path.write_text("a\nb\n")

    @cached_call(cache=cache)
    def ask():
        calls.append(1)
        return path.open()

    for _ in range(2):
        with ask() as file:
            assert file.read() == "a\nb\n"
    assert len(calls) == 2
    assert "TextIOWrapper" in caplog.text


def test_two_streams_of_one_call_read_in_turn_are_one_call(count):
    first, second = count(4), count(4)
    seen = [next(first), next(second), next(second), next(first)]
    assert seen == [Point(0), Point(0), Point(1), Point(1)]
    assert list(first) == list(second) == [Point(2), Point(3)]
    assert calls == [0, 1, 2, 3]


def test_a_caller_who_leaves_leaves_the_stream_to_the_others(count, cache):
    first, second = count(4), count(4)
    next(first)
    next(second)
    first.close()
    assert list(second) == [Point(1), Point(2), Point(3)]
    assert calls == [0, 1, 2, 3]
    assert len(list(cache.entries())) == 1


def test_an_error_reaches_everyone_who_has_seen_an_item(count):
    generators = [count(4, fail_at=2) for _ in range(3)]
    assert [next(generator) for generator in generators] == [Point(0)] * 3
    errors = []
    for generator in generators:
        with pytest.raises(ValueError, match="2") as caught:
            list(generator)
        errors.append(caught.value)
    assert calls == [0, 1, 2]
    assert len({id(error) for error in errors}) == 3


# --- async -----------------------------------------------------------------------------------


@pytest.fixture
def acount(cache):
    @cached_call(cache=cache)
    async def acount(n, fail_at=None):
        for i in range(n):
            calls.append(i)
            if i == fail_at:
                raise ValueError(i)
            await asyncio.sleep(0)
            yield Point(i)

    return acount


async def items_of(stream):
    return [item async for item in stream]


async def test_async_items(acount, cache):
    assert await items_of(acount(3)) == await items_of(acount(3)) == [Point(0), Point(1), Point(2)]
    assert (status(), calls) == ("hit", [0, 1, 2])
    assert await items_of(acount(0)) == await items_of(acount(0)) == []
    (entry, _) = cache.entries()
    assert entry.stream


async def test_async_abandoned_and_broken_streams_leave_nothing(acount, cache):
    stream = acount(3)
    assert await anext(stream) == Point(0)
    await stream.aclose()
    stream = acount(3)
    await anext(stream)
    with pytest.raises(KeyError):
        await stream.athrow(KeyError("x"))
    for fail_at in (0, 1):
        with pytest.raises(ValueError, match=str(fail_at)):
            await items_of(acount(3, fail_at=fail_at))
    assert list(cache.entries()) == []


async def test_nothing_can_be_sent_to_an_async_generator(acount):
    for _ in range(2):
        stream = acount(3)
        await anext(stream)
        with pytest.raises(TypeError, match="takes no values"):
            await stream.asend("x")
        await items_of(acount(3))


async def test_without_a_cache_everything_reaches_an_async_generator(cache):
    @cached_call(cache=cache)
    async def echo():
        received = yield "first"
        try:
            received = yield received
        except KeyError:
            yield "caught"

    with options(mode="off"):
        stream = echo()
        assert await anext(stream) == "first"
        assert await stream.asend("sent") == "sent"
        assert await stream.athrow(KeyError("x")) == "caught"
        assert await items_of(stream) == []


async def test_async_generators_that_a_coroutine_returns(cache):
    @cached_call(cache=cache)
    async def ask(stream=True):
        async def items():
            for i in range(3):
                calls.append(i)
                yield i

        return items() if stream else "plain"

    first = await ask()
    assert calls == []
    assert await items_of(first) == await items_of(await ask()) == [0, 1, 2]
    assert [await ask(False), await ask(False), status(), len(calls)] == ["plain", "plain", "hit", 3]


async def test_two_async_streams_of_one_call_are_one_call(acount):
    found = await asyncio.gather(*(items_of(acount(4)) for _ in range(50)))
    assert found == [[Point(i) for i in range(4)]] * 50
    assert calls == [0, 1, 2, 3]


async def test_an_async_item_that_cannot_be_kept(cache, warned):
    @cached_call(cache=cache)
    async def mixed():
        yield 1
        yield Odd()
        yield 3

    items = await items_of(mixed())
    assert (items[0], type(items[1]), items[2]) == (1, Odd, 3)
    assert list(cache.entries()) == []


def test_threads_read_one_stream(cache):
    gate = threading.Event()

    @cached_call(cache=cache)
    def slow():
        calls.append(1)
        yield 0
        gate.wait(10)
        yield 1

    found = []
    threads = [threading.Thread(target=lambda: found.append(list(slow()))) for _ in range(50)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(20)
    assert found == [[0, 1]] * 50
    assert calls == [1]
