"""Identical calls on one event loop pay once. The rules are those of `test_sync_flights`; the verbs are others."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from functools import partial

import pytest

from llm_cache.core.events import Bypassed, Dropped, Hit, Joined, Missed, Stored
from llm_cache.core.model import Head
from llm_cache.core.plan import Pass, Replay
from llm_cache.core.policy import Mode, Policy
from llm_cache.errors import CacheMissError
from tests.core.making import KEY, endpoint
from tests.runtime.staging import WHOLE, Gate, Script, Stage, abody, asettled
from tests.runtime.test_sync_flights import SHY, seats

OK = Head(200)
BODY = b"a\nb\nEND\n"


async def test_a_miss_is_sent_kept_and_then_a_hit():
    stage = Stage()
    assert await stage.acall() == BODY
    assert isinstance(await stage.arun(), Replay)
    assert [type(event) for event in stage.ear.events] == [Missed, Stored, Hit]
    stage.rests()


async def test_a_follower_reads_every_chunk_as_it_arrives():
    gate = asyncio.Event()
    stage = Stage(Script(b"a\n", gate, b"END\n"))
    leader = await stage.arun()
    follower = await stage.arun()
    assert (leader.follows, follower.follows) == (False, True)
    assert await anext(follower) == b"a\n"
    assert await anext(leader) == b"a\n"
    gate.set()
    assert [await abody(leader), await abody(follower)] == [b"END\n"] * 2
    assert stage.source.sends == 1
    stage.ear.balance(calls=2, fetches=1)
    assert stage.ear.of(Joined)[0].entry.body == b"a\nEND\n"
    await asettled(lambda: stage.aloft == 0)
    stage.rests()


async def test_a_caller_who_has_received_the_last_chunk_finds_it_stored():
    stage = Stage(Script(b"a\n", b"END\n", asyncio.Event()))
    reader = await stage.arun()
    assert await anext(reader) == b"a\n"
    assert stage.stored == []
    assert await anext(reader) == b"END\n"
    assert stage.stored == [b"a\nEND\n"]
    await reader.aclose()
    stage.ear.balance(calls=1, fetches=1)
    stage.rests()


async def test_bytes_after_the_end_replace_the_entry():
    stage = Stage(Script(*WHOLE, b"tail"))
    assert await stage.acall() == BODY + b"tail"
    assert stage.stored == [BODY + b"tail"]
    assert [event.again for event in stage.ear.of(Stored)] == [False, True]


async def test_two_copies_of_one_stream_read_in_turn_by_one_task_do_not_hang():
    stage = Stage()
    copies = [await stage.arun() for _ in range(3)]
    for chunk in WHOLE:
        assert [await anext(copy) for copy in copies] == [chunk] * 3
    for copy in copies:
        assert await anext(copy, None) is None
    assert stage.source.sends == 1
    stage.ear.balance(calls=3, fetches=1)
    stage.rests()


async def test_a_leader_that_never_reads_and_never_closes_delays_nobody():
    stage = Stage()
    idle = await stage.arun()
    assert await asyncio.gather(*[stage.acall() for _ in range(5)]) == [BODY] * 5
    assert stage.source.sends == 1
    assert await abody(idle) == BODY
    stage.ear.balance(calls=6, fetches=1)


async def test_a_reader_continues_where_it_is_and_ends_once():
    stage = Stage()
    reader = await stage.arun()
    assert await anext(aiter(reader)) == b"a\n"
    assert await anext(aiter(reader)) == b"b\n"
    assert await abody(reader) == b"END\n"
    assert await abody(reader) == b""
    await reader.aclose()
    await reader.aclose()
    assert stage.source.closed == 1


async def test_the_upstream_is_pulled_only_as_its_readers_want():
    """Backpressure: a flight reads at most one chunk ahead of the fastest of its readers."""
    pulled = []
    stage = Stage(Script(*[piece for n in range(10) for piece in (partial(pulled.append, n), b"%d\n" % n)], b"END\n"))
    reader = await stage.arun()
    for read in range(1, 5):
        await anext(reader)
        await asyncio.sleep(0.01)
        assert len(pulled) <= read + 1
    await reader.aclose()


@pytest.mark.parametrize("policy", SHY)
async def test_who_may_not_share_neither_leads_nor_joins(policy):
    stage = Stage()
    leader = await stage.arun()
    shy = await stage.arun(policy)
    assert not shy.follows
    assert stage.source.sends == 2
    assert stage.aloft == 1
    assert await abody(shy) == await abody(leader) == BODY
    other = Stage()
    assert await abody(await other.arun(policy)) == BODY
    assert other.aloft == 0
    stage.rests()
    other.rests()


async def test_off_is_not_even_here():
    stage = Stage()
    assert await stage.arun(Policy(mode=Mode.OFF)) == Pass("off")
    assert stage.ear.count(Bypassed) == 1
    assert stage.source.sends == 0


async def test_another_head_is_shared_with_equal_credentials_and_others_call_at_once():
    gate = asyncio.Event()
    head = Head(429, (("retry-after", "7"),))
    stage = Stage(Script(gate, head, b"no\n"), Script(head, b"no, you\n"))
    leader = asyncio.create_task(stage.arun(credentials="me"))
    await asettled(lambda: stage.source.sends == 1)
    followers = [asyncio.create_task(stage.arun(credentials=whose)) for whose in ("me", "you", "they")]
    await asettled(lambda: seats(stage) == 4)
    gate.set()
    readers = [await task for task in (leader, *followers)]
    assert [reader.head.header("retry-after") for reader in readers] == ["7"] * 4
    assert [await abody(reader) for reader in readers] == [b"no\n", b"no\n", b"no, you\n", b"no, you\n"]
    assert stage.source.sends == 3
    stage.ear.balance(calls=4, fetches=3)
    assert KEY in stage.world.flights._failed_until
    later = [await stage.arun() for _ in range(2)]
    assert [reader.follows for reader in later] == [False, False]
    for reader in later:
        await reader.aclose()
    stage.rests()


async def test_a_call_inside_its_own_fetch_does_not_wait_for_itself():
    plain, inner = Stage(), []

    class Outer:
        async def asend(self, request):
            inner.append(await stage.acall(source=plain.source))
            return await Stage(Script(OK, b"outer\nEND\n")).source.asend(request)

    stage = Stage()
    assert await asyncio.wait_for(stage.acall(source=Outer()), 5) == b"outer\nEND\n"
    assert inner == [BODY]


async def test_money_is_counted_by_the_layer_that_met_the_network():
    inner = Stage()

    class Outer:
        async def asend(self, request):
            await inner.acall(where=endpoint(path="/other"))
            return await Stage(Script(OK, b"END\n")).source.asend(request)

    for turn in range(2):  # the inner call is a miss, then a hit
        outer = Stage()
        await outer.acall(source=Outer())
        assert [event.nested for event in outer.ear.of(Stored)] == [True]
        assert [event.nested for event in inner.ear.of(Stored)] == [False]
        assert inner.ear.count(Hit) == turn


async def test_a_call_from_inside_the_body_is_nested_too_and_does_not_wait_for_itself():
    """As in a decorated async generator, which calls when it is first asked for something."""
    inner, plain = Stage(), Stage()

    class Reply:
        head = OK

        async def chunks(self):
            await inner.acall(where=endpoint(path="/other"))
            assert await outer.acall(source=plain.source) == BODY
            yield b"END\n"

        async def close(self):
            pass

    class Outer:
        async def asend(self, request):
            return Reply()

    for policy in (None, Policy(mode=Mode.REFRESH)):
        outer = Stage()
        assert await asyncio.wait_for(abody(await outer.arun(policy, source=Outer())), 5) == b"END\n"
        assert outer.ear.of(Stored)[-1].nested
        assert [event.nested for event in inner.ear.of(Stored)] == [False]


async def test_an_error_before_the_head_is_the_leaders_own_and_lands_the_claim():
    error = OSError("refused")
    stage = Stage(Script(error, OK))
    with pytest.raises(OSError) as caught:
        await stage.arun()
    assert caught.value is error
    stage.ear.balance(calls=1, fetches=0)
    stage.rests()


async def test_a_listener_that_fails_costs_the_caller_nothing(caplog):
    def deaf(event):
        raise ValueError("no")

    stage = Stage(ear=deaf)
    assert await stage.acall() == BODY
    assert await stage.acall() == BODY
    assert stage.aloft == 0


async def test_a_store_that_is_not_inline_is_asked_off_the_loop(monkeypatch):
    stage = Stage()
    asked = []
    get = stage.store.get
    monkeypatch.setattr(stage.store, "get", lambda key: asked.append(threading.current_thread()) or get(key))
    await stage.acall()
    assert set(asked) == {threading.main_thread()}
    asked.clear()
    stage.store.inline = False
    await stage.acall()
    assert threading.main_thread() not in asked


async def test_a_miss_while_offline_is_explained_off_the_loop():
    stage, asked = Stage(), []

    def explain(_ask):
        asked.append(threading.current_thread())
        return "because"

    stage.world = replace(stage.world, explain=explain)
    with pytest.raises(CacheMissError) as caught:
        await stage.arun(Policy(mode=Mode.OFFLINE))
    assert caught.value.explanation == "because"
    assert asked != [threading.main_thread()]


async def test_a_save_does_not_hold_up_the_loop(monkeypatch):
    gate = Gate()
    stage = Stage()
    put = stage.store.put
    monkeypatch.setattr(stage.store, "put", lambda row: gate.wait() or put(row))
    call = asyncio.create_task(stage.acall())
    await asettled(lambda: stage.source.sends == 1)
    await asyncio.sleep(0.02)
    assert not call.done()
    gate.open()
    assert await call == BODY
    assert stage.ear.count(Dropped) == 0
