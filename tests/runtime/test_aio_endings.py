"""How fetches on an event loop end: leaders that die or are cancelled, readers that go, upstreams that break."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time

import pytest

from llm_cache.core.events import Dropped, Hit, Joined, Missed
from llm_cache.core.model import Head
from llm_cache.core.plan import Replay
from llm_cache.core.policy import Mode, Policy
from tests.core.making import NOW, endpoint, entry
from tests.runtime.staging import WHOLE, Script, Stage, abody, asettled
from tests.runtime.test_sync_flights import seats

OK = Head(200)
BODY = b"a\nb\nEND\n"
ALONE = Policy(mode=Mode.READ_ONLY)


async def led(stage: Stage, followers: int):
    """A leader at its upstream's gate, and followers that wait for it."""
    leader = asyncio.create_task(stage.acall())
    await asettled(lambda: stage.source.sends == 1)
    others = [asyncio.create_task(stage.acall()) for _ in range(followers)]
    await asettled(lambda: seats(stage) == followers + 1)
    return leader, others


@pytest.mark.parametrize("where", ["head", "body"])
async def test_a_leader_whose_upstream_dies_before_the_first_byte_is_succeeded_by_exactly_one_follower(where):
    for _ in range(20):
        gate = asyncio.Event()
        broken = [gate, OSError("x"), OK] if where == "head" else [OK, gate, OSError("x")]
        stage = Stage(Script(*broken), Script(*WHOLE))
        leader, others = await led(stage, 8)
        gate.set()
        with pytest.raises(OSError, match="x"):
            await leader
        assert await asyncio.gather(*others) == [BODY] * 8
        assert stage.source.sends == 2
        stage.ear.balance(calls=9, fetches=1 if where == "head" else 2)
        await asettled(lambda stage=stage: stage.aloft == 0 and stage.source.all_closed)


async def test_a_fetch_that_dies_later_fails_for_all_who_have_seen_a_byte_with_errors_of_their_own():
    stage = Stage(Script(b"a\n", OSError("reset")))
    readers = [await stage.arun() for _ in range(4)]
    assert [await anext(reader) for reader in readers] == [b"a\n"] * 4
    results = await asyncio.gather(*[abody(reader) for reader in readers], return_exceptions=True)
    assert [str(error) for error in results] == ["reset"] * 4
    assert len({id(error) for error in results}) == 4
    assert stage.stored == []
    stage.ear.balance(calls=4, fetches=1)
    assert [event.reason for event in stage.ear.of(Missed)] == ["absent", "broken_off", "broken_off", "broken_off"]
    stage.rests()


# --- cancelled callers ------------------------------------------------------------------------------


async def cancelled(task: asyncio.Task) -> bool:
    task.cancel()
    done, _ = await asyncio.wait({task})
    return done == {task} and task.cancelled()


async def test_a_leader_cancelled_before_the_head_leaves_the_fetch_to_the_followers():
    gate = asyncio.Event()
    stage = Stage(Script(gate, OK, *WHOLE))
    leader, others = await led(stage, 3)
    assert await cancelled(leader)
    gate.set()
    assert await asyncio.gather(*others) == [BODY] * 3
    assert stage.source.sends == 1
    assert stage.stored == [BODY]
    stage.rests()


async def test_when_a_fetch_dies_whose_leader_was_cancelled_a_follower_succeeds_it_at_once():
    gate = asyncio.Event()
    stage = Stage(Script(gate, OSError("refused"), OK), Script(*WHOLE))
    leader, others = await led(stage, 3)
    assert await cancelled(leader)
    gate.set()
    assert await asyncio.wait_for(asyncio.gather(*others), 5) == [BODY] * 3
    assert stage.source.sends == 2


async def test_when_somebody_cancels_the_fetch_itself_nobody_is_left_waiting():
    """Frameworks cancel every task they find; the leader must hear of it, and a follower take over."""
    for pieces in ([asyncio.Event(), OK, *WHOLE], [OK, asyncio.Event(), *WHOLE]):
        stage = Stage(Script(*pieces), Script(*WHOLE))
        leader, others = await led(stage, 3)
        next(iter(stage.world.flights._aloft.values()))._task.cancel()
        with pytest.raises((asyncio.CancelledError, ConnectionError)):
            await asyncio.wait_for(asyncio.shield(leader), 5)
        assert await asyncio.wait_for(asyncio.gather(*others), 5) == [BODY] * 3
        assert stage.source.sends == 2
        stage.rests()


async def test_a_leader_cancelled_after_the_head_leaves_the_fetch_to_the_followers():
    gate = asyncio.Event()
    stage = Stage(Script(b"a\n", gate, b"b\n", b"END\n"))
    leader, follower = await stage.arun(), await stage.arun()
    reading = asyncio.create_task(abody(leader))
    assert await anext(follower) == b"a\n"
    await asyncio.sleep(0.01)
    assert await cancelled(reading)
    del leader, reading
    gate.set()
    assert await abody(follower) == b"b\nEND\n"
    assert stage.source.sends == 1
    assert stage.stored == [BODY]
    gc.collect()
    await asettled(lambda: stage.aloft == 0)
    stage.rests()


