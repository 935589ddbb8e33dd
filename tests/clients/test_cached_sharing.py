"""Promise 4 for functions: callers at the same time pay once, in threads and in tasks, and each has its own object."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from llm_cache import cached_call, last_call, options
from tests.clients.call_classes import Odd, Point

calls = []
CALLERS = 50


@pytest.fixture(autouse=True)
def _none_yet():
    calls.clear()


def together(*jobs):
    """Run in threads that begin at once; what each gave or raised."""
    found = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def run(number, job):
        barrier.wait(20)
        try:
            found[number] = job(), last_call().status
        except Exception as error:
            found[number] = error, None

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_threads_pay_once(cache):
    @cached_call(cache=cache)
    def ask(x):
        calls.append(x)
        time.sleep(0.2)
        return Point(x, [x])

    found = together(*[lambda: ask(1)] * CALLERS)
    assert [value for value, _ in found] == [Point(1, [1])] * CALLERS
    assert calls == [1]
    statuses = [status for _, status in found]
    assert statuses.count("miss") == 1
    assert statuses.count("joined") + statuses.count("hit") == CALLERS - 1
    assert len({id(value) for value, _ in found}) == CALLERS
    stats = cache.stats()
    assert (stats.misses, stats.hits) == (1, CALLERS - 1)


async def test_tasks_pay_once(cache):
    @cached_call(cache=cache)
    async def ask(x):
        calls.append(x)
        await asyncio.sleep(0.05)
        return Point(x, [x])

    found = await asyncio.gather(*(ask(1) for _ in range(CALLERS)))
    assert found == [Point(1, [1])] * CALLERS
    assert calls == [1]
    assert len({id(value) for value in found}) == CALLERS
    assert cache.stats().misses == 1


async def test_a_task_that_is_cancelled_leaves_the_call_to_the_others(cache):
    @cached_call(cache=cache)
    async def ask(x):
        calls.append(x)
        await asyncio.sleep(0.05)
        return x

    leader = asyncio.create_task(ask(1))
    await asyncio.sleep(0.01)
    followers = [asyncio.create_task(ask(1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    leader.cancel()
    assert await asyncio.gather(*followers) == [1, 1, 1]
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert calls == [1]


def test_a_call_that_fails_hands_over_to_one_other(cache):
    numbers = itertools.count(1)

    @cached_call(cache=cache)
    def ask(x):
        calls.append(x)
        time.sleep(0.1)
        if next(numbers) == 1:
            raise ValueError("first")
        return x

    found = together(*[lambda: ask(1)] * 10)
    assert sum(isinstance(value, ValueError) for value, _ in found) == 1
    assert sum(value == 1 for value, _ in found) == 9
    assert calls == [1, 1]


def test_a_result_that_cannot_be_kept_is_everybodys_own(cache, warned):
    @cached_call(cache=cache)
    def ask(x):
        calls.append(x)
        time.sleep(0.02)
        return Odd()

    found = together(*[lambda: ask(1)] * 5)
    assert len({id(value) for value, _ in found}) == 5
    assert all(type(value) is Odd for value, _ in found)
    assert len(calls) == 5


def test_samples_are_drawn_apart(cache):
    draws = itertools.count(1)

    @cached_call(cache=cache)
    def ask(x):
        return next(draws)

    def draw(sample):
        with options(sample=sample):
            return ask(1)

    assert [draw(0), draw(1), draw(2), draw(1), draw(0)] == [1, 2, 3, 2, 1]


def test_a_thread_and_a_loop_share_what_is_stored(cache):
    async def both():
        return await ask(1), await ask(1)

    @cached_call(cache=cache)
    async def ask(x):
        calls.append(x)
        return x

    assert asyncio.run(both()) == asyncio.run(both()) == (1, 1)
    assert calls == [1]


def test_without_asyncio(cache):
    trio = pytest.importorskip("trio")

    @cached_call(cache=cache)
    async def ask(x):
        calls.append(x)
        await trio.sleep(0)
        return x

    @cached_call(cache=cache)
    async def items(n):
        for i in range(n):
            await trio.sleep(0)
            yield i

    async def main():
        first = [await ask(1), await ask(1), last_call().status]
        return first, [i async for i in items(3)], [i async for i in items(3)]

    assert trio.run(main) == ([1, 1, "hit"], [0, 1, 2], [0, 1, 2])
    assert calls == [1]
