"""The account by day, provider, model and namespace, for charts and tables. It must not price anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone

from llm_cache.ledger.prices import to_usd
from llm_cache.ledger.sums import CALLS, Label
from llm_cache.proxy.dashboard.answers import Problem

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOST_DAYS = 400
_MOST_LINES = 200
_COUNTS = ("hits", "misses", "joined", "bypasses", "stale", "stored", "dropped", "evicted", "store_failures")
_TOKENS = ("tokens_in", "tokens_out", "tokens_saved", "unpriced_spent", "unpriced_saved")
_KINDS = ("miss", "bypass", "drop", "fail")

Amounts = Mapping[str, int]
_Sums = dict[str, int]


def figures(sums: Mapping[Label, Amounts], now: float, query: Mapping[str, str]) -> dict[str, object]:
    """The calls of some days, in total, by day and by what they went to.

    Args:
        sums: the account.
        now: seconds since the epoch.
        query: `days` (how many, up to today in UTC; none is all) and `provider`, `model`, `namespace` to choose.

    Raises:
        Problem: something in it is wrong.
    """
    today = datetime.fromtimestamp(now, timezone.utc).date()
    wanted = query.get("days") or "all"
    if wanted != "all" and not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:6]) <= _MOST_DAYS):
        raise Problem(400, f"days is a number from 1 to {_MOST_DAYS}, or all.")
    since = "" if wanted == "all" else (today - timedelta(days=int(wanted) - 1)).isoformat()
    total: _Sums = {}
    groups: dict[str, dict[tuple[str, ...], _Sums]] = {"days": {}, "lines": {}, "providers": {}, "namespaces": {}}
    for label, amounts in sums.items():
        if len(label) != 5 or label[0] != CALLS or label[1] < since or not _DAY.fullmatch(label[1]):
            continue
        _, day, provider, model, namespace = label
        chosen = {"provider": provider, "model": model, "namespace": namespace}
        if any(query.get(name) not in {None, "", value} for name, value in chosen.items()):
            continue
        _add(total, amounts)
        _add(groups["days"].setdefault((day,), {}), amounts)
        _add(groups["lines"].setdefault((provider, model), {}), amounts)
        _add(groups["providers"].setdefault((provider,), {}), amounts)
        _add(groups["namespaces"].setdefault((namespace,), {}), amounts)
    first = since or min((day for (day,) in groups["days"]), default=today.isoformat())
    return {
        "total": _line(total),
        "reasons": _reasons(total),
        "days": [{"day": day, **_line(groups["days"].get((day,), {}))} for day in _days(first, today.isoformat())],
        "lines": _ranked(groups["lines"], lambda names: {"provider": names[0], "model": names[1]}),
        "providers": _ranked(groups["providers"], lambda names: {"provider": names[0]}),
        "namespaces": _ranked(groups["namespaces"], lambda names: {"namespace": names[0]}),
    }


def _add(sums: _Sums, amounts: Amounts) -> None:
    for name, amount in amounts.items():
        sums[name] = sums.get(name, 0) + amount


def _line(amounts: Amounts) -> dict[str, object]:
    """Counts as they are, money in USD, exactly."""
    hits, misses = amounts.get("hits", 0), amounts.get("misses", 0)
    return {
        **{name: amounts.get(name, 0) for name in (*_COUNTS, *_TOKENS)},
        "hit_rate": hits / (hits + misses) if hits + misses else None,
        "spent_usd": to_usd(amounts.get("spent_pico", 0)),
        "saved_usd": to_usd(amounts.get("saved_pico", 0)),
        "time_saved_s": amounts.get("time_saved_us", 0) / 1_000_000,
    }


def _ranked(
    groups: Mapping[tuple[str, ...], _Sums], named: Callable[[tuple[str, ...]], dict[str, str]]
) -> list[dict[str, object]]:
    """Lines with the most calls first."""

    def calls(amounts: Amounts) -> int:
        return amounts.get("hits", 0) + amounts.get("misses", 0) + amounts.get("bypasses", 0)

    ranked = sorted(groups.items(), key=lambda pair: (-calls(pair[1]), pair[0]))
    return [{**named(names), **_line(amounts)} for names, amounts in ranked[:_MOST_LINES]]


def _reasons(total: Amounts) -> dict[str, list[dict[str, object]]]:
    """How often for each reason, most often first."""
    found: dict[str, list[dict[str, object]]] = {kind: [] for kind in _KINDS}
    for name, count in sorted(total.items(), key=lambda pair: (-pair[1], pair[0])):
        kind, colon, reason = name.partition(":")
        if colon and count and kind in found:
            found[kind].append({"reason": reason, "count": count})
    return found


def _days(first: str, last: str) -> list[str]:
    """Every day from one to another, and no more of them than a chart has room for."""
    try:
        day, end = datetime.fromisoformat(first).date(), datetime.fromisoformat(last).date()
    except ValueError:
        return []
    day = max(day, end - timedelta(days=_MOST_DAYS - 1))
    return [(day + timedelta(days=count)).isoformat() for count in range((end - day).days + 1)]
