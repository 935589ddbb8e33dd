"""The account by day, provider, model and namespace, for charts and tables. It must not price anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, timezone

from llm_cache.ledger.report import Line, lines_by
from llm_cache.ledger.sums import CALLS, Label, add
from llm_cache.proxy.dashboard.answers import Problem

_MOST_DAYS = 400
_MOST_LINES = 200
_KINDS = ("miss", "bypass", "drop", "fail")
_COUNTS = (
    "hits",
    "misses",
    "joined",
    "bypasses",
    "stale",
    "stored",
    "dropped",
    "evicted",
    "store_failures",
    "tokens_in",
    "tokens_out",
    "tokens_saved",
    "unpriced_spent",
    "unpriced_saved",
    "cost_spent_usd",
    "cost_saved_usd",
    "time_saved_s",
)

Sums = Mapping[Label, Mapping[str, int]]


def figures(sums: Sums, now: float, query: Mapping[str, str]) -> dict[str, object]:
    """The calls of some days, in total, by day (by month, if some are only kept so) and by what they went to.

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
    since = None if wanted == "all" else (today - timedelta(days=int(wanted) - 1)).isoformat()
    chosen = {label: amounts for label, amounts in sums.items() if _chosen(label, query)}
    total = next(iter(lines_by(chosen, since=since)), Line())
    return {
        "total": told(total),
        "reasons": _reasons(total),
        "days": _series(chosen, since, today),
        "lines": _ranked(lines_by(chosen, "provider", "model", since=since), "provider", "model"),
        "providers": _ranked(lines_by(chosen, "provider", since=since), "provider"),
        "namespaces": _ranked(lines_by(chosen, "namespace", since=since), "namespace"),
    }


def told(line: Line, *names: str) -> dict[str, object]:
    """A line as data: counts as they are, money in USD, exactly; a rate of nothing is None."""
    return {
        **{name: getattr(line, name) for name in (*names, *_COUNTS)},
        "hit_rate": line.hit_rate if line.hits + line.misses else None,
    }


def _chosen(label: Label, query: Mapping[str, str]) -> bool:
    if len(label) != 5 or label[0] != CALLS:
        return False
    values = zip(("provider", "model", "namespace"), label[2:], strict=True)
    return all(query.get(name) in {None, "", value} for name, value in values)


def _series(sums: Sums, since: str | None, today: date) -> list[dict[str, object]]:
    lines = {line.day: line for line in lines_by(sums, "day", since=since)}
    if any(len(day) != 10 for day in lines):
        # Those of long ago have lost their days. Bars beside each other are of the same length, or they deceive.
        by_month: dict[Label, dict[str, int]] = {}
        for label, amounts in sums.items():
            add(by_month, (label[0], label[1][:7], *label[2:]), amounts)
        months = lines_by(by_month, "day", since=since)
        return [told(line, "day") for line in months]
    first = since or min(lines, default=today.isoformat())
    return [told(lines.get(day, Line(day=day)), "day") for day in _days(first, today)]


def _ranked(lines: Iterable[Line], *names: str) -> list[dict[str, object]]:
    """Lines with the most calls first."""
    ranked = sorted(lines, key=lambda line: (-line.calls, *(getattr(line, name) for name in names)))
    return [told(line, *names) for line in ranked[:_MOST_LINES]]


def _reasons(total: Line) -> dict[str, list[dict[str, object]]]:
    """How often for each reason, most often first."""
    return {
        kind: [
            {"reason": reason, "count": count}
            for reason, count in sorted(total.reasons.get(kind, {}).items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        for kind in _KINDS
    }


def _days(first: str, last: date) -> list[str]:
    """Every day from one to another, and no more of them than a chart has room for."""
    try:
        day = max(date.fromisoformat(first), last - timedelta(days=_MOST_DAYS - 1))
    except ValueError:
        return []
    return [(day + timedelta(days=count)).isoformat() for count in range((last - day).days + 1)]
