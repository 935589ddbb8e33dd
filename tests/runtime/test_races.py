"""Fifty callers make the same streaming call at once: one pays and all are served, however they are scheduled."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time

import pytest

from llm_cache.core.events import Dropped, Hit, Joined, Missed
from llm_cache.core.model import Head
from llm_cache.runtime.sync import SyncReader
from tests.runtime.staging import Crowd, Gate, Script, Stage, abody, body

OK = Head(200)
BODY = b"a\nb\nEND\n"
CROWD = 50


@pytest.fixture(params=[1e-6, 0.005], ids=["switching-all-the-time", "switching-as-usual"])
def _switching(request):
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_switching")
def test_fifty_threads_pay_once_in_each_of_eighty_races():
    for turn in range(80):
        # Now and then the upstream takes its time, so that more of them meet in flight than in the store.
        pauses = [lambda: time.sleep(0.001)] * (turn % 2)
        stage = Stage(Script(*pauses, OK, b"a\n", *pauses, b"b\n", b"END\n"))
        assert Crowd(CROWD, lambda _, stage=stage: stage.call()).join() == [BODY] * CROWD
        assert stage.source.sends == 1
        assert stage.source.closed == 1
        assert stage.aloft == 0
        assert stage.ear.count(Missed) == 1
        stage.ear.balance(calls=CROWD, fetches=1)


async def test_fifty_tasks_pay_once_in_each_of_a_hundred_races():
    for _ in range(100):
        stage = Stage()
        calls = [stage.acall() for _ in range(CROWD)]
        random.shuffle(calls)
        assert await asyncio.gather(*calls) == [BODY] * CROWD
        assert stage.source.sends == 1
        assert stage.source.closed == 1
        assert stage.aloft == 0
        assert (stage.ear.count(Missed), stage.ear.count(Joined)) == (1, CROWD - 1)
        stage.ear.balance(calls=CROWD, fetches=1)


def test_threads_and_loops_together_pay_once():
    for _ in range(5):
        stage = Stage(Script(b"a\n", lambda: time.sleep(0.002), b"b\n", b"END\n"))

        async def several(stage=stage):
            return await asyncio.gather(*[stage.acall() for _ in range(5)])

        def act(number, stage=stage, several=several):
            return [stage.call()] * 5 if number % 2 else asyncio.run(several())

        assert Crowd(8, act).join() == [[BODY] * 5] * 8
        assert stage.source.sends == 1
        stage.ear.balance(calls=24, fetches=1)


def test_every_thread_has_its_first_chunk_before_the_stream_has_ended():
    begun, all_begun = [], Gate()

    def act(_):
        reader = stage.run()
        first = next(reader)
        begun.append(reader.follows)
        if len(begun) == CROWD:
            all_begun.open()
        return first + body(reader)

    stage = Stage(Script(b"a\n", all_begun, b"END\n"))
    assert Crowd(CROWD, act).join() == [b"a\nEND\n"] * CROWD
    assert sorted(begun) == [False] + [True] * (CROWD - 1)
    assert stage.source.sends == 1


async def test_every_task_has_its_first_chunk_before_the_stream_has_ended():
    begun, all_begun = [], asyncio.Event()

    async def act():
        reader = await stage.arun()
        first = await anext(reader)
        begun.append(reader.follows)
        if len(begun) == CROWD:
            all_begun.set()
        return first + await abody(reader)

    stage = Stage(Script(b"a\n", all_begun, b"END\n"))
    assert await asyncio.gather(*[act() for _ in range(CROWD)]) == [b"a\nEND\n"] * CROWD
    assert sorted(begun) == [False] + [True] * (CROWD - 1)
    assert stage.source.sends == 1


@pytest.mark.usefixtures("_switching")
def test_threads_that_come_and_go_as_they_like_see_whole_answers_or_errors():
    """Some close early, some drop their reader, some upstreams break: nobody sees an end that is none."""
    chance = random.Random(7)
    for _ in range(40):
        broken = chance.random() < 0.4
        tail = [OSError("reset")] if broken else [b"d\n", b"END\n"]
        stage = Stage(Script(b"a\n", b"b\n", b"c\n", *tail), Script(b"a\n", b"b\n", b"c\n", b"d\n", b"END\n"))
        plans = [chance.choice(["read", "read", "close", "drop"]) for _ in range(12)]
        steps = [chance.randrange(4) for _ in plans]

        def act(number, stage=stage, plans=plans, steps=steps):
            outcome = stage.run()
            if plans[number] == "read":
                return body(outcome)
            if isinstance(outcome, SyncReader):
                for _ in range(steps[number]):
                    next(outcome, None)
                if plans[number] == "close":
                    outcome.close()
            return None

        for plan, result in zip(plans, Crowd(12, act).join(), strict=True):
            if isinstance(result, BaseException):
                assert str(result) == "reset"
            elif plan == "read":
                assert result == b"a\nb\nc\nd\nEND\n"
        assert stage.stored in ([], [b"a\nb\nc\nd\nEND\n"])


async def test_tasks_that_come_and_go_as_they_like_see_whole_answers_or_errors():
    chance = random.Random(11)
    for _ in range(60):
        broken = chance.random() < 0.4
        tail = [OSError("reset")] if broken else [b"d\n", b"END\n"]
        stage = Stage(Script(b"a\n", b"b\n", b"c\n", *tail), Script(b"a\n", b"b\n", b"c\n", b"d\n", b"END\n"))
        tasks = []
        for _ in range(12):
            tasks.append(asyncio.create_task(stage.acall()))
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        for task in tasks:
            if chance.random() < 0.4:
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                assert isinstance(result, asyncio.CancelledError) or str(result) == "reset"
            else:
                assert result == b"a\nb\nc\nd\nEND\n"
        for _ in range(100):
            if stage.aloft == 0 and stage.source.all_closed:
                break
            await asyncio.sleep(0.005)
        assert stage.aloft == 0
        assert stage.source.all_closed
        assert stage.stored in ([], [b"a\nb\nc\nd\nEND\n"])


def test_a_race_of_calls_and_a_purge_never_serves_half(monkeypatch):
    """Rows that vanish under the callers cost calls and nothing else."""
    stage = Stage()
    over = threading.Event()

    def purge():
        while not over.is_set():
            stage.store._rows.clear()

    purging = threading.Thread(target=purge, daemon=True)
    purging.start()
    results = Crowd(8, lambda _: [stage.call() for _ in range(30)]).join()
    over.set()
    purging.join()
    assert results == [[BODY] * 30] * 8
    stage.ear.balance(calls=240, fetches=stage.source.sends)
    assert stage.ear.count(Dropped) == 0
    assert stage.ear.count(Hit) + stage.ear.count(Joined) + stage.ear.count(Missed) == 240
