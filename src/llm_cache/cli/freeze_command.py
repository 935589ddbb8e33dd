"""`llm-cache freeze FILE`: entries of a run as a cassette for tests, and back. It must not call anybody."""

from __future__ import annotations

import time
from pathlib import Path

import click

from llm_cache.cli.opening import existing_cache


@click.command(epilog="Example: llm-cache freeze tests/cassettes/agent.json --namespace last-run --minutes 10")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--back", is_flag=True, help="Bring a cassette's entries into the cache instead.")
@click.option("--provider", help="Only this provider's.")
@click.option("--model", help="Only this model's.")
@click.option("--namespace", help="Only this namespace's; with --back, the one to put them in.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Only what was fetched in the last so many."
)
def command(
    file: Path, back: bool, provider: str | None, model: str | None, namespace: str | None, minutes: float | None
) -> None:
    """Write entries into FILE as a cassette: JSON that people read and compare, for `pytest --llm-cache`.

    In a cassette they are found by the default namespace, whoever fetched them: a wrapped client, or a proxy for one of
    its callers. Results of cached functions and of get_or_set stay where they were.
    """
    if back:
        _thaw(file, namespace)
        return
    from llm_cache.stores.base import Filter
    from llm_cache.transfer.cassettes import write

    since = None if minutes is None else time.time() - 60 * minutes
    where = Filter(provider=provider, model=model, namespace=namespace, created_since=since)
    with existing_cache() as cache:
        count = 0 if cache is None else write(cache.engine, file, where, "default")
    if not count:
        raise click.ClickException("no entry matches, so there is no cassette")
    click.echo(f"{count:,} {'entry' if count == 1 else 'entries'} in {file}", err=True)


def _thaw(file: Path, namespace: str | None) -> None:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.transfer.cassettes import read

    if not file.exists():
        raise click.ClickException(f"there is no cassette {file}")
    with LLMCache() as cache:
        done = read(cache.engine, file, namespace)
    click.echo(f"{done.added + done.replaced:,} of {done.seen:,} brought in", err=True)
