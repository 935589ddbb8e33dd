"""`Stats`: the names that are promised, money as exact decimals."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from llm_cache.ledger.report import Stats, money, top
from llm_cache.stores.base import Summary

FIELDS = [
    "entries",
    "hits",
    "misses",
    "joined",
    "bypasses",
    "hit_rate",
    "cost_spent_usd",
    "cost_saved_usd",
    "tokens_saved",
    "time_saved_s",
    "size_bytes",
    "providers",
    "models",
]


def made():
    sums = {
        ("calls", "2026-01-01", "openai", "gpt-4o", "a"): {"hits": 2, "misses": 1, "saved_pico": 1},
        ("calls", "2026-01-02", "openai", "gpt-4o", "b"): {"hits": 1, "spent_pico": 10**30, "unpriced_saved": 1},
        ("calls", "2026-01-02", "acme", "big", "a"): {"misses": 9, "time_saved_us": 1500},
        ("pending", "2026-01-02", "acme", "big", "a", "[]"): {"spent": 0},
    }
    return Stats.of(sums, Summary(3, 4096, ("acme", "openai"), ("big", "gpt-4o")))


def test_json_has_the_promised_fields_in_their_order_and_no_others():
    assert list(made().as_json()) == FIELDS
    assert json.loads(json.dumps(made().as_json())) == made().as_json()


def test_attributes_are_named_like_the_fields():
    for name in FIELDS:
        assert hasattr(made(), name)


def test_sums_are_exact():
    stats = made()
    assert stats.cost_saved_usd == Decimal("0.000000000001")
    assert stats.as_json()["cost_saved_usd"] == "0.000000000001"
    assert stats.as_json()["cost_spent_usd"] == "1000000000000000000"
    assert (stats.hits, stats.misses, stats.hit_rate) == (3, 10, 3 / 13)
    assert stats.time_saved_s == 0.0015


def test_the_breakdown_adds_up_over_days_and_namespaces():
    stats = made()
    assert [(line.provider, line.model, line.hits, line.misses) for line in stats.lines] == [
        ("acme", "big", 0, 9),
        ("openai", "gpt-4o", 3, 1),
    ]
    assert list(stats.days) == ["2026-01-01", "2026-01-02"]
    assert stats.total.unpriced_saved == 1


def test_no_call_is_no_division():
    stats = Stats.of({}, Summary(0, 0, (), ()))
    assert stats.hit_rate == 0.0
    assert stats.as_json()["cost_saved_usd"] == "0"


@pytest.mark.parametrize(
    ("usd", "text"), [("0", "0"), ("1E-12", "0.000000000001"), ("1E+3", "1000"), ("12.340", "12.34"), ("100", "100")]
)
def test_money_is_written_without_exponent_or_trailing_zeros(usd, text):
    assert money(Decimal(usd)) == text


def test_the_largest_counts_and_the_rest():
    assert top([("a", 1), ("b", 3), ("c", 2), ("other", 5)], 2) == {"other": 8, "b": 3}
    assert top([("a", 1)], 2) == {"a": 1}
