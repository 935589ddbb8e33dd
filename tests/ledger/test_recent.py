"""The latest calls of all processes: one for each call, newest first, in a journal that does not grow."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llm_cache import LLMCache
from llm_cache.core.events import About, Bypassed, Dropped, Hit, Joined, Missed, Stored
from llm_cache.ledger import recent
from llm_cache.ledger.recent import calls
from tests.ledger.conftest import KEY, NOON, about, entry


def told(ledger, limit=100):
    return [(call.status, call.reason, call.kept, call.cost_usd) for call in ledger.recent(limit)]


def test_each_call_is_one_newest_first(ledger, store):
    paid = entry(cost_usd=Decimal("0.5"))
    ledger(Missed(about(), "absent"))
    ledger(Stored(about(), paid))
    ledger(Hit(about(), paid, times=3))
    ledger(Hit(about(), paid, stale=True))
    ledger(Joined(about(), paid))
    ledger(Bypassed(About("acme"), "unknown_endpoint"))
    ledger(Missed(about(), "refresh"))
    ledger(Dropped(about(), "empty"))
    ledger(Missed(about(key="cd" * 32), "offline"))
    half = Decimal("0.5")
    assert told(ledger) == [
        ("miss", "offline", None, None),
        ("miss", "refresh", "empty", None),
        ("bypass", "unknown_endpoint", None, None),
        ("joined", "", None, half),
        ("stale", "", None, half),
        ("hit", "", None, half),
        ("miss", "absent", "stored", half),
    ]
    assert [call.times for call in ledger.recent()] == [1, 1, 1, 1, 1, 3, 1]
    first = ledger.recent(1)[0]
    assert (first.provider, first.model, first.endpoint) == ("acme", "big", "/v1/chat/completions")
    assert (first.namespace, first.key, first.at) == ("default", "cd" * 32, NOON)


def test_what_was_not_priced_yet_has_the_price_of_its_entry(ledger, store):
    from llm_cache.codec.codec import Codec

    unpriced = entry()
    store.put(Codec().encode(unpriced))
    ledger(Missed(about(), "absent"))
    ledger(Stored(about(), unpriced))
    assert told(ledger) == [("miss", "absent", "stored", Decimal("0.00004"))]


def test_the_journal_does_not_grow(ledger, store):
    for number in range(2 * recent.MOST):
        ledger(Bypassed(About("acme"), str(number)))
        if number % 100 == 99:
            ledger.flush()
    lines = store.jotted(recent.JOURNAL, 10**6)
    assert len(lines) == recent.MOST
    assert next(calls(lines)).reason == str(2 * recent.MOST - 1)


def test_many_at_once_leave_the_latest(ledger, store):
    for number in range(3 * recent.AT_ONCE):
        ledger(Bypassed(About("acme"), str(number)))
    ledger.flush()
    assert len(store.jotted(recent.JOURNAL, 10**6)) == recent.AT_ONCE
    assert ledger.recent(1)[0].reason == str(3 * recent.AT_ONCE - 1)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b'{"at":1}', b'{"at":"x","status":7}', b"\xff", b"1"])
def test_lines_that_nobody_can_read_are_passed_over(ledger, store, line):
    ledger(Bypassed(About("acme"), "one"))
    ledger.flush()
    store.jot(recent.JOURNAL, [line], recent.MOST)
    ledger(Bypassed(About("acme"), "two"))
    assert [call.reason for call in ledger.recent()] == ["two", "one"]


def test_calls_of_other_processes_are_among_them(database):
    with LLMCache(database_url=database) as one, LLMCache(database_url=database) as other:
        one.get_or_set("k", lambda: {"a": 1}, "acme", "m", "/x", {})
        one.engine.ledger.flush()
        other.get_or_set("k", lambda: {"a": 1}, "acme", "m", "/x", {})
        found = other.engine.ledger.recent()
    assert [call.status for call in found] == ["hit", "miss"]
    assert found[0].key == found[1].key != KEY
