"""Waits in threads are bounded, and calls that need no reply of their own leave nothing behind."""

from __future__ import annotations

import threading
import time

import pytest

from llm_cache.core.events import Hit
from llm_cache.core.model import Head
from llm_cache.core.plan import Replay
from llm_cache.core.policy import Policy
from tests.core.making import NOW, entry
from tests.runtime.staging import WHOLE, Crowd, Gate, Script, Stage, body, settled, thread

OK = Head(200)


def waiting(stage: Stage, seats: int) -> None:
    """Until so many have a seat in the one flight there is."""
    settled(lambda: [flight._tape.seats for flight in stage.world.flights._aloft.values()] == [seats])


# --- waiting is bounded ---------------------------------------------------------------------------


def test_a_follower_waits_for_the_head_no_longer_than_its_bound_and_then_calls_itself():
    gate = Gate()
    stage = Stage(Script(gate, OK, *WHOLE), Script(*WHOLE))
    leader = thread(stage.call)
    settled(lambda: stage.source.sends == 1)
    began = time.monotonic()
    assert stage.call(Policy(join_timeout_s=0.1)) == b"a\nb\nEND\n"
    assert 0.1 <= time.monotonic() - began < 5
    gate.open()
    assert leader.join() == [b"a\nb\nEND\n"]
    stage.ear.balance(calls=2, fetches=2)
    stage.rests()


def test_a_follower_waits_for_the_first_byte_no_longer_than_its_bound():
    gate, pulling = Gate(), Gate()
    stage = Stage(Script(pulling.open, gate, *WHOLE), Script(*WHOLE))
    leader = thread(stage.call)
    pulling.wait()
    assert stage.call(Policy(join_timeout_s=0.1)) == b"a\nb\nEND\n"
    assert stage.source.sends == 2
    gate.open()
    assert leader.join() == [b"a\nb\nEND\n"]
    stage.rests()


def test_a_follower_of_a_stream_that_falls_silent_gives_up_with_an_error():
    gate, pulling = Gate(), Gate()
    stage = Stage(Script(b"a\n", pulling.open, gate, *WHOLE), policy=Policy(join_timeout_s=0.1))
    leader, follower = stage.run(), stage.run()
    assert next(leader) == next(follower) == b"a\n"
    pull = thread(lambda: body(leader))
    pulling.wait()
    with pytest.raises(TimeoutError, match=r"silent for 0\.1 s"):
        next(follower)
    gate.open()
    assert pull.join() == [b"a\nb\nEND\n"]
    stage.ear.balance(calls=2, fetches=1)
    stage.rests()


# --- endings without a relay ------------------------------------------------------------------------


def test_a_leader_that_finds_the_answer_at_its_second_look_lands_and_its_followers_hit(monkeypatch):
    stage = Stage()
    gate, looks = Gate(), []
    lookup = stage.access.lookup

    def late(key, verify=None, origin=""):
        looks.append(key)
        if len(looks) == 2:
            gate.wait()
            stage.access.save(entry(age_s=0, ttl_s=None))
        return lookup(key, verify, origin)

    monkeypatch.setattr(stage.access, "lookup", late)
    leader = thread(stage.run)
    settled(lambda: len(looks) == 2)
    follower = thread(stage.run)
    waiting(stage, 2)
    gate.open()
    assert isinstance(leader.join()[0], Replay)
    assert isinstance(follower.join()[0], Replay)
    assert stage.source.sends == 0
    assert stage.ear.count(Hit) == 2
    stage.rests()


@pytest.mark.parametrize("failure", ["error", "head"])
def test_when_what_is_left_over_is_served_the_failed_reply_is_closed_and_the_claim_landed(failure):
    stage = Stage(
        Script(OSError("down"), OK) if failure == "error" else Script(Head(503), b"x"),
        policy=Policy(stale_if_error_s=3600),
        clock=lambda: NOW,
    )
    stage.access.save(entry(age_s=20, ttl_s=10))
    outcome = stage.run()
    assert isinstance(outcome, Replay)
    assert outcome.stale
    stage.rests()
    # A head that is an error keeps others from waiting on this key for a while; a lost connection does not.
    assert bool(stage.world.flights._failed_until) == (failure == "head")


def test_a_stale_answer_is_fetched_anew_once_behind_all_who_get_it():
    gate = Gate()
    stage = Stage(Script(gate, OK, *WHOLE), policy=Policy(stale_while_revalidate_s=3600), clock=lambda: NOW)
    stage.access.save(entry(b"old\n", b"END\n", age_s=20, ttl_s=10))
    outcomes = Crowd(10, lambda _: stage.run()).join()
    assert all(isinstance(outcome, Replay) and outcome.stale for outcome in outcomes)
    gate.open()
    settled(lambda: stage.stored == [b"a\nb\nEND\n"] and not stage.world.refreshing)
    assert stage.source.sends == 1
    assert not stage.run().stale
    stage.rests()


def test_a_refresh_behind_that_fails_leaves_the_stale_answer_and_may_be_tried_again():
    scripts = Script(OSError("down"), OK), Script(*WHOLE)
    stage = Stage(*scripts, policy=Policy(stale_while_revalidate_s=3600), clock=lambda: NOW)
    stage.access.save(entry(b"old\n", b"END\n", age_s=20, ttl_s=10))
    assert stage.run().stale
    settled(lambda: stage.source.sends == 1 and not stage.world.refreshing)
    assert stage.run().stale
    settled(lambda: stage.stored == [b"a\nb\nEND\n"])


def test_without_a_thread_to_spare_the_stale_answer_is_served_all_the_same(monkeypatch):
    stage = Stage(policy=Policy(stale_while_revalidate_s=3600), clock=lambda: NOW)
    stage.access.save(entry(age_s=20, ttl_s=10))

    def none_left(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert stage.run().stale
    assert not stage.world.refreshing
