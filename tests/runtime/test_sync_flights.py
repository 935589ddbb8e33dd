"""Identical calls in threads pay once: who leads, who reads along, and who is served from the store."""

from __future__ import annotations

import contextlib
import time

import pytest

from llm_cache.core.events import Bypassed, Dropped, Hit, Joined, Missed, Stored
from llm_cache.core.model import Head
from llm_cache.core.plan import Pass, Replay
from llm_cache.core.policy import Mode, Policy
from llm_cache.runtime.registry import NO_CONVOY_S
from tests.core.making import KEY, endpoint
from tests.runtime.staging import PATIENCE_S, WHOLE, Crowd, Gate, Script, Stage, body, settled, thread

PLAIN = Policy(join_timeout_s=PATIENCE_S)


def test_a_miss_is_sent_kept_and_then_a_hit():
    stage = Stage()
    assert stage.call() == b"a\nb\nEND\n"
    outcome = stage.run()
    assert isinstance(outcome, Replay)
    assert body(outcome) == b"a\nb\nEND\n"
    assert [type(event) for event in stage.ear.events] == [Missed, Stored, Hit]
    assert stage.source.sends == 1
    stage.rests()


def test_a_follower_reads_every_chunk_as_it_arrives():
    gate = Gate()
    stage = Stage(Script(b"a\n", gate, b"END\n"))
    leader, follower = stage.run(), stage.run()
    assert (leader.follows, follower.follows) == (False, True)
    assert next(follower) == b"a\n"
    assert next(leader) == b"a\n"
    gate.open()
    assert (body(leader), body(follower)) == (b"END\n", b"END\n")
    assert stage.source.sends == 1
    stage.ear.balance(calls=2, fetches=1)
    joined = stage.ear.of(Joined)[0]
    assert joined.entry.body == b"a\nEND\n"
    stage.rests()


def test_a_caller_who_has_received_the_last_chunk_finds_it_stored():
    stage = Stage(Script(b"a\n", b"END\n", Gate()))
    reader = stage.run()
    assert next(reader) == b"a\n"
    assert stage.stored == []
    assert next(reader) == b"END\n"
    assert stage.stored == [b"a\nEND\n"]
    reader.close()
    stage.rests()
    stage.ear.balance(calls=1, fetches=1)


def test_bytes_after_the_end_replace_the_entry():
    stage = Stage(Script(*WHOLE, b"tail"))
    assert stage.call() == b"a\nb\nEND\ntail"
    assert stage.stored == [b"a\nb\nEND\ntail"]
    assert [event.again for event in stage.ear.of(Stored)] == [False, True]


def test_two_copies_of_one_stream_read_in_turn_by_one_thread_do_not_hang():
    stage = Stage(Script(*WHOLE))
    copies = [stage.run() for _ in range(3)]
    for chunk in WHOLE:
        assert [next(copy) for copy in copies] == [chunk] * 3
    for copy in copies:
        assert next(copy, None) is None
    assert stage.source.sends == 1
    stage.ear.balance(calls=3, fetches=1)
    stage.rests()


def test_a_leader_that_never_reads_and_never_closes_delays_nobody():
    stage = Stage(Script(*WHOLE))
    idle = stage.run()
    crowd = Crowd(5, lambda _: stage.call())
    assert crowd.join() == [b"a\nb\nEND\n"] * 5
    assert stage.source.sends == 1
    assert body(idle) == b"a\nb\nEND\n"
    stage.ear.balance(calls=6, fetches=1)


def test_a_leader_that_never_reads_delays_not_even_those_who_wait_for_its_head():
    gate = Gate()
    stage = Stage(Script(gate, OK_HEAD, *WHOLE))
    leader = thread(stage.run)
    settled(lambda: stage.source.sends == 1)
    followers = Crowd(3, lambda _: stage.call())
    settled(lambda: seats(stage) == 4)
    began = time.monotonic()
    gate.open()
    assert followers.join() == [b"a\nb\nEND\n"] * 3
    assert time.monotonic() - began < 5
    assert body(leader.join()[0]) == b"a\nb\nEND\n"


