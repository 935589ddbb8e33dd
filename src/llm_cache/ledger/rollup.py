"""Old days become months, and old months years, so that the account does not grow with every day. Pure sums.

What was counted is never lost: a sum moves from one label to another in one transaction. Two who move the same sum at
the same time leave as much too little under the old label as is too much under the new one, and the next one to look
moves that as well: the total never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from llm_cache.ledger.sums import CALLS, DAY_S, Label, Sums, add

DAYS = 100
"""How many days are kept as days."""
MONTHS_S = 800 * DAY_S
"""How long months are kept as months."""


def moves(sums: Mapping[Label, Mapping[str, int]], now: float) -> Sums:
    """What to add so that everything that is old stands under its month or year; nothing if nothing is old.

    Args:
        sums: all there are.
        now: seconds since the epoch.
    """
    oldest_day = _day(now - DAYS * DAY_S)
    oldest_month = _day(now - MONTHS_S)[:7]
    deltas: Sums = {}
    for label, amounts in sums.items():
        if len(label) != 5 or label[0] != CALLS or not any(amounts.values()):
            continue
        period = label[1]
        later = period
        if len(later) == 10 and later < oldest_day:
            later = later[:7]
        if len(later) == 7 and later < oldest_month:
            later = later[:4]
        if later != period:
            add(deltas, label, {name: -amount for name, amount in amounts.items()})
            add(deltas, (CALLS, later, *label[2:]), amounts)
    return deltas


def _day(at: float) -> str:
    return datetime.fromtimestamp(max(0.0, at), timezone.utc).strftime("%Y-%m-%d")
