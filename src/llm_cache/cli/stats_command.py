"""`llm-cache stats`: what the cache holds and what it has done. It must not count anything itself."""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import click

from llm_cache.cli import charts, output
from llm_cache.cli.opening import existing_cache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from llm_cache.ledger.report import Line, Stats

_KINDS = {
    "miss": "Misses",
    "bypass": "Bypasses",
    "drop": "Answers not stored",
    "fail": "Store failures",
}
_NUMBERS = ("calls", "hits", "misses", "bypasses", "hit rate", "spent", "saved", "tokens saved", "time saved")
_CHARTED_DAYS = 30
_BAR = 12


def _since(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})d?", value)
    if match:
        today = datetime.fromtimestamp(time.time(), timezone.utc).date()
        # Today is one of them.
        try:
            return (today - timedelta(days=max(0, int(match[1]) - 1))).isoformat()
        except OverflowError:
            return date.min.isoformat()
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a day (2026-01-31) nor a number of days (7d).") from None


@click.command(epilog="Example: llm-cache stats --since 7d --by model")
@click.option("--verbose", "-v", is_flag=True, help="Also by provider and model, and for which reasons.")
@click.option(
    "--since", metavar="DAY", callback=_since, help="Only calls of that day (2026-01-31, UTC) or the last 7d on."
)
@click.option("--by", type=click.Choice(["day", "model", "provider", "namespace"]), help="A line for each of these.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(verbose: bool, since: str | None, by: str | None, as_json: bool) -> None:
    """Show calls, hits, money and time saved, of all processes."""
    lines: tuple[Line, ...] = ()
    with existing_cache() as cache:
        if cache is None:
            from llm_cache.ledger.report import Stats
            from llm_cache.stores.base import Summary

            stats = Stats.of({}, Summary(0, 0, (), ()))
        else:
            from llm_cache.ledger.report import Stats, lines_by

            sums = cache.engine.ledger.account()
            stats = Stats.of(sums, cache.engine.store.summary(), since)
            lines = lines_by(sums, *_places(by), since=since) if by else ()
    lines = tuple(line for line in lines if line.calls or line.stored or line.dropped)
    if as_json:
        more: dict[str, object] = {} if by is None else {"by": [_as_json(line, by) for line in lines]}
        click.echo(output.as_json(stats.as_json() | more))
    elif by is not None:
        _print_lines(lines, _places(by))
    else:
        _print(stats)
        if verbose:
            _print_more(stats)


def _places(by: str | None) -> tuple[str, ...]:
    """A model is one provider's."""
    return ("provider", "model") if by == "model" else (by,) if by else ()


def _as_json(line: Line, by: str) -> dict[str, object]:
    from llm_cache.ledger.report import money

    return {
        **{name: getattr(line, name) for name in _places(by)},
        "calls": line.calls,
        "hits": line.hits,
        "misses": line.misses,
        "joined": line.joined,
        "bypasses": line.bypasses,
        "bypass_reasons": dict(line.reasons.get("bypass", {})),
        "hit_rate": round(line.hit_rate, 6),
        "cost_spent_usd": money(line.cost_spent_usd),
        "cost_saved_usd": money(line.cost_saved_usd),
        "unpriced_spent": line.unpriced_spent,
        "unpriced_saved": line.unpriced_saved,
        "input_tokens": line.tokens_in,
        "output_tokens": line.tokens_out,
        "tokens_saved": line.tokens_saved,
        "time_saved_s": line.time_saved_s,
    }


def _print(stats: Stats) -> None:
    total = stats.total
    output.pairs(
        (
            ("Entries", f"{stats.entries:,}"),
            ("Size", output.size(stats.size_bytes)),
            ("Hits", f"{stats.hits:,}" + (f" ({stats.joined:,} joined)" if stats.joined else "")),
            ("Misses", f"{stats.misses:,}"),
            ("Bypasses", f"{stats.bypasses:,}"),
            ("Hit rate", f"{stats.hit_rate:.1%}"),
            ("Cost spent", output.dollars(stats.cost_spent_usd) + _unpriced(total.unpriced_spent)),
            ("Cost saved", output.dollars(stats.cost_saved_usd) + _unpriced(total.unpriced_saved)),
            ("Tokens saved", f"{stats.tokens_saved:,}"),
            ("Time saved", _duration(stats.time_saved_s)),
        )
    )
    if charts.drawable() and len(stats.days) > 1:
        days = [line for day, line in stats.days.items() if len(day) == len("2026-01-31")][-_CHARTED_DAYS:]
        click.echo()
        for name, values in (
            ("Hits a day", [float(line.hits) for line in days]),
            ("Saved a day", [float(line.cost_saved_usd) for line in days]),
        ):
            click.echo(f"{name:12}  {charts.line(values)}")
        if days:
            click.echo(f"{'':12}  {days[0].day} to {days[-1].day}")


def _unpriced(calls: int) -> str:
    return f" and {calls:,} {'call' if calls == 1 else 'calls'} of unknown price" if calls else ""


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.1f} min" if minutes < 120 else f"{hours:,.1f} h"


def _print_lines(lines: Sequence[Line], names: tuple[str, ...]) -> None:
    """A table; of days in their order, of all else by how much was called."""
    if names != ("day",):
        lines = sorted(lines, key=lambda line: -line.calls)
    drawn = charts.drawable()
    most = max((line.calls for line in lines), default=0)
    rows = []
    for line in lines:
        cells = {name: getattr(line, name) or "-" for name in names}
        if drawn:
            cells[""] = charts.bar(line.calls, most, _BAR)
        rows.append(cells | _cells(line))
    columns = [*names, *_NUMBERS, *(("",) if drawn else ())]
    least = ("", "time saved", "tokens saved", "bypasses", "hit rate", "misses")
    output.table(columns, [[row[name] for name in columns] for row in rows], right=_NUMBERS, least=least)
    if any(line.unpriced_spent or line.unpriced_saved for line in lines):
        click.echo("+? stands for calls of unknown price, which are not in the sum.", err=True)


def _cells(line: Line) -> dict[str, str]:
    return {
        "calls": f"{line.calls:,}",
        "hits": f"{line.hits:,}",
        "misses": f"{line.misses:,}",
        "bypasses": f"{line.bypasses:,}",
        "hit rate": f"{line.hit_rate:.1%}",
        "spent": _money(line.cost_spent_usd, line.unpriced_spent),
        "saved": _money(line.cost_saved_usd, line.unpriced_saved),
        "tokens saved": f"{line.tokens_saved:,}",
        "time saved": _duration(line.time_saved_s),
    }


def _print_more(stats: Stats) -> None:
    if stats.lines:
        click.echo()
        _print_lines(stats.lines, ("provider", "model"))
    reasons = [
        (_KINDS[kind], reason, f"{count:,}")
        for kind in _KINDS
        for reason, count in sorted(stats.reasons.get(kind, {}).items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    if reasons:
        click.echo()
        output.table(("what", "reason", "count"), reasons, right=("count",))


def _money(usd: Decimal, unpriced: int) -> str:
    return output.amount(usd) + ("+?" if unpriced else "")
