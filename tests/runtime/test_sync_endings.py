"""How fetches in threads end: leaders die, readers go, upstreams break. Nobody hangs, and nobody is fooled."""

from __future__ import annotations

import time

import pytest

from llm_cache.core.events import Dropped, Missed
from llm_cache.core.model import Head
from llm_cache.core.policy import Policy
from tests.runtime.staging import WHOLE, Crowd, Gate, Script, Stage, body, settled, thread

OK = Head(200)


def waiting(stage: Stage, seats: int) -> None:
    """Until so many have a seat in the one flight there is."""
    settled(lambda: [flight._tape.seats for flight in stage.world.flights._aloft.values()] == [seats])


def led(stage: Stage, followers: int, **fields):
    """A leader at its upstream's gate, and followers that wait for it."""
    leader = thread(lambda: stage.call(**fields))
    settled(lambda: stage.source.sends == 1)
    others = Crowd(followers, lambda _: stage.call(**fields))
    waiting(stage, followers + 1)
    return leader, others


# --- the upstream dies ------------------------------------------------------------------------------


def test_a_leader_whose_upstream_dies_before_the_head_is_succeeded_by_exactly_one_follower():
    gate = Gate()
    stage = Stage(Script(gate, OSError("refused"), OK), Script(*WHOLE))
    leader, others = led(stage, 8)
    gate.open()
    assert str(leader.join()[0]) == "refused"
    assert others.join() == [b"a\nb\nEND\n"] * 8
    assert stage.source.sends == 2
    stage.ear.balance(calls=9, fetches=1)
    stage.rests()


def test_a_leader_whose_upstream_dies_between_head_and_first_byte_is_succeeded_by_exactly_one_follower():
    gate = Gate()
    stage = Stage(Script(OK, gate, OSError("reset")), Script(*WHOLE))
    leader, others = led(stage, 8)
    gate.open()
    assert str(leader.join()[0]) == "reset"
    assert others.join() == [b"a\nb\nEND\n"] * 8
    assert stage.source.sends == 2
    stage.ear.balance(calls=9, fetches=2)
    assert [event.reason for event in stage.ear.of(Dropped)] == ["broken_off"]
    stage.rests()


@pytest.mark.parametrize("where", ["head", "body"])
def test_the_successor_is_one_however_often_the_race_is_run(where):
    """Landing and failing are two steps; nobody may claim in between."""
    for _ in range(60):
        gate = Gate()
        broken = [gate, OSError("x"), OK] if where == "head" else [OK, gate, OSError("x")]
        stage = Stage(Script(*broken), Script(*WHOLE))
        leader, others = led(stage, 5)
        gate.open()
        leader.join()
        assert others.join() == [b"a\nb\nEND\n"] * 5
        assert stage.source.sends == 2


def test_a_fetch_that_dies_later_fails_for_all_who_have_seen_a_byte_with_errors_of_their_own():
    stage = Stage(Script(b"a\n", OSError("reset")), Script(*WHOLE))
    readers = [stage.run() for _ in range(4)]
    assert [next(reader) for reader in readers] == [b"a\n"] * 4
    results = Crowd(4, lambda number: body(readers[number])).join()
    assert [str(error) for error in results] == ["reset"] * 4
    assert {type(error) for error in results} == {OSError}
    assert len({id(error) for error in results}) == 4
    assert [error.__cause__ for error in results[1:]] == [results[0]] * 3
    assert stage.stored == []
    stage.ear.balance(calls=4, fetches=1)
    assert [event.reason for event in stage.ear.of(Missed)] == ["absent", "broken_off", "broken_off", "broken_off"]
    stage.rests()


def test_who_comes_after_a_fetch_has_failed_begins_anew():
    stage = Stage(Script(b"a\n", OSError("reset")), Script(*WHOLE))
    first = stage.run()
    with pytest.raises(OSError, match="reset"):
        body(first)
    assert stage.call() == b"a\nb\nEND\n"
    assert stage.source.sends == 2


def test_an_error_that_cannot_be_copied_is_raised_as_it_is():
    class Stubborn(Exception):
        def __init__(self, *, code):
            super().__init__(f"code {code}")

    error = Stubborn(code=7)
    stage = Stage(Script(b"a\n", error))
    leader, follower = stage.run(), stage.run()
    for reader in (leader, follower):
        with pytest.raises(Stubborn):
            body(reader)


def test_a_chain_of_deaths_is_one_wait_for_each_caller():
    """However many leaders die before it, a call waits for `join_timeout_s` in all."""
    policy = Policy(join_timeout_s=0.4)

    def slow_death():
        time.sleep(0.15)
        raise OSError("refused")

    stage = Stage(Script(slow_death, OK), policy=policy)
    began = time.monotonic()
    results = Crowd(12, lambda _: stage.call()).join()
    assert {str(error) for error in results} == {"refused"}
    # One after the other, the twelve would take 1.8 s.
    assert time.monotonic() - began < 1.2


# --- interrupted threads ----------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_pulling_thread_that_is_stopped_is_an_error_for_the_others_and_never_an_end(stop):
    gate = Gate()
    stage = Stage(Script(b"a\n", gate, stop(), *WHOLE))
    readers = [stage.run() for _ in range(3)]
    assert [next(reader) for reader in readers] == [b"a\n"] * 3
    crowd = Crowd(3, lambda number: next(readers[number], "a clean end"))
    gate.open()
    kinds = sorted(type(error).__name__ for error in crowd.join())
    assert kinds == sorted(["ConnectionError", "ConnectionError", stop.__name__])
    for reader in readers:
        reader.close()
    assert stage.stored == []
    assert stage.ear.count(Dropped) == 1
    stage.rests()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_leader_that_is_stopped_before_the_head_leaves_the_fetch_to_a_follower(stop):
    gate = Gate()
    stage = Stage(Script(gate, stop(), OK), Script(*WHOLE))
    leader, others = led(stage, 3)
    gate.open()
    assert isinstance(leader.join()[0], stop)
    assert others.join() == [b"a\nb\nEND\n"] * 3
    assert stage.source.sends == 2


def test_a_follower_that_is_stopped_while_it_waits_gives_its_seat_up(monkeypatch):
    gate = Gate()
    stage = Stage(Script(gate, OK, *WHOLE))
    leader = thread(stage.call)
    settled(lambda: stage.source.sends == 1)
    flight = next(iter(stage.world.flights._aloft.values()))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(flight._changed, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    monkeypatch.undo()
    assert flight._tape.seats == 1
    gate.open()
    assert leader.join() == [b"a\nb\nEND\n"]
    stage.rests()


def test_a_follower_that_is_stopped_while_it_pulls_the_first_byte_is_an_error_for_the_others():
    stage = Stage(Script(KeyboardInterrupt(), *WHOLE))
    leader = stage.run()
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    assert isinstance(thread(lambda: next(leader, "a clean end")).join()[0], ConnectionError)
    stage.rests()


def test_a_thread_stopped_between_deciding_to_pull_and_pulling_stops_nobody_else(monkeypatch):
    stage = Stage()
    readers = [stage.run(), stage.run()]
    assert next(readers[0]) == next(readers[1])
    flight = readers[0]._flight

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(flight, "_pull", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(readers[0])
    monkeypatch.undo()
    assert isinstance(thread(lambda: next(readers[1], "a clean end")).join()[0], ConnectionError)
    stage.rests()