def test_a_reader_continues_where_it_is_and_ends_once():
    stage = Stage()
    reader = stage.run()
    assert next(iter(reader)) == b"a\n"
    assert next(iter(reader)) == b"b\n"
    assert list(reader) == [b"END\n"]
    assert list(reader) == []
    reader.close()
    reader.close()
    assert stage.source.closed == 1


def test_a_reader_that_is_closed_reads_no_more():
    stage = Stage()
    reader = stage.run()
    reader.close()
    assert list(reader) == []
    stage.ear.balance(calls=1, fetches=1)


# --- who neither leads nor joins --------------------------------------------------------------------

SHY = [
    Policy(mode=Mode.REFRESH),
    Policy(mode=Mode.READ_ONLY),
    Policy(store=False),
    Policy(lookup=False),
]


@pytest.mark.parametrize("policy", SHY)
def test_who_may_not_share_neither_leads_nor_joins(policy):
    stage = Stage()
    leader = stage.run()
    shy = stage.run(policy)
    assert not shy.follows
    assert stage.source.sends == 2
    assert stage.aloft == 1
    assert body(shy) == body(leader) == b"a\nb\nEND\n"
    first = stage.run(policy) if policy.reads else None
    assert first is None or isinstance(first, Replay)
    other = Stage()
    shy = other.run(policy)
    assert other.aloft == 0
    assert other.run().follows is False
    assert other.source.sends == 2


def test_off_is_not_even_here():
    stage = Stage()
    stage.run()
    assert stage.run(Policy(mode=Mode.OFF)) == Pass("off")
    assert stage.source.sends == 1
    assert stage.ear.count(Bypassed) == 1


def test_who_keeps_nothing_stores_nothing():
    stage = Stage()
    assert stage.call(Policy(mode=Mode.READ_ONLY)) == b"a\nb\nEND\n"
    assert stage.stored == []
    assert stage.ear.of(Dropped)[0].reason == "not_to_be_stored"


# --- heads that are no 200 ----------------------------------------------------------------------------


def refusing(gate: Gate, status: int = 429) -> Stage:
    head = Head(status, (("retry-after", "7"), ("content-type", "application/json")))
    return Stage(Script(gate, head, b"no\n"), Script(head, b"no, you\n"))


def test_another_head_is_shared_with_equal_credentials_and_all_of_it():
    gate = Gate()
    stage = refusing(gate)
    leader = thread(lambda: stage.run(credentials="me"))
    settled(lambda: stage.source.sends == 1)
    follower = thread(lambda: stage.run(credentials="me"))
    settled(lambda: seats(stage) == 2)
    gate.open()
    readers = [leader.join()[0], follower.join()[0]]
    for reader in readers:
        assert reader.head.status == 429
        assert reader.head.header("retry-after") == "7"
        assert body(reader) == b"no\n"
    assert stage.source.sends == 1
    stage.ear.balance(calls=2, fetches=1)
    assert stage.ear.of(Dropped)[0].reason == "status_429"
    assert stage.stored == []
    stage.rests()


def seats(stage: Stage) -> int:
    flight = stage.world.flights._aloft.get(KEY)
    return 0 if flight is None else flight._tape.seats


def test_others_call_for_themselves_at_once():
    gate = Gate()
    stage = refusing(gate)
    leader = thread(lambda: stage.call(credentials="me"))
    settled(lambda: stage.source.sends == 1)
    others = Crowd(3, lambda number: stage.call(credentials=number))
    settled(lambda: seats(stage) == 4)
    gate.open()
    assert leader.join() == [b"no\n"]
    assert others.join() == [b"no, you\n"] * 3
    assert stage.source.sends == 4
    stage.ear.balance(calls=4, fetches=4)
    stage.rests()


