"""What the counters are called and how they add up: labels, amounts, and what waits for a price.

Pure sums: it must not price, store or ask for the time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from llm_cache.core.model import Usage

CALLS, PENDING = "calls", "pending"
"""The first part of a label: `calls, day, provider, model, namespace` or `pending, …, the same, what was billed`.

Amounts of calls: `hits`, `misses`, `joined`, `bypasses`, `stale`, `stored`, `dropped`, `store_failures`, `evicted`,
`tokens_in`, `tokens_out`, `tokens_saved`, `spent_pico`, `saved_pico` (1e-12 USD), `unpriced_spent`, `unpriced_saved`
(calls whose price nobody knows), `time_saved_us`; and by reason `bypass:…`, `drop:…`, `miss:…`, `fail:…`.

Amounts of what is pending: `spent` and `saved`, how many calls cost and saved that much, and `row`, whether the stored
entry is to be told its price. Settling takes them away and adds the money, in one transaction; two who settle at the
same time leave a negative count, which the next one settles: money known plus price times pending never changes.
"""
Label = tuple[str, ...]
Sums = dict[Label, dict[str, int]]
DAY_S = 86_400
LONGEST_NAME = 200
TERMS_LENGTH = 40
OTHER = "(other)"
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)


class Pending(NamedTuple):
    """Calls that cost or saved the same unknown amount.

    Attributes:
        label: where the money will be counted.
        key: the entry, as 64 hex digits; empty where none was stored.
        at: when the reply was made; with `key` it says which entry.
        models: the model that answered, then the one that was asked.
    """

    label: Label
    key: str
    at: float
    models: tuple[str, ...]
    usage: Usage

    def to_label(self) -> Label:
        """As the store keeps it."""
        told = self.usage.told()
        # The order is part of what stores hold. What a later version added stands by its name in a fifth place, so
        # that an earlier one passes over the bill as a whole and leaves it to who can price it.
        counts = [told.pop(name) for name in _COUNTS]
        bill = [self.key, self.at, self.models, counts, told] if told else [self.key, self.at, self.models, counts]
        return (PENDING, *self.label[1:], json.dumps(bill, separators=(",", ":")))


def pending_of(label: Label) -> Pending | None:
    """What a label of the store stands for; None if it is not one of ours, or damaged."""
    if len(label) != 6 or label[0] != PENDING:
        return None
    try:
        key, at, models, counts, *more = json.loads(label[5])
        told: dict[str, Any] = dict(zip(_COUNTS, counts, strict=False))
        for named in more:
            told.update(named)
        known: dict[str, Any] = {
            name: value if isinstance(value, str) else int(value) for name, value in told.items() if value is not None
        }
        return Pending((CALLS, *label[1:5]), str(key), float(at), tuple(map(str, models)), Usage(**known))
    except (ValueError, TypeError, AttributeError):
        return None


def add(sums: Sums, label: Label, amounts: Mapping[str, int]) -> None:
    """Add amounts under a label."""
    under = sums.get(label)
    if under is None:
        sums[label] = dict(amounts)
        return
    for name, amount in amounts.items():
        under[name] = under.get(name, 0) + amount


def merge(into: Sums, other: Mapping[Label, Mapping[str, int]]) -> None:
    """Add all of the other sums."""
    for label, amounts in other.items():
        add(into, label, amounts)


class Names:
    """Makes labels of what calls are about. Bounded, because whoever calls chooses the words."""

    MOST = 5000

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Label] = {}
        self._until = 0.0
        self._since = 0.0

    def label(self, now: float, provider: str, model: str, namespace: str) -> Label:
        """The label of a call that ended at that time (seconds since the epoch; the day is UTC's)."""
        if not self._since <= now < self._until:
            self._known.clear()
            self._since = now // DAY_S * DAY_S
            self._until = self._since + DAY_S
        known = self._known.get((provider, model, namespace))
        if known is None:
            day = datetime.fromtimestamp(self._since, timezone.utc).strftime("%Y-%m-%d")
            if len(self._known) >= self.MOST:
                return (CALLS, day, OTHER, OTHER, OTHER)
            known = (CALLS, day, _clean(provider), _clean(model), _clean(namespace))
            self._known[provider, model, namespace] = known
        return known


def _clean(name: str) -> str:
    # JSON can spell half a surrogate pair, which no store can write.
    return name[:LONGEST_NAME].encode("utf-8", "replace").decode("utf-8")
