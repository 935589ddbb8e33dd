"""Readers in threads that close, are dropped, or are closed by others: nothing leaks, and no end is a false one."""

from __future__ import annotations

import contextlib
import gc
import threading
import time

from llm_cache.core.events import Dropped, Joined
from llm_cache.core.model import Head
from tests.runtime.staging import WHOLE, Crowd, Gate, Script, Stage, body, settled, thread

OK = Head(200)


# --- readers that go --------------------------------------------------------------------------------


def test_when_all_readers_have_gone_the_upstream_is_closed_and_that_is_told_once():
    stage = Stage(Script(b"usage\n", b"END\n"))
    readers = [stage.run() for _ in range(3)]
    next(readers[0])
    for reader in readers:
        assert stage.source.closed == 0
        reader.close()
    assert stage.source.closed == 1
    dropped = stage.ear.of(Dropped)
    assert [(event.reason, event.usage.input_tokens) for event in dropped] == [("abandoned", 3)]
    stage.ear.balance(calls=3, fetches=1)
    stage.rests()


def test_a_leader_that_goes_leaves_the_fetch_to_those_who_follow():
    stage = Stage()
    leader, follower = stage.run(), stage.run()
    next(leader)
    leader.close()
    assert body(follower) == b"a\nb\nEND\n"
    assert stage.stored == [b"a\nb\nEND\n"]
    stage.ear.balance(calls=2, fetches=1)
    stage.rests()


def test_a_leader_that_is_dropped_unread_lands():
    stage = Stage()
    reader = stage.run()
    assert stage.aloft == 1
    del reader
    gc.collect()
    stage.rests()
    assert [event.reason for event in stage.ear.of(Dropped)] == ["abandoned"]
    stage.ear.balance(calls=1, fetches=1)
    assert stage.call() == b"a\nb\nEND\n"


def test_a_leader_that_is_dropped_leaves_the_fetch_to_those_who_follow():
    stage = Stage()
    reader, follower = stage.run(), stage.run()
    next(reader)
    del reader
    gc.collect()
    assert body(follower) == b"a\nb\nEND\n"
    stage.rests()


def test_a_follower_that_is_dropped_is_told_as_joined():
    stage = Stage()
    leader, follower = stage.run(), stage.run()
    del follower
    gc.collect()
    settled(lambda: stage.ear.count(Joined) == 1)
    assert body(leader) == b"a\nb\nEND\n"
    stage.ear.balance(calls=2, fetches=1)
    stage.rests()


def test_a_reader_that_is_closed_by_another_thread_while_it_pulls_gets_an_error_and_no_end():
    gate, pulling = Gate(), Gate()
    stage = Stage(Script(b"a\n", pulling.open, gate, *WHOLE))
    reader = stage.run()
    next(reader)
    reading = thread(lambda: next(reader, "a clean end"))
    pulling.wait()
    reader.close()
    gate.open()
    assert isinstance(reading.join()[0], ConnectionError)
    assert stage.ear.of(Dropped)[0].reason == "abandoned"
    assert stage.stored == []
    stage.rests()


def test_a_reader_that_is_closed_by_another_thread_while_it_waits_gets_an_error_and_no_end():
    gate, pulling = Gate(), Gate()
    stage = Stage(Script(b"a\n", pulling.open, gate, *WHOLE))
    leader, follower = stage.run(), stage.run()
    assert next(leader) == next(follower) == b"a\n"
    pull = thread(lambda: next(leader))
    pulling.wait()
    wait = thread(lambda: next(follower, "a clean end"))
    time.sleep(0.05)
    follower.close()
    assert isinstance(wait.join()[0], ConnectionError)
    gate.open()
    pull.join()
    assert body(leader) == b"b\nEND\n"
    stage.ear.balance(calls=2, fetches=1)
    stage.rests()


def test_nothing_is_lost_when_readers_close_while_others_pull():
    """Closing and pulling at once, many times: one end is told, the upstream is closed, nobody hangs."""
    for turn in range(60):
        stage = Stage(Script(b"a\n", b"b\n", b"c\n", b"d\n", b"END\n"))
        readers = [stage.run() for _ in range(4)]

        def act(number, readers=readers, turn=turn):
            reader = readers[number]
            for _ in range((number + turn) % 4):
                next(reader)
            reader.close()

        Crowd(4, act).join()
        stage.ear.balance(calls=4, fetches=1)
        assert stage.source.closed == 1
        assert stage.aloft == 0


def test_a_fetch_that_was_abandoned_or_broke_has_no_seat_for_anybody():
    """Its tape is still there, and would read like a reply that ends."""
    for script in (Script(*WHOLE), Script(b"a\n", OSError("reset"))):
        stage = Stage(script)
        reader = stage.run()
        flight = reader._flight
        next(reader)
        assert flight.sit() is not None
        flight.leave(1)
        with contextlib.suppress(OSError):
            next(reader)
        reader.close()
        assert flight.dead
        assert flight.sit() is None


def test_whoever_comes_as_the_last_reader_goes_gets_a_whole_answer():
    """It either still gets a seat in time, or begins anew; never half an answer that looks whole."""
    whole = b"a\nb\nEND\n"
    for _ in range(150):
        stage = Stage()
        leader = stage.run()
        next(leader)
        go = threading.Barrier(3)

        def leave(leader=leader, go=go):
            go.wait()
            leader.close()

        def come(stage=stage, go=go):
            go.wait()
            return stage.call()

        leaving, coming = thread(leave), Crowd(1, lambda _, come=come: come())
        go.wait()
        leaving.join()
        assert coming.join() == [whole]