def test_for_some_seconds_nobody_waits_on_a_key_that_was_refused():
    """No convoy: fifty callers of a request that always fails do not queue for each other's failure."""
    stage = Stage(*[Script(Head(500), b"no")] * 4, Script(*WHOLE))
    assert stage.call() == b"no"
    readers = [stage.run() for _ in range(3)]
    assert [reader.follows for reader in readers] == [False] * 3
    assert stage.source.sends == 4
    assert stage.aloft == 0
    until = stage.world.flights._failed_until
    assert 0 < until[KEY] - time.monotonic() <= NO_CONVOY_S
    until[KEY] = time.monotonic()
    readers = [stage.run() for _ in range(2)]
    assert [reader.follows for reader in readers] == [False, True]


def test_a_head_is_stripped_for_followers_only():
    head = Head(200, (("content-type", "text/plain"), ("x-ratelimit-remaining-tokens", "1"), ("request-id", "r")))
    stage = Stage(Script(head, *WHOLE))
    leader, follower = stage.run(), stage.run()
    assert leader.head is head
    assert follower.head == Head(200, (("content-type", "text/plain"), ("request-id", "r")))


# --- calls within calls -------------------------------------------------------------------------------


def test_a_call_inside_its_own_fetch_does_not_wait_for_itself():
    stage = Stage(Script(lambda: inner.append(stage.call(source=plain.source)), OK_HEAD, b"outer\nEND\n"))
    plain, inner = Stage(), []
    began = time.monotonic()
    assert stage.call() == b"outer\nEND\n"
    assert time.monotonic() - began < 5
    assert inner == [b"a\nb\nEND\n"]
    assert stage.source.sends == 1
    assert plain.source.sends == 1


OK_HEAD = Head(200)


def test_a_call_from_inside_the_body_of_its_own_reply_does_not_wait_for_itself():
    inner = []
    stage = Stage(Script(lambda: inner.append(stage.call(source=plain.source)), *WHOLE))
    plain = Stage()
    began = time.monotonic()
    assert stage.call() == b"a\nb\nEND\n"
    assert inner == [b"a\nb\nEND\n"]
    assert time.monotonic() - began < 5


def test_money_is_counted_by_the_layer_that_met_the_network():
    inner = Stage()
    outer = Stage(Script(lambda: inner.call(where=endpoint(path="/other")), OK_HEAD, b"END\n"))
    outer.call()
    assert [event.nested for event in outer.ear.of(Stored)] == [True]
    assert [event.nested for event in inner.ear.of(Stored)] == [False]


def test_a_call_from_inside_the_body_is_nested_too_and_only_the_inner_one_pays():
    """As in a decorated generator, which calls when it is first asked for something."""
    for failure in ([], [OSError("reset")]):
        inner = Stage()
        outer = Stage(Script(lambda inner=inner: inner.call(where=endpoint(path="/other")), *failure, b"END\n"))
        with contextlib.suppress(OSError):
            outer.call()
        assert [event.nested for event in outer.ear.of(Stored, Dropped)] == [True]
        assert [event.nested for event in inner.ear.of(Stored)] == [False]


# --- errors -------------------------------------------------------------------------------------------


def test_an_error_before_the_head_is_the_leaders_own_and_lands_the_claim():
    error = OSError("refused")
    stage = Stage(Script(error, OK_HEAD))
    with pytest.raises(OSError) as caught:
        stage.run()
    assert caught.value is error
    assert stage.aloft == 0
    stage.ear.balance(calls=1, fetches=0)


def test_a_listener_that_fails_costs_the_caller_nothing(caplog):
    def deaf(event):
        raise ValueError("no")

    stage = Stage(ear=deaf)
    assert stage.call() == b"a\nb\nEND\n"
    assert body(stage.run()) == b"a\nb\nEND\n"
    assert stage.aloft == 0
    assert "could not be counted" in caplog.text
