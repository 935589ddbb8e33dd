"""Old days become months and old months years, and no sum is lost, whoever else does the same."""

from __future__ import annotations

from llm_cache.core.events import Missed
from llm_cache.ledger.rollup import moves
from llm_cache.ledger.sums import CALLS, PENDING, merge
from tests.ledger.conftest import NOON, about

DAY_S = 86_400


def total(sums):
    return sum(amounts.get("misses", 0) for label, amounts in sums.items() if label[0] == CALLS)


def test_days_become_months_become_years(ledger, store, clock):
    for day in range(0, 1500, 5):
        clock.now = NOON + day * DAY_S
        ledger(Missed(about(), "absent"))
    ledger.flush()
    days = {line.day for line in ledger.report("day")}
    assert {len(day) for day in days} == {4, 7, 10}
    assert len(days) < 60
    assert sum(line.misses for line in ledger.report("day")) == 300
    # In the store as well, and looking again moves nothing more.
    sums = store.sums()
    assert total(sums) == 300
    assert moves(sums, clock.now) == {}


def test_two_who_move_the_same_lose_nothing(store):
    old = (CALLS, "2020-01-01", "acme", "big", "default")
    store.add({old: {"misses": 7, "spent_pico": 10}})
    now = NOON
    first, second = moves(store.sums(), now), moves(store.sums(), now)
    store.add(first)
    store.add(second)
    assert total(store.sums()) == 7
    store.add(moves(store.sums(), now))
    assert store.sums() == {(CALLS, "2020", "acme", "big", "default"): {"misses": 7, "spent_pico": 10}}


def test_what_is_recent_or_waits_for_a_price_stays():
    sums = {
        (CALLS, "2025-12-31", "a", "b", "c"): {"hits": 1},
        (PENDING, "2020-01-01", "a", "b", "c", "[]"): {"spent": 1},
        ("other",): {"x": 1},
    }
    assert moves(sums, NOON) == {}


def test_since_counts_the_month_that_its_day_is_in(ledger, store):
    store.add({(CALLS, "2024-05", "a", "b", "c"): {"hits": 1}, (CALLS, "2024-06", "a", "b", "c"): {"hits": 2}})
    merged = {}
    merge(merged, store.sums())
    assert [line.hits for line in ledger.report("day", since="2024-06-15")] == [2]
    assert [line.hits for line in ledger.report("day", since="2024-05-15")] == [1, 2]
