"""What leaves when, what is kept, and what is told, while a body passes."""

from __future__ import annotations

import pytest

from llm_cache.core.effects import Deliver, Pull, Sent, Tell
from llm_cache.core.events import Dropped, Stored
from llm_cache.core.model import Head
from llm_cache.core.plan import Relay, abandoned, relay
from llm_cache.core.policy import Policy
from llm_cache.core.recorder import Recorder
from llm_cache.testing import play
from tests.core.making import NOW, OK, SENT, USAGE, WHOM, ask, delivers, endpoint, pulls, saves, told

PLAIN = endpoint(stream=False)


def relaying(policy=None, *, where=None, keep=True, sent=SENT):
    asked = ask(policy, where)
    recorder = None if sent.head.status != 200 else Recorder(asked.request, asked.endpoint, asked.policy, WHOM, sent)
    return relay(recorder, WHOM, sent, keep=keep)


# --- which chunk waits ----------------------------------------------------------------------------


def test_chunks_leave_at_once_and_the_one_that_completes_leaves_after_it_is_kept():
    plan = relaying()
    play(
        plan,
        pulls(b"a\n"),
        Deliver(b"a\n"),
        pulls(b"b\n"),
        Deliver(b"b\n"),
        pulls(b"END\n", NOW + 3),
        (saves(b"a\nb\nEND\n", created_at=NOW + 3), True),
        told(Stored, again=False, nested=False),
        Deliver(b"END\n"),
        pulls(None),
        returns=None,
    )


def test_where_only_the_end_tells_all_chunks_leave_at_once_and_the_end_waits():
    play(
        relaying(where=PLAIN),
        pulls(b"{"),
        Deliver(b"{"),
        pulls(b"}"),
        Deliver(b"}"),
        pulls(None),
        (saves(b"{}", stream=False), True),
        told(Stored),
        returns=None,
    )


def test_a_chunk_that_may_be_the_last_some_consumers_read_waits_for_the_next():
    play(
        relaying(),
        pulls(b"a\nEND"),
        pulls(b"\n"),
        (saves(b"a\nEND\n"), True),
        told(Stored),
        *delivers(b"a\nEND", b"\n"),
        pulls(None),
        returns=None,
    )


def test_a_chunk_that_only_looked_like_the_last_leaves_with_the_next():
    play(relaying(), pulls(b"a END"), pulls(b"LESS\n"), *delivers(b"a END", b"LESS\n"), goes_on=True)


def test_what_is_held_at_the_end_is_delivered_and_the_reply_is_cut_off():
    play(relaying(), pulls(b"a END"), pulls(None), told(Dropped, reason="cut_off"), Deliver(b"a END"), returns=None)


def test_what_is_held_when_the_upstream_breaks_is_delivered_before_the_error():
    error = OSError("reset")
    script = [pulls(b"END"), (Pull(), error), Deliver(b"END"), told(Dropped, reason="broken_off")]
    play(relaying(), *script, raises=error)


def test_an_empty_body_is_over_at_once():
    play(relaying(), pulls(None), told(Dropped, reason="cut_off"), returns=None)


# --- bytes after the end ----------------------------------------------------------------------------

WHOLE = [pulls(b"END\n"), (saves(b"END\n"), True), told(Stored, again=False), Deliver(b"END\n")]


def test_bytes_after_the_end_make_a_longer_entry_that_replaces_the_first():
    play(
        relaying(),
        *WHOLE,
        pulls(b"tail\n"),
        Deliver(b"tail\n"),
        pulls(b"more\n"),
        Deliver(b"more\n"),
        pulls(None),
        (saves(b"END\ntail\nmore\n"), True),
        told(Stored, again=True),
        returns=None,
    )


def test_when_the_longer_entry_is_not_kept_the_first_stays_and_nothing_is_told_twice():
    play(
        relaying(),
        *WHOLE,
        pulls(b"tail\n"),
        Deliver(b"tail\n"),
        pulls(None),
        (saves(b"END\ntail\n"), False),
        returns=None,
    )


def test_when_the_tail_spoils_the_reply_nothing_more_is_kept_or_told():
    play(relaying(), *WHOLE, pulls(b" error\n"), Deliver(b" error\n"), pulls(None), returns=None)


def test_when_the_tail_breaks_off_the_whole_answer_stays_kept():
    error = OSError("reset")
    play(relaying(), *WHOLE, pulls(b"ta"), Deliver(b"ta"), (Pull(), error), raises=error)


def test_a_save_that_failed_is_tried_again_with_the_tail():
    play(
        relaying(),
        pulls(b"END\n"),
        (saves(b"END\n"), False),
        told(Dropped, reason="store_failed"),
        Deliver(b"END\n"),
        pulls(b"t"),
        Deliver(b"t"),
        pulls(None),
        (saves(b"END\nt"), True),
        told(Stored, again=True),
        returns=None,
    )


# --- what is not kept -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "policy", "reason"),
    [
        (b"a error\nEND\n", None, "error"),
        (b"content_filter\nEND\n", None, "content_filter"),
        (b"empty\nEND\n", None, "empty"),
        (b"empty length\nEND\n", Policy(dont_store=frozenset({"empty", "length"})), "empty"),
        (b"length\nEND\n", Policy(dont_store=frozenset({"length"})), "length"),
        (b"refusal\nEND\n", Policy(dont_store=frozenset({"refusal"})), "refusal"),
        (b"a usage\n" * 20 + b"END\n", Policy(max_entry_bytes=100), "too_large"),
    ],
)
def test_a_reply_that_may_not_be_kept_is_delivered_all_the_same(body, policy, reason):
    plan = relaying(policy)
    if reason == "too_large":
        # It has no end that anybody looks for any more.
        play(plan, pulls(body), Deliver(body), pulls(None), told(Dropped, reason=reason), returns=None)
    else:
        play(plan, pulls(body), told(Dropped, reason=reason), Deliver(body), pulls(None), returns=None)