async def test_a_leader_without_followers_that_is_cancelled_before_the_head_cancels_the_call():
    gate = asyncio.Event()
    stage = Stage(Script(gate, OK, *WHOLE), Script(*WHOLE))
    leader = asyncio.create_task(stage.acall())
    await asettled(lambda: stage.source.sends == 1)
    assert await cancelled(leader)
    assert stage.aloft == 0
    assert await stage.acall() == BODY
    assert stage.source.sends == 2
    stage.rests()


async def test_whoever_comes_just_as_a_lone_leader_is_cancelled_begins_anew():
    """It must not take a seat in a fetch that is being cancelled, and fail with it."""
    for at in range(6):
        gate = asyncio.Event()
        stage = Stage(Script(b"a\n", gate, b"b\n", b"END\n"), Script(*WHOLE))
        leader = await stage.arun()
        await anext(leader)
        reading = asyncio.create_task(anext(leader))
        await asyncio.sleep(0.005)
        reading.cancel()
        coming = asyncio.create_task(_later(stage, at))
        await leader.aclose()
        gate.set()
        assert await coming == BODY
        await asyncio.wait({reading})
        await asettled(lambda stage=stage: stage.aloft == 0 and stage.source.all_closed)


async def _later(stage: Stage, turns: int) -> bytes:
    for _ in range(turns):
        await asyncio.sleep(0)
    return await stage.acall()


async def test_a_follower_cancelled_while_it_waits_gives_its_seat_up():
    gate = asyncio.Event()
    stage = Stage(Script(gate, OK, *WHOLE))
    leader, others = await led(stage, 2)
    assert await cancelled(others[0])
    assert seats(stage) == 2
    gate.set()
    assert [await leader, await others[1]] == [BODY] * 2
    stage.rests()


async def test_a_reader_cancelled_in_the_middle_that_reads_on_misses_nothing():
    gate = asyncio.Event()
    stage = Stage(Script(b"a\n", gate, b"b\n", b"END\n"))
    reader = await stage.arun()
    assert await anext(reader) == b"a\n"
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(reader), 0.01)
    gate.set()
    assert await abody(reader) == b"b\nEND\n"
    stage.ear.balance(calls=1, fetches=1)


async def test_a_call_that_nobody_shares_and_is_cancelled_in_the_middle_has_no_clean_end():
    """Cancelling ends the upstream's iterator: read on, it looks like the end of the body, which it is not."""
    gate = asyncio.Event()
    plain = endpoint(stream=False)
    stage = Stage(Script(b"{", gate, b"}"))
    reader = await stage.arun(Policy(mode=Mode.REFRESH), where=plain)
    assert await anext(reader) == b"{"
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(reader), 0.01)
    with pytest.raises(ConnectionError):
        await anext(reader)
    assert stage.stored == []
    assert [event.reason for event in stage.ear.of(Dropped)] == ["abandoned"]
    stage.rests()


# --- readers that go --------------------------------------------------------------------------------


async def test_when_all_readers_have_gone_the_upstream_is_closed_and_that_is_told_once():
    stage = Stage(Script(b"usage\n", asyncio.Event()))
    readers = [await stage.arun() for _ in range(3)]
    await anext(readers[0])
    for reader in readers:
        assert stage.source.closed == 0
        await reader.aclose()
    assert stage.source.closed == 1
    assert [(event.reason, event.usage.input_tokens) for event in stage.ear.of(Dropped)] == [("abandoned", 3)]
    stage.ear.balance(calls=3, fetches=1)
    stage.rests()


@pytest.mark.parametrize("policy", [None, ALONE], ids=["led", "alone"])
async def test_a_reader_that_is_dropped_unread_lands_and_lets_go_of_the_upstream(policy):
    stage = Stage()
    reader = await stage.arun(policy)
    await anext(reader)
    del reader
    gc.collect()
    await asettled(lambda: stage.aloft == 0 and stage.source.all_closed)
    assert [event.reason for event in stage.ear.of(Dropped)] == ["abandoned"]
    stage.ear.balance(calls=1, fetches=1)


async def test_a_fetch_that_was_abandoned_or_broke_has_no_seat_for_anybody():
    for script in (Script(*WHOLE), Script(b"a\n", OSError("reset"))):
        stage = Stage(script)
        reader = await stage.arun()
        flight = reader._flight
        await anext(reader)
        assert flight.sit() is not None
        flight.leave(1)
        with contextlib.suppress(OSError):
            await anext(reader)
        await reader.aclose()
        assert flight.dead
        assert flight.sit() is None


async def test_a_leader_that_is_dropped_leaves_the_fetch_to_those_who_follow():
    stage = Stage()
    reader, follower = await stage.arun(), await stage.arun()
    del reader
    gc.collect()
    assert await abody(follower) == BODY
    stage.rests()


