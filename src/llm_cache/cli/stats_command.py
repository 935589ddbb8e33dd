"""`llm-cache stats`: what the cache holds and what it has done. It must not count anything itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_cache.cli import output
from llm_cache.cli.opening import existing_cache

if TYPE_CHECKING:
    from decimal import Decimal

    from llm_cache.ledger.report import Stats

_KINDS = {
    "miss": "Misses",
    "bypass": "Bypasses",
    "drop": "Answers not stored",
    "fail": "Store failures",
}


@click.command()
@click.option("--verbose", "-v", is_flag=True, help="Also by provider and model, and for which reasons.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(verbose: bool, as_json: bool) -> None:
    """Show calls, hits, money and time saved, of all processes."""
    with existing_cache() as cache:
        if cache is None:
            from llm_cache.ledger.report import Stats
            from llm_cache.stores.base import Summary

            stats = Stats.of({}, Summary(0, 0, (), ()))
        else:
            stats = cache.stats()
        if as_json:
            click.echo(output.as_json(stats.as_json()))
            return
        _print(stats)
        if verbose:
            _print_more(stats)


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


def _unpriced(calls: int) -> str:
    return f" and {calls:,} {'call' if calls == 1 else 'calls'} of unknown price" if calls else ""


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.1f} min" if minutes < 120 else f"{hours:,.1f} h"


def _print_more(stats: Stats) -> None:
    if stats.lines:
        click.echo()
        output.table(
            ("provider", "model", "hits", "misses", "bypasses", "hit rate", "spent", "saved", "tokens saved"),
            [
                (
                    line.provider or "-",
                    line.model or "-",
                    f"{line.hits:,}",
                    f"{line.misses:,}",
                    f"{line.bypasses:,}",
                    f"{line.hit_rate:.1%}",
                    _money(line.cost_spent_usd, line.unpriced_spent),
                    _money(line.cost_saved_usd, line.unpriced_saved),
                    f"{line.tokens_saved:,}",
                )
                for line in stats.lines
            ],
            right=("hits", "misses", "bypasses", "hit rate", "spent", "saved", "tokens saved"),
        )
    reasons = [
        (_KINDS[kind], reason, f"{count:,}")
        for kind in _KINDS
        for reason, count in sorted(stats.reasons.get(kind, {}).items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    if reasons:
        click.echo()
        output.table(("what", "reason", "count"), reasons, right=("count",))


def _money(usd: Decimal, unpriced: int) -> str:
    return output.dollars(usd) + ("+?" if unpriced else "")
