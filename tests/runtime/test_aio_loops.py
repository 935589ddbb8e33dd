"""Loops end, threads and loops share a store, and some callers run on no asyncio at all: nobody is left waiting."""

from __future__ import annotations

import asyncio
import gc
import logging
import time

import pytest
import trio
import trio.lowlevel

from llm_cache.core.events import Dropped, Hit, Missed, StoreFailed
from llm_cache.core.model import Head
from llm_cache.core.plan import Replay
from llm_cache.core.policy import Mode, Policy
from tests.core.making import OK as OK_HEAD
from tests.runtime.staging import PATIENCE_S, WHOLE, Gate, Script, Stage, abody, asettled, settled, thread

OK = Head(200)
BODY = b"a\nb\nEND\n"

# --- loops that end ---------------------------------------------------------------------------------


async def opened(stage: Stage):
    reader = await stage.arun()
    assert await anext(reader) == b"a\n"
    return reader


def hung(stage: Stage) -> None:
    """Leave a call waiting for its head on a loop that is then closed as it is."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(stage.arun())
    loop.run_until_complete(asettled(lambda: stage.source.sends == 1))
    task._log_destroy_pending = False  # the user's own; ours must take care of itself
    loop.close()


def test_when_asyncio_run_ends_what_flew_on_its_loop_has_landed():
    stage = Stage(Script(b"a\n", asyncio.Event()), Script(*WHOLE))
    reader = asyncio.run(opened(stage))
    assert stage.aloft == 0
    assert stage.source.all_closed
    assert stage.ear.of(Dropped)[0].reason == "abandoned"
    assert asyncio.run(stage.acall()) == BODY
    with pytest.raises(ConnectionError):
        asyncio.run(abody(reader))
    stage.ear.balance(calls=2, fetches=2)


@pytest.mark.parametrize("mode", [Mode.READ_WRITE, Mode.REFRESH])
@pytest.mark.parametrize("turns", range(12))
def test_when_asyncio_run_ends_in_the_middle_of_letting_go_the_connection_is_let_go_of(mode, turns):
    """The loop cancels whatever runs then, the closing of a reply included, however far it has come."""
    stage = Stage(Script(*WHOLE), policy=Policy(mode=mode))

    async def main() -> None:
        task = asyncio.create_task(stage.acall())
        for _ in range(turns):
            await asyncio.sleep(0)
        task._log_destroy_pending = False  # whatever becomes of it

    asyncio.run(main())
    gc.collect()
    settled(lambda: stage.aloft == 0 and stage.source.all_closed)


def test_a_loop_that_is_closed_without_cancelling_strands_no_thread():
    stage = Stage(Script(asyncio.Event(), OK), Script(*WHOLE))
    hung(stage)
    began = time.monotonic()
    assert stage.call() == BODY
    assert time.monotonic() - began < 5
    assert stage.source.sends == 2


def test_a_loop_that_is_closed_without_cancelling_strands_no_other_loop():
    stage = Stage(Script(asyncio.Event(), OK), Script(*WHOLE))
    hung(stage)
    began = time.monotonic()
    assert asyncio.run(stage.acall()) == BODY
    assert time.monotonic() - began < 5


def test_who_waits_for_a_loop_that_is_closed_is_let_go():
    stage = Stage(Script(asyncio.Event(), OK), Script(*WHOLE))
    loop = asyncio.new_event_loop()
    task = loop.create_task(stage.arun())
    loop.run_until_complete(asettled(lambda: stage.source.sends == 1))
    waiting = thread(stage.call)
    time.sleep(0.05)
    task._log_destroy_pending = False
    loop.close()
    assert waiting.join() == [BODY]


def test_a_loop_that_is_closed_while_an_answer_is_saved_disturbs_nobody_and_loses_nothing():
    gate = Gate()
    stage = Stage()
    put = stage.store.put
    stage.store.put = lambda row: gate.wait() or put(row)
    loop = asyncio.new_event_loop()
    task = loop.create_task(stage.acall())
    loop.run_until_complete(asettled(lambda: stage.source.sends == 1))
    loop.run_until_complete(asyncio.sleep(0.02))
    task._log_destroy_pending = False
    loop.close()
    del task
    gate.open()
    settled(lambda: stage.stored == [BODY])
    assert isinstance(stage.run(), Replay)


def test_a_reader_of_a_closed_loop_that_is_dropped_is_told_and_disturbs_nobody():
    stage = Stage(Script(b"a\n", asyncio.Event()), Script(*WHOLE))
    loop = asyncio.new_event_loop()
    reader = loop.run_until_complete(opened(stage))
    loop.close()
    del reader
    gc.collect()
    settled(lambda: stage.ear.count(Dropped) == 1)
    assert stage.aloft == 0
    assert stage.call() == BODY
    stage.ear.balance(calls=2, fetches=2)


def test_a_reader_that_still_waits_on_a_closed_loop_disturbs_nobody_who_goes():
    stage = Stage(Script(b"a\n", asyncio.Event()))
    loop = asyncio.new_event_loop()
    readers = [loop.run_until_complete(opened(stage)) for _ in range(2)]
    waiting = loop.create_task(anext(readers[1]))
    loop.run_until_complete(asyncio.sleep(0.01))
    waiting._log_destroy_pending = False
    loop.close()
    del readers[0]
    gc.collect()
    assert stage.access.writer.drain(PATIENCE_S)
    del readers, waiting
    gc.collect()
    settled(lambda: stage.ear.count(Dropped) == 1)


def test_a_collected_task_of_a_closed_loop_lands_wherever_the_collector_runs():
    """Also in the middle of a claim, under its lock."""
    stage = Stage(Script(b"a\n", asyncio.Event()), Script(*WHOLE))
    loop = asyncio.new_event_loop()
    reader = loop.run_until_complete(opened(stage))
    loop.close()
    flights = stage.world.flights
    with flights.lock:
        del reader, loop
        gc.collect()
    settled(lambda: stage.ear.count(Dropped) == 1)
    assert stage.aloft == 0


# --- domains ----------------------------------------------------------------------------------------


async def test_a_task_waits_for_a_thread_and_then_hits():
    gate = Gate()
    stage = Stage(Script(gate, OK, *WHOLE))
    leader = thread(stage.call)
    await asettled(lambda: stage.source.sends == 1)
    waiting = asyncio.create_task(stage.arun())
    await asyncio.sleep(0.03)
    assert not waiting.done()
    gate.open()
    assert isinstance(await waiting, Replay)
    assert leader.join() == [BODY]
    assert stage.source.sends == 1
    stage.ear.balance(calls=2, fetches=1)


async def test_a_thread_waits_for_a_task_and_then_hits():
    gate = asyncio.Event()
    stage = Stage(Script(gate, OK, *WHOLE))
    leader = asyncio.create_task(stage.acall())
    await asettled(lambda: stage.source.sends == 1)
    waiting = asyncio.create_task(asyncio.to_thread(stage.run))
    await asyncio.sleep(0.03)
    assert not waiting.done()
    gate.set()
    assert isinstance(await waiting, Replay)
    assert await leader == BODY
    assert stage.source.sends == 1


def test_a_loop_waits_for_another_loop_and_then_hits():
    gate = Gate()
    stage = Stage(Script(gate, OK, *WHOLE))
    leader = thread(lambda: asyncio.run(stage.acall()))
    settled(lambda: stage.source.sends == 1)
    waiting = thread(lambda: asyncio.run(stage.arun()))
    time.sleep(0.03)
    gate.open()
    assert isinstance(waiting.join()[0], Replay)
    assert leader.join() == [BODY]
    assert stage.source.sends == 1


async def test_the_wait_for_another_domain_is_bounded_and_told_once():
    gate = Gate()
    stage = Stage(Script(gate, OK, *WHOLE), Script(*WHOLE))
    leader = thread(stage.call)
    await asettled(lambda: stage.source.sends == 1)
    began = time.monotonic()
    assert await stage.acall(Policy(join_timeout_s=0.1)) == BODY
    assert 0.1 <= time.monotonic() - began < 5
    assert stage.source.sends == 2
    gate.open()
    assert leader.join() == [BODY]
    stage.ear.balance(calls=2, fetches=2)


async def test_when_the_other_domain_fails_one_of_those_who_wait_leads():
    gate = Gate()
    stage = Stage(Script(gate, OSError("refused"), OK), Script(*WHOLE))
    leader = thread(stage.call)
    await asettled(lambda: stage.source.sends == 1)
    waiting = [asyncio.create_task(stage.acall()) for _ in range(5)]
    await asyncio.sleep(0.03)
    gate.open()
    assert await asyncio.gather(*waiting) == [BODY] * 5
    assert isinstance(leader.join()[0], OSError)
    assert stage.source.sends == 2


async def test_a_plain_call_on_a_loop_does_not_wait_for_what_flies_on_that_very_loop():
    """It would hold the loop up, and wait for itself until its bound."""
    gate = asyncio.Event()
    stage = Stage(Script(gate, OK, *WHOLE), Script(*WHOLE))
    leader = asyncio.create_task(stage.acall())
    await asettled(lambda: stage.source.sends == 1)
    began = time.monotonic()
    assert stage.call() == BODY
    assert time.monotonic() - began < 5
    gate.set()
    assert await leader == BODY


# --- trio -------------------------------------------------------------------------------------------


class TrioReply:
    head = OK_HEAD

    def __init__(self, source, pieces):
        self.source = source
        self.pieces = pieces

    async def chunks(self):
        for piece in self.pieces:
            await trio.lowlevel.checkpoint()
            if isinstance(piece, trio.Event):
                await piece.wait()
            else:
                yield piece

    async def close(self):
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
            self.source.closed += 1


class TrioSource:
    def __init__(self, *pieces):
        self.pieces = pieces
        self.sends = self.closed = 0

    async def asend(self, request):
        self.sends += 1
        await trio.sleep(0.01)
        return TrioReply(self, self.pieces)


def test_on_trio_calls_are_kept_and_hit_and_do_not_join():
    stage, source = Stage(), TrioSource(*WHOLE)
    bodies = []

    async def call():
        bodies.append(await abody(await stage.arun(source=source)))

    async def main():
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(call)
        await call()

    trio.run(main)
    assert bodies == [BODY] * 4
    assert (source.sends, source.closed) == (3, 3)
    assert stage.ear.count(Hit) == 1
    stage.ear.balance(calls=4, fetches=3)
    assert stage.aloft == 0


def test_on_trio_a_thread_does_not_wait_for_it_either():
    stage, source = Stage(), TrioSource(*WHOLE)

    async def main():
        reader = await stage.arun(source=source)
        assert await trio.to_thread.run_sync(stage.call) == BODY
        assert await abody(reader) == BODY

    trio.run(main)


def test_on_trio_a_call_that_is_cancelled_in_the_middle_lands_and_has_no_clean_end():
    stage = Stage()

    async def main():
        source = TrioSource(b"a\n", trio.Event())
        reader = await stage.arun(source=source)
        assert await anext(reader) == b"a\n"
        with trio.move_on_after(0.02) as scope:
            await anext(reader)
        assert scope.cancelled_caught
        with pytest.raises(ConnectionError):
            await anext(reader)
        assert source.closed == 1

    trio.run(main)
    assert [event.reason for event in stage.ear.of(Dropped)] == ["abandoned"]
    stage.ear.balance(calls=1, fetches=1)


def test_on_trio_a_reader_that_is_dropped_is_told():
    stage = Stage()

    async def main():
        reader = await stage.arun(source=TrioSource(*WHOLE))
        del reader
        gc.collect()

    trio.run(main)
    settled(lambda: stage.ear.count(Dropped) == 1)
    assert stage.ear.count(Missed) == 1


def test_on_trio_a_store_that_fails_costs_a_miss(monkeypatch):
    stage = Stage()

    def broken(*_):
        raise OSError("disk")

    monkeypatch.setattr(stage.store, "get", broken)
    monkeypatch.setattr(stage.store, "put", broken)
    logging.getLogger("llm_cache").setLevel(logging.CRITICAL)
    try:
        assert trio.run(lambda: _whole(stage)) == BODY
    finally:
        logging.getLogger("llm_cache").setLevel(logging.NOTSET)
    assert [event.operation for event in stage.ear.of(StoreFailed)] == ["get", "put"]


async def _whole(stage: Stage) -> bytes:
    return await abody(await stage.arun(source=TrioSource(*WHOLE)))