async def test_a_reader_that_is_closed_by_another_task_while_it_reads_gets_an_error_and_no_end():
    for follows in (False, True):
        stage = Stage(Script(b"a\n", asyncio.Event()))
        readers = [await stage.arun() for _ in range(1 + follows)]
        for reader in readers:
            await anext(reader)
        reading = asyncio.create_task(anext(readers[-1], "a clean end"))
        await asyncio.sleep(0.01)
        await readers[-1].aclose()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reading, 5)
        await readers[0].aclose()
        assert stage.ear.of(Dropped)[0].reason == "abandoned"
        stage.rests()


async def test_closing_waits_until_the_connection_is_back():
    """Else a pool of one connection would be found empty by the very next call."""
    for policy in (None, ALONE):
        stage = Stage(Script(b"a\n", asyncio.Event()))
        reader = await stage.arun(policy)
        await anext(reader)
        await reader.aclose()
        assert stage.source.closed == 1


# --- waiting is bounded -----------------------------------------------------------------------------


async def test_a_follower_waits_no_longer_than_its_bound_and_then_calls_itself():
    for script in (Script(asyncio.Event(), OK, *WHOLE), Script(OK, asyncio.Event(), *WHOLE)):
        stage = Stage(script, Script(*WHOLE))
        leader = asyncio.create_task(stage.acall())
        await asettled(lambda stage=stage: stage.source.sends == 1)
        began = time.monotonic()
        assert await stage.acall(Policy(join_timeout_s=0.1)) == BODY
        assert 0.1 <= time.monotonic() - began < 5
        assert await cancelled(leader)
        await asettled(lambda stage=stage: stage.aloft == 0 and stage.source.all_closed)


async def test_a_follower_of_a_stream_that_falls_silent_gives_up_with_an_error():
    gate = asyncio.Event()
    stage = Stage(Script(b"a\n", gate, b"b\n", b"END\n"), policy=Policy(join_timeout_s=0.1))
    leader, follower = await stage.arun(), await stage.arun()
    assert await anext(follower) == b"a\n"
    with pytest.raises(TimeoutError, match=r"silent for 0\.1 s"):
        await anext(follower)
    gate.set()
    assert await abody(leader) == BODY
    stage.ear.balance(calls=2, fetches=1)
    stage.rests()


async def test_a_chain_of_deaths_is_one_wait_for_each_caller():
    class Slow:
        async def asend(self, request):
            await asyncio.sleep(0.15)
            raise OSError("refused")

    stage = Stage(policy=Policy(join_timeout_s=0.4))
    began = time.monotonic()
    calls = [stage.acall(source=Slow()) for _ in range(12)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {str(error) for error in results} == {"refused"}
    assert time.monotonic() - began < 1.2


# --- endings without a relay ------------------------------------------------------------------------


async def test_a_leader_that_finds_the_answer_at_its_second_look_lands_and_its_followers_hit(monkeypatch):
    stage = Stage()
    looks = []
    lookup = stage.access.lookup

    def late(key, verify=None, origin=""):
        looks.append(key)
        if len(looks) == 2:
            stage.access.save(entry(age_s=0, ttl_s=None))
        return lookup(key, verify, origin)

    monkeypatch.setattr(stage.access, "lookup", late)
    outcomes = await asyncio.gather(*[stage.arun() for _ in range(3)])
    assert all(isinstance(outcome, Replay) for outcome in outcomes)
    assert stage.source.sends == 0
    assert stage.ear.count(Hit) == 3
    stage.rests()


@pytest.mark.parametrize("policy", [{}, {"mode": Mode.READ_ONLY}])
@pytest.mark.parametrize("failure", [[OSError("down"), OK], [Head(503), b"x"]])
async def test_when_what_is_left_over_is_served_the_failed_reply_is_closed_and_the_claim_landed(failure, policy):
    stage = Stage(Script(*failure), policy=Policy(stale_if_error_s=3600, **policy), clock=lambda: NOW)
    stage.access.save(entry(age_s=20, ttl_s=10))
    outcome = await stage.arun()
    assert isinstance(outcome, Replay)
    assert outcome.stale
    stage.rests()
    assert bool(stage.world.flights._failed_until) == (isinstance(failure[0], Head) and not policy)


async def test_a_stale_answer_is_fetched_anew_once_behind_all_who_get_it():
    gate = asyncio.Event()
    stage = Stage(Script(gate, OK, *WHOLE), policy=Policy(stale_while_revalidate_s=3600), clock=lambda: NOW)
    stage.access.save(entry(b"old\n", b"END\n", age_s=20, ttl_s=10))
    outcomes = await asyncio.gather(*[stage.arun() for _ in range(5)])
    assert all(outcome.stale for outcome in outcomes)
    gate.set()
    await asettled(lambda: stage.stored == [BODY] and not stage.world.refreshing)
    assert stage.source.sends == 1
    stage.rests()


async def test_a_dropped_follower_is_told_as_joined():
    stage = Stage()
    leader, follower = await stage.arun(), await stage.arun()
    del follower
    gc.collect()
    await asettled(lambda: stage.ear.count(Joined) == 1)
    assert await abody(leader) == BODY
    stage.ear.balance(calls=2, fetches=1)
