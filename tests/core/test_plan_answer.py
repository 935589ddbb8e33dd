"""What a call asks of the world, and in which order, up to the head of its reply. Without joining: test_plan_claims."""

from __future__ import annotations

import pytest

from llm_cache.core.effects import Claim, Claimed, Explain, Lookup, Pause, Revalidate, Send, Sent, Tell
from llm_cache.core.events import Bypassed, Dropped, Hit, Missed
from llm_cache.core.model import Head
from llm_cache.core.plan import Ask, Pass, Relay, Replay, answer
from llm_cache.core.policy import Mode, Policy
from llm_cache.errors import CacheMissError
from llm_cache.testing import play
from tests.core.making import KEY, NOW, OK, SENT, WHOM, ask, endpoint, entry, pulls, request, told

LEADS = [(Claim(KEY), Claimed.LEAD), (Lookup(KEY), None)]
"""The claim and the second look of a call that fetches."""


def relayed(reason: str):
    def matches(outcome: object) -> bool:
        return isinstance(outcome, Relay) and outcome.reason == reason

    matches.__name__ = f"a relay because {reason}"
    return matches


def test_a_hit_is_told_and_replayed():
    kept = entry(age_s=60)
    play(
        answer(ask(), NOW),
        (Lookup(KEY), kept),
        Tell(Hit(WHOM, kept, 60.0)),
        returns=Replay(kept, age_s=60.0),
    )


def test_a_miss_claims_looks_once_more_and_sends():
    asked = ask()
    outcome = play(
        answer(asked, NOW),
        (Lookup(KEY), None),
        *LEADS,
        Tell(Missed(WHOM, "absent")),
        (Send(asked.request), SENT),
        returns=relayed("absent"),
    )
    assert outcome.sent is SENT


@pytest.mark.parametrize(
    ("ttl_s", "age_s", "hit"),
    [(10, 9.5, True), (10, 10.0, False), (10, 11.0, False), (None, 1e9, True)],
)
def test_an_entry_is_fresh_until_it_expires(ttl_s, age_s, hit):
    kept = entry(age_s=age_s, ttl_s=ttl_s)
    next_up = play(answer(ask(), NOW), (Lookup(KEY), kept), goes_on=True)
    assert next_up == (Tell(Hit(WHOM, kept, age_s)) if hit else Claim(KEY))


def test_an_entry_from_the_future_is_of_no_age():
    kept = entry(age_s=-5.0)
    assert play(answer(ask(), NOW), (Lookup(KEY), kept), Tell(Hit(WHOM, kept, 0.0)), returns=Replay(kept)).age_s == 0


def test_an_expired_entry_is_a_miss_that_says_so():
    play(
        answer(ask(), NOW),
        (Lookup(KEY), entry(age_s=11, ttl_s=10)),
        (Claim(KEY), Claimed.LEAD),
        (Lookup(KEY), entry(age_s=11, ttl_s=10)),
        Tell(Missed(WHOM, "expired")),
        (Send, SENT),
        returns=relayed("expired"),
    )


@pytest.mark.parametrize(("age_s", "hit"), [(5, True), (5.5, False)])
def test_max_age_refuses_what_is_older(age_s, hit):
    kept = entry(age_s=age_s)
    plan = answer(ask(Policy(max_age_s=5)), NOW)
    if hit:
        play(plan, (Lookup(KEY), kept), Tell(Hit(WHOM, kept, age_s)), returns=Replay(kept, age_s=age_s))
    else:
        play(plan, (Lookup(KEY), kept), Claim(KEY), goes_on=True)


@pytest.mark.parametrize("grace", [{"stale_while_revalidate_s": 100}, {"stale_if_error_s": 100}])
def test_max_age_admits_nothing_stale(grace):
    error = OSError("down")
    play(
        answer(ask(Policy(max_age_s=60, **grace)), NOW),
        (Lookup(KEY), entry(age_s=11, ttl_s=10)),
        (Claim(KEY), Claimed.ALONE),
        Tell(Missed(WHOM, "expired")),
        (Send, error),
        raises=error,
    )


# --- stale while revalidate ---------------------------------------------------------------------


def test_a_stale_answer_is_served_and_fetched_anew_behind():
    kept = entry(age_s=19, ttl_s=10)
    play(
        answer(ask(Policy(stale_while_revalidate_s=10)), NOW),
        (Lookup(KEY), kept),
        Tell(Hit(WHOM, kept, 19.0, stale=True)),
        Revalidate(KEY),
        returns=Replay(kept, stale=True, age_s=19.0),
    )


