"""`llm-cache list`: entries, newest first. It must not show what was asked or answered."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from llm_cache.cli import output
from llm_cache.cli.opening import existing_cache, fields, settle

if TYPE_CHECKING:
    from llm_cache.core.model import Entry

_SHORT = 12
"""Digits of a key on a terminal, where 64 leave no room for anything else; elsewhere all of them."""


@click.command(epilog="Example: llm-cache list --provider openai --limit 10")
@click.option("--provider", help="Only this provider's.")
@click.option("--model", help="Only this model's.")
@click.option("--namespace", help="Only this namespace's.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="How many; 0 is all.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(provider: str | None, model: str | None, namespace: str | None, limit: int, as_json: bool) -> None:
    """List entries, newest first."""
    with existing_cache() as cache:
        entries: Iterable[Entry] = ()
        if cache is not None:
            settle(cache)
            entries = cache.entries(provider=provider, model=model, namespace=namespace, limit=limit or None)
        if as_json:
            _print_json(entries)
        else:
            _print_table(entries)


def _print_json(entries: Iterable[Entry]) -> None:
    """An array, entry by entry: there may be a million."""
    between = "["
    for entry in entries:
        click.echo(f"{between}\n  {output.as_json(fields(entry), indent=None)}", nl=False)
        between = ","
    click.echo("[]" if between == "[" else "\n]")


def _print_table(entries: Iterable[Entry]) -> None:
    terminal = sys.stdout.isatty()
    digits = _SHORT if terminal else 64
    created = output.brief if terminal else output.moment
    rows = [
        (
            entry.key[:digits],
            entry.provider,
            entry.model,
            entry.endpoint,
            entry.namespace,
            created(entry.created_at),
            f"{entry.hits:,}",
            f"{entry.size_bytes:,}",
            output.amount(entry.cost_usd),
        )
        for entry in entries
    ]
    if rows:
        columns = ("key", "provider", "model", "endpoint", "namespace", "created", "hits", "bytes", "cost")
        least = ("endpoint", "bytes", "namespace", "provider", "hits")
        output.table(columns, rows, right=("hits", "bytes", "cost"), least=least)
