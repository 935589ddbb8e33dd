"""The account as a notebook shows it. It must not write anything that a name could turn into markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

from llm_cache.core.explain import printable

if TYPE_CHECKING:
    from llm_cache.ledger.report import Line, Stats

_MOST = 12
_LONGEST = 120


def html_of(stats: Stats) -> str:
    """Two tables: the whole, and by provider and model."""
    total = stats.total
    whole = _table(
        ("saved", "spent", "hit rate", "calls", "tokens saved", "time saved", "entries"),
        [
            (
                _money(stats.cost_saved_usd, total.unpriced_saved),
                _money(stats.cost_spent_usd, total.unpriced_spent),
                _rate(total),
                f"{total.calls:,}",
                f"{stats.tokens_saved:,}",
                f"{stats.time_saved_s:,.1f} s",
                f"{stats.entries:,}",
            )
        ],
    )
    lines = [
        (
            _name(line.provider),
            _name(line.model),
            f"{line.calls:,}",
            _rate(line),
            _money(line.cost_saved_usd, line.unpriced_saved),
            _money(line.cost_spent_usd, line.unpriced_spent),
        )
        for line in stats.lines[:_MOST]
    ]
    if not lines:
        return whole
    rest = len(stats.lines) - len(lines)
    more = f"<p>and {rest:,} more in <code>.lines</code></p>" if rest else ""
    return whole + _table(("provider", "model", "calls", "hit rate", "saved", "spent"), lines) + more


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _name(name: str) -> str:
    shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
    return f"<bdi>{escape(printable(shown)) or 'unknown'}</bdi>"


def _money(usd: Decimal, unpriced: int) -> str:
    """Rounded for people; the exact amount is in the title."""
    exact = format(usd, "f")
    rounded = f"{usd:,.2f}" if usd >= 1 or not usd else f"{usd:.2g}" if usd >= Decimal("0.0001") else "<0.0001"
    shown = f'<span title="{escape(exact)} USD">${escape(rounded)}</span>'
    return f"{shown} and {unpriced:,} of unknown price" if unpriced else shown


def _rate(line: Line) -> str:
    return f"{line.hit_rate:.1%}" if line.hits + line.misses else "–"
