"""What an entry is worth keeping: the order in which full stores let go of rows. It must not remove anything.

    worth = price / (bytes + 256), to the nearest power of two, halved for every three days since the last use

The price is `cost_pico`. Where that is unknown or nothing, it is what the tokens would cost at a usual price; where
there are none, the time that the upstream took, at 0.0001 USD a second and as 0.1 s at least: an answer of a model of
one's own costs nothing and is still worth something, and the slower it was the more.

To a power of two, since prices are not that exact, and of answers that cost about the same the one that was used last
should stay. Since all worths halve at the same pace, which of two is worth more does not change while nobody uses
either. So the logarithm can be kept with the row, as its rank, and looked up in an index.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, log2

from llm_cache.core.model import Row

HALF_LIFE_S = 3 * 86_400.0
"""After how much disuse an answer is worth half as much as a new one that cost the same."""
OVERHEAD_BYTES = 256
"""What a row takes beside its value: columns, and its part of three indexes."""
_INPUT_PICO = 1_000_000
_OUTPUT_PICO = 4_000_000
"""Per token: 1 and 4 USD per million, between the vendors' small and large models of 2026."""
_WAIT_PICO = 100_000
_LEAST_WAIT_MS = 100.0
"""Per millisecond; what is quicker is as quick as that."""


def rank(
    cost_pico: int | None,
    input_tokens: int | None,
    output_tokens: int | None,
    latency_ms: float,
    size: int,
    used_at: float,
) -> float:
    """The place in the order, lowest first to go. `size` in bytes, `used_at` in seconds since the epoch."""
    # Odd figures must not raise: this runs inside of a statement.
    price: float = max(0, cost_pico or 0)
    price = price or max(0, input_tokens or 0) * _INPUT_PICO + max(0, output_tokens or 0) * _OUTPUT_PICO
    price = price or max(_LEAST_WAIT_MS, latency_ms) * _WAIT_PICO
    return round(log2(price / (max(0, size) + OVERHEAD_BYTES))) + used_at / HALF_LIFE_S


def rank_of(row: Row) -> float:
    """The place of a row."""
    used_at = row.created_at if row.last_hit_at is None else max(row.created_at, row.last_hit_at)
    return rank(row.cost_pico, row.input_tokens, row.output_tokens, row.latency_ms, len(row.value), used_at)


def least_first(rows: Iterable[Row], now: float) -> list[Row]:
    """The rows in the order in which they go: what has expired at `now`, and then what is worth least."""

    def place(row: Row) -> tuple[float, bytes]:
        expired = row.expires_at is not None and row.expires_at <= now
        return -inf if expired else rank_of(row), row.key

    return sorted(rows, key=place)