@pytest.mark.parametrize(
    ("body", "policy"),
    [(b"length\nEND\n", None), (b"refusal\nEND\n", None), (b"empty\nEND\n", Policy(dont_store=frozenset()))],
)
def test_what_was_asked_for_is_kept(body, policy):
    play(relaying(policy), pulls(body), (saves(body), True), told(Stored), Deliver(body), goes_on=True)


def test_a_stream_that_ends_without_its_terminal_event_is_not_kept():
    play(relaying(), pulls(b"a\n"), Deliver(b"a\n"), pulls(None), told(Dropped, reason="cut_off"), returns=None)


def test_an_upstream_that_breaks_off_is_told_with_what_was_used_and_raised_as_it_is():
    error = OSError("reset")
    play(
        relaying(),
        pulls(b"usage\n"),
        Deliver(b"usage\n"),
        (Pull(), error),
        told(Dropped, reason="broken_off", usage=USAGE),
        raises=error,
    )


def test_a_reply_that_is_no_200_passes_untouched_and_is_dropped_by_its_status():
    sent = Sent(Head(429), NOW, NOW)
    dropped = Tell(Dropped(WHOM, "status_429"))
    play(relaying(sent=sent), pulls(b"END\n"), Deliver(b"END\n"), pulls(None), dropped, returns=None)
    error = OSError("reset")
    play(relaying(sent=sent), (Pull(), error), dropped, raises=error)


def test_who_may_not_keep_saves_nothing_and_still_says_what_was_used():
    play(
        relaying(keep=False),
        pulls(b"usage\nEND\n", NOW + 5),
        told(Dropped, reason="not_to_be_stored", usage=USAGE, latency_ms=5000.0),
        Deliver(b"usage\nEND\n"),
        pulls(None),
        returns=None,
    )


def test_a_save_that_fails_costs_nothing_but_the_entry():
    play(
        relaying(),
        pulls(b"usage\nEND\n"),
        (saves(b"usage\nEND\n"), False),
        told(Dropped, reason="store_failed", usage=USAGE),
        Deliver(b"usage\nEND\n"),
        pulls(None),
        returns=None,
    )


def test_money_that_another_layer_has_counted_is_marked():
    sent = Sent(OK, NOW, NOW, nested=True)
    play(relaying(sent=sent), pulls(b"END\n"), (saves(b"END\n"), True), told(Stored, nested=True), goes_on=True)
    play(relaying(sent=sent, keep=False), pulls(b"END\n"), told(Dropped, nested=True), goes_on=True)
    play(relaying(sent=sent), (Pull(), OSError()), told(Dropped, nested=True), raises=OSError)


# --- vendor files that fail ---------------------------------------------------------------------------


class Broken:
    """A reader that fails at one of its two verbs."""

    def __init__(self, verb):
        self.verb = verb

    def feed(self, data):
        if self.verb == "feed":
            raise KeyError("choices")

    def finish(self):
        raise RecursionError


@pytest.mark.parametrize("verb", ["feed", "finish"])
def test_a_vendor_file_that_fails_costs_the_entry_and_never_the_call(verb):
    where = endpoint(reader=lambda _: Broken(verb))
    play(
        relaying(where=where),
        pulls(b"a"),
        Deliver(b"a"),
        pulls(b"b"),
        Deliver(b"b"),
        pulls(None),
        told(Dropped, reason="unreadable"),
        returns=None,
    )
    error = OSError("reset")
    script = [pulls(b"a"), Deliver(b"a"), (Pull(), error), told(Dropped, reason="broken_off")]
    play(relaying(where=where), *script, raises=error)


# --- going away -------------------------------------------------------------------------------------------


def test_closing_a_relay_asks_for_nothing_more():
    """Wherever it is: an effect yielded while it is closed would be a RuntimeError, and lost."""
    error = OSError("reset")
    scripts = [
        [
            *[pulls(b"a\n"), Deliver(b"a\n"), pulls(b"END"), pulls(b"\n"), (saves(b"a\nEND\n"), True), told(Stored)],
            *[
                *delivers(b"END", b"\n"),
                pulls(b"t"),
                Deliver(b"t"),
                pulls(None),
                (saves(b"a\nEND\nt"), True),
                told(Stored),
            ],
        ],
        [pulls(b"END"), (Pull(), error), Deliver(b"END"), told(Dropped)],
        [pulls(b"a\n"), Deliver(b"a\n"), pulls(None), told(Dropped)],
    ]
    for script in scripts:
        for length in range(len(script)):
            plan = relaying()
            play(plan, *script[:length], goes_on=True)
            plan.close()


def test_when_all_readers_have_gone_that_is_told_with_what_was_used():
    asked = ask()
    recorder = Recorder(asked.request, asked.endpoint, asked.policy, WHOM, SENT)
    body = Relay(SENT, relay(recorder, WHOM, SENT, keep=True), recorder, "absent")
    recorder.feed(b"usage\n", NOW)
    assert abandoned(body, WHOM) == Dropped(WHOM, "abandoned", USAGE)
    refused = Relay(Sent(Head(500), NOW, NOW), body.body, None, "absent")
    assert abandoned(refused, WHOM) == Dropped(WHOM, "status_500")
