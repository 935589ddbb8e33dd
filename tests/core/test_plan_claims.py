"""Who fetches, who reads along, who waits: the part of a plan that makes identical calls pay once."""

from __future__ import annotations

import pytest

from llm_cache.core.effects import Claim, Claimed, Join, Landing, Lookup, Pause, Send, Tell
from llm_cache.core.events import Hit, Joined, Missed
from llm_cache.core.plan import Follow, Relay, Replay, answer
from llm_cache.core.policy import Policy
from llm_cache.testing import play
from tests.core.making import KEY, NOW, SENT, WHOM, ask, entry, told

LOOK = (Lookup(KEY), None)
FOLLOW = (Claim(KEY), Claimed.FOLLOW)
BUSY = (Claim(KEY), Claimed.BUSY)
LEAD = (Claim(KEY), Claimed.LEAD)
SENDS = [Tell(Missed(WHOM, "absent")), (Send, SENT)]


def test_a_leader_looks_once_more_because_somebody_may_have_landed_in_between():
    kept = entry(age_s=0)
    play(answer(ask(), NOW), LOOK, LEAD, (Lookup(KEY), kept), Tell(Hit(WHOM, kept, 0.0)), returns=Replay(kept))


def test_a_leader_looks_only_once_more_and_claims_only_once():
    play(answer(ask(), NOW), LOOK, LEAD, LOOK, *SENDS, returns=Relay)


def test_a_follower_tells_nothing_before_its_body_is_over():
    play(answer(ask(), NOW), LOOK, FOLLOW, (Join(KEY), Landing.JOINED), returns=Follow())


@pytest.mark.parametrize("landing", [Landing.REFUSED, Landing.LATE])
def test_who_cannot_share_the_fetch_calls_without_another_claim(landing):
    play(answer(ask(), NOW), LOOK, FOLLOW, (Join(KEY), landing), *SENDS, returns=Relay)


def test_when_the_leader_dies_a_follower_claims_again_and_may_lead():
    play(answer(ask(), NOW), LOOK, FOLLOW, (Join(KEY), Landing.DIED), LOOK, LEAD, LOOK, *SENDS, returns=Relay)


def test_when_the_leader_dies_a_follower_may_follow_the_next_one():
    play(
        answer(ask(), NOW),
        LOOK,
        FOLLOW,
        (Join(KEY), Landing.DIED),
        LOOK,
        FOLLOW,
        (Join(KEY), Landing.JOINED),
        returns=Follow(),
    )


def test_when_the_leader_turns_out_to_need_no_fetch_its_followers_are_hits():
    """It claimed, looked once more and found what somebody had stored: it lands without a head."""
    kept = entry(age_s=0)
    play(answer(ask(), NOW), LOOK, FOLLOW, (Join(KEY), Landing.DIED), (Lookup(KEY), kept), told(Hit), returns=Replay)


def test_who_waits_for_somebody_out_of_reach_looks_after_each_pause():
    kept = entry(age_s=0)
    play(
        answer(ask(), NOW),
        LOOK,
        BUSY,
        (Pause(KEY), 0.1),
        LOOK,
        BUSY,
        (Pause(KEY), 0.2),
        (Lookup(KEY), kept),
        Tell(Joined(WHOM, kept, kept.usage)),
        returns=Replay(kept, joined=True),
    )


def test_who_waited_may_lead_when_the_other_is_gone():
    play(answer(ask(), NOW), LOOK, BUSY, (Pause(KEY), 0.1), LOOK, LEAD, LOOK, *SENDS, returns=Relay)


@pytest.mark.parametrize(("waited_s", "goes"), [(4.9, False), (5.0, True), (6.0, True)])
def test_the_wait_for_somebody_out_of_reach_is_bounded(waited_s, goes):
    plan = answer(ask(Policy(join_timeout_s=5)), NOW)
    script = [LOOK, BUSY, (Pause(KEY), waited_s)]
    if goes:
        play(plan, *script, *SENDS, returns=Relay)
    else:
        play(plan, *script, LOOK, Claim(KEY), goes_on=True)


def test_alone_means_neither_waiting_nor_a_second_look():
    play(answer(ask(), NOW), LOOK, (Claim(KEY), Claimed.ALONE), *SENDS, returns=Relay)


def test_what_was_expired_before_the_wait_stays_the_reason():
    old = entry(age_s=11, ttl_s=10)
    play(
        answer(ask(), NOW),
        (Lookup(KEY), old),
        FOLLOW,
        (Join(KEY), Landing.LATE),
        Tell(Missed(WHOM, "expired")),
        (Send, SENT),
        returns=Relay,
    )


def test_an_error_of_the_upstream_is_thrown_after_a_claim_as_well():
    """The runner lands the claim; the plan has nothing to clean up."""
    error = OSError("refused")
    play(answer(ask(), NOW), LOOK, LEAD, LOOK, told(Missed), (Send, error), raises=error)
