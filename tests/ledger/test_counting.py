"""Every call is a hit, a miss or a bypass; what each event counts, by day, provider, model and namespace."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from decimal import Decimal

from llm_cache.core.events import Bypassed, Dropped, Evicted, Hit, Joined, Missed, Stored, StoreFailed
from llm_cache.core.model import Usage
from llm_cache.ledger.prices import to_usd
from tests.ledger.conftest import KEY, NOON, about, entry

CENT = to_usd(40_000_000)
"""What `entry()` costs."""


def counted(ledger):
    """All counts but those of nothing."""
    stats = ledger.stats()
    return {name: value for name, value in stats.as_json().items() if value not in (0, "0", 0.0, [])}


def test_a_call_that_was_paid_for(ledger):
    ledger(Missed(about(), "absent"))
    ledger(Stored(about(), entry()))
    assert counted(ledger) == {"misses": 1, "cost_spent_usd": "0.00004"}
    total = ledger.stats().total
    assert (total.stored, total.tokens_in, total.tokens_out) == (1, 1, 1)


def test_a_hit_saves_money_tokens_and_time(ledger):
    ledger(Hit(about(), entry()))
    assert counted(ledger) == {
        "hits": 1,
        "hit_rate": 1.0,
        "cost_saved_usd": "0.00004",
        "tokens_saved": 2,
        "time_saved_s": 1.5,
    }


def test_a_stale_answer_is_a_hit(ledger):
    ledger(Hit(about(), entry(), stale=True))
    assert counted(ledger)["hits"] == 1
    assert ledger.stats().total.stale == 1


def test_a_joined_call_is_a_hit_and_saves_money_but_no_time(ledger):
    ledger(Joined(about(), entry(), Usage(1, 1)))
    ledger(Joined(about(), None, Usage(1, 1)))
    ledger(Joined(about(), None, None))
    assert counted(ledger) == {
        "hits": 3,
        "joined": 3,
        "hit_rate": 1.0,
        "cost_saved_usd": "0.00008",
        "tokens_saved": 4,
    }
    assert ledger.stats().total.unpriced_saved == 1


def test_refreshes_offline_misses_and_errors_are_misses(ledger):
    for reason in ("refresh", "no_cache", "offline", "error"):
        ledger(Missed(about(), reason))
    stats = ledger.stats()
    assert stats.misses == 4
    assert stats.reasons["miss"] == {"error": 1, "no_cache": 1, "offline": 1, "refresh": 1}


def test_a_bypass_is_neither(ledger):
    ledger(Bypassed(about(), "off"))
    ledger(Bypassed(about(), "off"))
    stats = ledger.stats()
    assert (stats.bypasses, stats.hits, stats.misses, stats.hit_rate) == (2, 0, 0, 0.0)
    assert stats.reasons["bypass"] == {"off": 2}


def test_a_longer_recording_of_the_same_reply_counts_nothing_twice(ledger, store):
    ledger(Stored(about(), entry()))
    ledger(Stored(about(), entry(created_at=NOON), again=True))
    stats = ledger.stats()
    assert (stats.total.stored, stats.total.tokens_in, stats.cost_spent_usd) == (1, 1, CENT)


def test_what_another_layer_paid_for_costs_nothing_here(ledger):
    ledger(Missed(about(), "absent"))
    ledger(Stored(about(), entry(), nested=True))
    ledger(Dropped(about(), "empty", Usage(1, 1), nested=True))
    stats = ledger.stats()
    assert (stats.total.stored, stats.total.dropped, stats.total.tokens_in, stats.cost_spent_usd) == (
        1,
        1,
        0,
        Decimal(0),
    )


def test_an_answer_that_was_not_kept_cost_money_all_the_same(ledger):
    ledger(Dropped(about(), "empty", Usage(1, 1)))
    ledger(Dropped(about(), "abandoned", None))
    ledger(Dropped(about(), "status_500", None))
    stats = ledger.stats()
    assert stats.cost_spent_usd == CENT
    assert stats.total.unpriced_spent == 1  # the one that was abandoned before it told its usage; a 500 is not billed
    assert stats.reasons["drop"] == {"abandoned": 1, "empty": 1, "status_500": 1}


def test_failures_of_the_store_and_evictions(ledger):
    ledger(StoreFailed(about(provider="", model=""), "get", "no"))
    ledger(StoreFailed(about(provider="", model=""), "put", "no"))
    ledger(Evicted(about(), 7, 4096))
    stats = ledger.stats()
    assert stats.total.store_failures == 2
    assert stats.total.evicted == 7
    assert stats.reasons["fail"] == {"get": 1, "put": 1}


def test_an_unknown_model_costs_unknown(ledger):
    ledger(Stored(about("acme", "odd"), entry(model="odd")))
    ledger(Hit(about("acme", "odd"), entry(model="odd")))
    stats = ledger.stats()
    assert (stats.cost_spent_usd, stats.cost_saved_usd) == (Decimal(0), Decimal(0))
    assert (stats.total.unpriced_spent, stats.total.unpriced_saved) == (1, 1)


def test_calls_are_counted_by_the_model_that_was_asked_for(ledger):
    """Else the misses of `gpt-4o` and its hits, which know who answered, would never meet."""
    ledger(Missed(about(model="big"), "absent"))
    ledger(Hit(about(model="big"), entry(model="big-2026-01-01")))
    (line,) = ledger.stats().lines
    assert (line.provider, line.model, line.hits, line.misses) == ("acme", "big", 1, 1)


def test_days_are_utc_and_those_of_the_call(ledger, clock):
    clock.now = 1_767_311_999.0  # 23:59:59
    ledger(Hit(about(), entry()))
    clock.now += 2
    ledger(Hit(about(), entry()))
    ledger(Hit(about(), entry()))
    assert {day: line.hits for day, line in ledger.stats().days.items()} == {"2026-01-01": 1, "2026-01-02": 2}


def test_namespaces_are_kept_apart(ledger, store):
    ledger(Hit(about(namespace="a"), entry()))
    ledger(Hit(about(namespace="b"), entry()))
    ledger.flush()
    assert {label[4] for label in store.sums() if label[0] == "calls"} == {"a", "b"}


def test_entries_are_told_of_their_hits(ledger, store, clock):
    told = []
    store.touch = told.append
    ledger(Hit(about(), entry()))
    clock.now += 5
    ledger(Joined(about(), entry(), None))
    ledger(Joined(about(), None, None))
    ledger.flush()
    assert told == [{bytes.fromhex(KEY): (2, NOON + 5)}]


def test_who_calls_cannot_make_the_account_grow_without_bound(ledger, store):
    for number in range(6000):
        ledger(Missed(about(model=f"m{number}" + "x" * 1000), "absent"))
    ledger.flush()
    labels = list(store.sums())
    assert len(labels) == 5001
    assert max(len(label[3]) for label in labels) == 200
    assert ledger.stats().misses == 6000


def test_half_a_surrogate_pair_is_no_reason_to_lose_the_account(ledger, store):
    ledger(Missed(about(model="\ud800"), "absent"))
    ledger.flush()
    assert json.dumps(list(store.sums()), ensure_ascii=False).encode("utf-8")
    assert ledger.stats().misses == 1


def test_many_threads_lose_nothing(ledger):
    def calls():
        for _ in range(2000):
            ledger(Hit(about(), priced))

    priced = replace(entry(), cost_usd=CENT)
    threads = [threading.Thread(target=calls) for _ in range(8)]
    flusher = threading.Thread(target=lambda: [ledger.flush() for _ in range(200)])
    for thread in (*threads, flusher):
        thread.start()
    for thread in (*threads, flusher):
        thread.join()
    stats = ledger.stats()
    assert stats.hits == 16000
    assert stats.cost_saved_usd == 16000 * CENT


def test_an_event_from_inside_the_counting_neither_hangs_nor_gets_lost(ledger):
    """A finalizer may tell that a reply was abandoned, at any point of any thread."""
    with ledger._counting:
        for _ in range(1000):
            ledger(Missed(about(), "absent"))
    assert ledger.stats().misses == 1000


def test_notes_do_not_pile_up_and_hold_no_answers(ledger):
    big = replace(entry(), frames=(object(),) * 1000)
    for _ in range(1000):
        ledger(Hit(about(), big))
    assert len(ledger._notes) <= 129
    assert not any(item is big for note in ledger._notes for item in note)
