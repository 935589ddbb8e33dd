"""What full stores let go of first: what is cheap to fetch again for its size, and long unused."""

from __future__ import annotations

import pytest

from llm_cache.stores.worth import HALF_LIFE_S, rank, rank_of
from llm_cache.testing.contract import a_row

NOTHING = {
    "cost_pico": None,
    "input_tokens": None,
    "output_tokens": None,
    "latency_ms": 0.0,
    "size": 1000,
    "used_at": 0.0,
}


def of(**known: object) -> float:
    return rank(**{**NOTHING, **known})


ORDER = [
    of(size=10_000),
    of(),
    of(latency_ms=1000.0),
    of(cost_pico=0, latency_ms=20_000.0),
    of(input_tokens=10_000, latency_ms=1.0),
    of(output_tokens=10_000),
    of(cost_pico=10**11, output_tokens=1),
    of(cost_pico=10**11, size=100),
]


def test_dearer_slower_and_smaller_is_worth_more() -> None:
    assert sorted(set(ORDER)) == ORDER


def test_of_what_costs_about_the_same_the_one_that_was_used_last_stays() -> None:
    assert of(latency_ms=3.0, size=1000) == of(latency_ms=70.0, size=1100) < of(latency_ms=1.0, used_at=1.0)
    assert of(cost_pico=10**9, latency_ms=1.0) == of(cost_pico=10**9, latency_ms=60_000.0)


def test_half_as_much_after_every_half_life() -> None:
    # Twice the price makes good for one half-life of disuse.
    assert of(cost_pico=10**12) - of(cost_pico=5 * 10**11) == 1
    assert of(used_at=HALF_LIFE_S) - of(used_at=0.0) == 1


@pytest.mark.parametrize(
    "odd",
    [{"cost_pico": -5}, {"latency_ms": -1.0}, {"size": -1}, {"size": 0}, {"cost_pico": 2**63 - 1}, {"input_tokens": 0}],
)
def test_bad_figures_raise_nothing(odd: dict[str, object]) -> None:
    assert isinstance(of(**odd), float)


def test_a_hit_counts_as_use() -> None:
    row = a_row(1)
    assert rank_of(row._replace(last_hit_at=row.created_at + HALF_LIFE_S)) == pytest.approx(rank_of(row) + 1)
    assert rank_of(row._replace(last_hit_at=row.created_at - 9)) == rank_of(row)