def test_past_the_grace_a_stale_answer_is_a_miss():
    plan = answer(ask(Policy(stale_while_revalidate_s=10)), NOW)
    play(plan, (Lookup(KEY), entry(age_s=20, ttl_s=10)), Claim(KEY), goes_on=True)


@pytest.mark.parametrize("policy", [{"mode": Mode.OFFLINE}, {"mode": Mode.READ_ONLY}, {"store": False}])
def test_nothing_is_fetched_behind_by_who_may_not_call_or_keep(policy):
    """Else `offline` would touch the network, and `read-only` would write."""
    kept = entry(age_s=19, ttl_s=10)
    play(
        answer(ask(Policy(stale_while_revalidate_s=10, **policy)), NOW),
        (Lookup(KEY), kept),
        Tell(Hit(WHOM, kept, 19.0, stale=True)),
        returns=Replay(kept, stale=True, age_s=19.0),
    )


# --- stale if error -----------------------------------------------------------------------------

GRACIOUS = Policy(stale_if_error_s=10)
LEFT = entry(age_s=19, ttl_s=10)
UP_TO_SEND = [(Lookup(KEY), LEFT), (Claim(KEY), Claimed.LEAD), (Lookup(KEY), LEFT)]


@pytest.mark.parametrize("failure", [OSError("down"), Sent(Head(500), NOW, NOW), Sent(Head(529), NOW, NOW)])
def test_when_fetching_fails_what_is_left_over_is_served(failure):
    play(
        answer(ask(GRACIOUS), NOW),
        *UP_TO_SEND,
        (Send, failure),
        Tell(Hit(WHOM, LEFT, 19.0, stale=True)),
        returns=Replay(LEFT, stale=True, age_s=19.0),
    )


@pytest.mark.parametrize("status", [200, 401, 429])
def test_when_fetching_works_or_the_request_is_at_fault_nothing_stale_is_served(status):
    sent = Sent(Head(status), NOW, NOW)
    play(
        answer(ask(GRACIOUS), NOW),
        *UP_TO_SEND,
        (Send, sent),
        Tell(Missed(WHOM, "expired")),
        returns=relayed("expired"),
    )


def test_past_the_grace_the_error_is_the_callers():
    error, old = OSError("down"), entry(age_s=20, ttl_s=10)
    play(
        answer(ask(GRACIOUS), NOW),
        (Lookup(KEY), old),
        (Claim(KEY), Claimed.LEAD),
        (Lookup(KEY), old),
        Tell(Missed(WHOM, "expired")),
        (Send, error),
        raises=error,
    )


def test_what_somebody_else_has_stored_meanwhile_is_served_not_what_was_left_over():
    new = entry(age_s=0)
    play(
        answer(ask(GRACIOUS), NOW),
        (Lookup(KEY), LEFT),
        (Claim(KEY), Claimed.LEAD),
        (Lookup(KEY), new),
        Tell(Hit(WHOM, new, 0.0)),
        returns=Replay(new),
    )


# --- the cache is out of it ---------------------------------------------------------------------

NOWHERE = Ask(ask().request, Policy(), None, None)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (ask(Policy(mode=Mode.OFF)), "off"),
        (NOWHERE, "unknown_endpoint"),
        (ask(where=endpoint(uncacheable="conversation")), "conversation"),
    ],
)
def test_a_call_that_is_not_cacheable_passes_and_nothing_is_asked(asked, reason):
    play(answer(asked, NOW), told(Bypassed, reason=reason), returns=Pass(reason))


def test_an_unknown_endpoint_is_told_without_a_key():
    play(answer(NOWHERE, NOW), told(Bypassed, about=type(WHOM)()), returns=Pass)


# --- offline ------------------------------------------------------------------------------------

OFFLINE = Policy(mode=Mode.OFFLINE)


def test_offline_a_hit_is_a_hit():
    play(answer(ask(OFFLINE), NOW), (Lookup(KEY), entry()), told(Hit), returns=Replay)


@pytest.mark.parametrize(
    ("found", "words"),
    [(None, "no answer is stored"), (entry(age_s=11, ttl_s=10), "only an expired answer is stored")],
)
def test_offline_a_miss_never_sends_and_explains_itself(found, words):
    asked = ask(OFFLINE)
    error = play(
        answer(asked, NOW),
        (Lookup(KEY), found),
        (Explain(asked.signature, asked.request), "the nearest …"),
        Tell(Missed(WHOM, "offline")),
        raises=CacheMissError,
    )
    assert words in str(error)
    assert (error.key, error.explanation) == (KEY, "the nearest …")


