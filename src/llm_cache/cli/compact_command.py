"""`llm-cache compact`: gives back what the store does not need. It must not remove any entry."""

from __future__ import annotations

import click

from llm_cache.cli import output
from llm_cache.cli.opening import existing_cache


@click.command(epilog="Example: llm-cache compact, after a large llm-cache purge")
def command() -> None:
    """Give back to the system what the store no longer needs.

    Takes seconds for each gigabyte, during which writes by others wait. No entry is removed.
    """
    with existing_cache() as cache:
        freed = 0 if cache is None else cache.engine.store.compact()
    click.echo(f"The store is {output.size(freed)} smaller." if freed else "There was nothing to give back.")
