"""A slow reader never slows a fast one until too much is kept for it; then the fastest waits, but not for ever."""

from __future__ import annotations

import asyncio
import gc
import sys
import time

from llm_cache.core.events import Dropped
from llm_cache.core.policy import Policy
from tests.runtime.staging import PATIENCE_S, Crowd, Script, Stage, abody, asettled, body, settled, thread

CHUNKS = [b"%03d------\n" % number for number in range(100)] + [b"END\n"]
WHOLE = b"".join(CHUNKS)
LIMIT = 10 * 20  # twenty chunks
NARROW = Policy(max_entry_bytes=LIMIT, join_timeout_s=PATIENCE_S)


def narrow(**policy) -> Stage:
    return Stage(Script(*CHUNKS), policy=Policy(**{"max_entry_bytes": LIMIT, "join_timeout_s": PATIENCE_S, **policy}))


def test_below_the_limit_a_fast_thread_does_not_wait_for_a_slow_one():
    stage = Stage(Script(*CHUNKS))
    slow, fast = stage.run(), stage.run()
    began = time.monotonic()
    assert body(fast) == WHOLE
    assert time.monotonic() - began < 5
    assert body(slow) == WHOLE
    assert stage.stored == [WHOLE]


def test_past_the_limit_the_fast_thread_waits_until_the_slow_one_has_read():
    stage = narrow()
    slow, fast = stage.run(), stage.run()
    reading = thread(lambda: body(fast))
    flight = slow._flight
    settled(lambda: flight._tape.crowded)
    kept = flight._tape._size
    time.sleep(0.05)
    assert flight._tape._size == kept <= LIMIT + 10
    assert body(slow) == WHOLE
    assert reading.join() == [WHOLE]
    assert stage.source.sends == 1
    assert [event.reason for event in stage.ear.of(Dropped)] == ["too_large"]
    stage.rests()


def test_each_chunk_that_the_slowest_reads_lets_the_fastest_one_on():
    stage = narrow()
    slow, fast = stage.run(), stage.run()
    reading = thread(lambda: body(fast))
    tape = slow._flight._tape
    for _ in range(5):
        settled(lambda: tape.crowded, within_s=5)
        next(slow)
    settled(lambda: tape.crowded, within_s=5)
    assert body(slow) == b"".join(CHUNKS[5:])
    assert reading.join() == [WHOLE]


def test_readers_that_overtake_each_other_do_not_wait_for_each_other():
    """The fastest goes to sleep; when it wakes it may be the slowest, with something to read, and must not sleep on."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(10):
            stage = narrow(max_entry_bytes=10)
            readers = [stage.run() for _ in range(3)]
            began = time.monotonic()
            assert Crowd(3, lambda number, readers=readers: body(readers[number])).join() == [WHOLE] * 3
            assert time.monotonic() - began < PATIENCE_S / 2
    finally:
        sys.setswitchinterval(interval)


def test_past_the_limit_nobody_may_join():
    stage = narrow()
    slow, fast = stage.run(), stage.run()
    while not fast._flight._tape.crowded:
        next(fast)
    late = stage.run()
    assert not late.follows
    assert stage.source.sends == 2
    fast.close()
    assert body(slow) == body(late) == WHOLE
    stage.rests()


def test_the_fast_thread_waits_for_the_slowest_only_once_and_then_memory_is_the_lesser_evil():
    stage = narrow(join_timeout_s=0.1)
    slow, fast = stage.run(), stage.run()
    began = time.monotonic()
    assert body(fast) == WHOLE
    assert 0.1 <= time.monotonic() - began < 5
    assert body(slow) == WHOLE
    stage.rests()


def test_several_fast_threads_all_get_on():
    for patience_s in (PATIENCE_S, 0.1):
        stage = narrow(join_timeout_s=patience_s)
        slow, *fast = [stage.run() for _ in range(4)]
        crowd = [thread(lambda reader=reader: body(reader)) for reader in fast]
        if patience_s == PATIENCE_S:
            settled(lambda slow=slow: slow._flight._tape.crowded)
            assert body(slow) == WHOLE
        for reading in crowd:
            assert reading.join() == [WHOLE]
        assert body(slow) == (b"" if patience_s == PATIENCE_S else WHOLE)
        stage.rests()


def test_a_slow_thread_that_goes_lets_the_fast_one_on():
    for go in ("close", "drop"):
        stage = narrow()
        slow, fast = stage.run(), stage.run()
        reading = thread(lambda fast=fast: body(fast))
        settled(lambda stage=stage: next(iter(stage.world.flights._aloft.values()))._tape.crowded)
        if go == "close":
            slow.close()
        del slow
        gc.collect()
        assert reading.join() == [WHOLE]
        stage.rests()


def test_a_lone_reader_never_waits_for_anybody():
    stage = narrow(join_timeout_s=60)
    began = time.monotonic()
    reader = stage.run()
    assert body(reader) == WHOLE
    assert time.monotonic() - began < 5
    # And what it has read is not kept.
    assert reader._flight._tape._size <= LIMIT


# --- on an event loop -------------------------------------------------------------------------------


async def test_below_the_limit_a_fast_task_does_not_wait_for_a_slow_one():
    stage = Stage(Script(*CHUNKS))
    slow, fast = await stage.arun(), await stage.arun()
    assert await asyncio.wait_for(abody(fast), 5) == WHOLE
    assert await abody(slow) == WHOLE
    assert stage.stored == [WHOLE]


async def test_past_the_limit_the_fast_task_waits_until_the_slow_one_has_read():
    stage = narrow()
    slow, fast = await stage.arun(), await stage.arun()
    reading = asyncio.create_task(abody(fast))
    tape = slow._flight._tape
    await asettled(lambda: tape.crowded)
    await asyncio.sleep(0.05)
    assert tape._size <= LIMIT + 10
    assert not (await stage.arun()).follows
    assert await abody(slow) == WHOLE
    assert await reading == WHOLE


async def test_the_fast_task_waits_for_the_slowest_only_once():
    stage = narrow(join_timeout_s=0.1)
    slow, *fast = [await stage.arun() for _ in range(4)]
    began = time.monotonic()
    assert await asyncio.gather(*[abody(reader) for reader in fast]) == [WHOLE] * 3
    assert 0.1 <= time.monotonic() - began < 5
    assert await abody(slow) == WHOLE
    stage.rests()


async def test_a_slow_task_that_goes_lets_the_fast_one_on():
    for go in ("close", "drop"):
        stage = narrow()
        slow, fast = await stage.arun(), await stage.arun()
        tape = slow._flight._tape
        reading = asyncio.create_task(abody(fast))
        await asettled(lambda tape=tape: tape.crowded)
        if go == "close":
            await slow.aclose()
        del slow
        gc.collect()
        assert await asyncio.wait_for(reading, 5) == WHOLE
        stage.rests()


async def test_a_lone_task_never_waits_for_anybody():
    stage = narrow(join_timeout_s=60)
    assert await asyncio.wait_for(stage.acall(), 5) == WHOLE