@pytest.mark.parametrize("policy", [{"lookup": False}, {"store": False}, {"max_age_s": 1.0}, {"stale_if_error_s": 9.0}])
def test_no_other_wish_opens_the_network_while_offline(policy):
    """`no-cache` on a request to an offline cache must not become a call."""
    asked = ask(Policy(mode=Mode.OFFLINE, **policy))
    looks = [] if "lookup" in policy else [(Lookup(KEY), entry(age_s=11, ttl_s=10))]
    play(answer(asked, NOW), *looks, (Explain, None), Tell(Missed(WHOM, "offline")), raises=CacheMissError)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Ask(ask().request, OFFLINE, None, None), "unknown_endpoint"),
        (ask(OFFLINE, endpoint(uncacheable="conversation")), "conversation"),
    ],
)
def test_offline_what_is_not_cacheable_fails_too(asked, reason):
    error = play(answer(asked, NOW), told(Missed, reason="offline"), raises=CacheMissError)
    assert error.key == ""
    assert f"not cacheable ({reason})" in str(error)


def test_the_message_of_a_miss_names_the_call_and_no_credentials():
    for where in (None, endpoint()):
        what = request(url="https://user:secret@api.acme.example/v1/say?key=secret")
        asked = ask(OFFLINE, where, what) if where else Ask(what, OFFLINE, None, None)
        script = [told(Missed)] if where is None else [(Lookup, None), Explain, told(Missed)]
        error = play(answer(asked, NOW), *script, raises=CacheMissError)
        assert "secret" not in str(error)
        assert "POST https://api.acme.example/v1/say" in str(error)


# --- modes that neither lead nor join -----------------------------------------------------------


@pytest.mark.parametrize("policy", [Policy(mode=Mode.REFRESH), Policy(lookup=False)])
def test_refresh_looks_nothing_up_and_claims_nothing(policy):
    play(answer(ask(policy), NOW), Tell(Missed(WHOM, "refresh")), (Send, SENT), returns=relayed("refresh"))


@pytest.mark.parametrize("policy", [Policy(mode=Mode.READ_ONLY), Policy(store=False)])
def test_who_keeps_nothing_looks_and_claims_nothing(policy):
    play(answer(ask(policy), NOW), (Lookup(KEY), entry()), told(Hit), returns=Replay)
    asked = ask(policy)
    outcome = play(
        answer(asked, NOW),
        (Lookup(KEY), None),
        Tell(Missed(WHOM, "absent")),
        (Send(asked.request), SENT),
        returns=relayed("absent"),
    )
    play(outcome.body, pulls(b"END\n"), told(Dropped, reason="not_to_be_stored"), goes_on=True)


def test_an_error_of_the_upstream_passes_through_as_it_is():
    error = OSError("refused")
    play(answer(ask(), NOW), (Lookup(KEY), None), *LEADS, told(Missed, reason="absent"), (Send, error), raises=error)


def test_a_reply_that_is_no_200_is_relayed_and_not_recorded():
    for status, recorded in [(200, True), (201, False), (204, False), (404, False), (500, False)]:
        sent = Sent(Head(status), NOW, NOW)
        outcome = play(answer(ask(), NOW), (Lookup(KEY), None), *LEADS, told(Missed), (Send, sent), returns=Relay)
        assert (outcome.recorder is not None) == recorded


def test_a_vendor_file_that_fails_costs_the_recording_and_not_the_call():
    def reader(head):
        raise KeyError("id")

    asked = ask(where=endpoint(reader=reader))
    outcome = play(answer(asked, NOW), (Lookup(KEY), None), *LEADS, told(Missed), (Send, SENT), returns=Relay)
    assert outcome.sent.head is OK


def test_closing_an_answer_asks_for_nothing_more():
    """Cancellation closes plans; an effect yielded then would be a RuntimeError, and lost."""
    kept = entry(age_s=19, ttl_s=10)
    scripts = [
        [(Lookup(KEY), None), *LEADS, told(Missed), Send],
        [(Lookup(KEY), None), (Claim(KEY), Claimed.BUSY), (Pause(KEY), 0.1), Lookup],
        [(Lookup(KEY), LEFT), (Claim(KEY), Claimed.LEAD), (Lookup(KEY), LEFT), Send],
        [(Lookup(KEY), kept), told(Hit), Revalidate],
    ]
    policies = [Policy(), Policy(), GRACIOUS, Policy(stale_while_revalidate_s=10)]
    for policy, script in zip(policies, scripts, strict=True):
        for length in range(1, len(script) + 1):
            plan = answer(ask(policy), NOW)
            # The last of the script's effects is the one at which the plan is closed.
            play(plan, *script[: length - 1], goes_on=True)
            plan.close()
