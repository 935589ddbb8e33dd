"""What `llm-cache why --misses` shows: which fields cost the most hits and money, and what to do. It must not rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_cache.cli import output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_cache.ledger.misses import Costly


def as_json(found: Sequence[Costly], reasons: Mapping[str, int]) -> dict[str, Any]:
    """For programs. Money is a decimal string."""
    from llm_cache.ledger.report import money

    return {
        "reasons": dict(reasons),
        "fields": [
            {
                "fields": list(one.fields),
                "paths": list(one.paths),
                "kind": one.kind,
                "generated": one.generated,
                "misses": one.misses,
                "cost_usd": money(one.cost_usd),
                "unpriced": one.unpriced,
                "ignore_fields": list(one.rule),
                "advice": one.advice,
                "key": one.key,
                "near": one.near,
            }
            for one in found
        ],
    }


def show(found: Sequence[Costly], reasons: Mapping[str, int], limit: int) -> None:
    """For people."""
    if reasons:
        ranked = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        output.table(("missed because", "calls"), [(name, f"{count:,}") for name, count in ranked], right=("calls",))
    if not found:
        click.echo("Of the latest misses none differs from an earlier request by a field or two alone.")
        return
    if reasons:
        click.echo()
    rows = [
        (
            ", ".join(one.fields),
            ", ".join(one.paths),
            f"{one.misses:,}",
            output.amount(one.cost_usd) + ("+?" if one.unpriced else ""),
            one.key[:12],
        )
        for one in found[:limit]
    ]
    output.table(("differs in", "where", "misses", "cost", "the latest"), rows, right=("misses", "cost"))
    for one in found[:limit]:
        click.echo(output.on_one_line(f"{', '.join(one.fields)}: {one.advice}"))
    if len(found) > limit:
        click.echo(f"and {len(found) - limit:,} more")
