"""`llm-cache purge`: deletes entries. It must not delete anything that was not clearly asked for."""

from __future__ import annotations

import sys

import click

from llm_cache.cli.main import DONE, FAILED
from llm_cache.cli.opening import entry_of, existing_cache


@click.command(epilog="Example: llm-cache purge --older 30 --provider openai --dry-run")
@click.option("--key", metavar="PREFIX", help="The entry of this key, or of these first digits of one.")
@click.option("--expired", is_flag=True, help="What is past its expiry.")
@click.option("--older", type=click.FloatRange(min=0), metavar="DAYS", help="What was made longer ago than this.")
@click.option("--provider", help="This provider's.")
@click.option("--model", help="This model's.")
@click.option("--namespace", help="This namespace's.")
@click.option("--all", "everything", is_flag=True, help="All entries; asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say how many entries there are.")
def command(
    key: str | None,
    expired: bool,
    older: float | None,
    provider: str | None,
    model: str | None,
    namespace: str | None,
    everything: bool,
    yes: bool,
    dry_run: bool,
) -> int:
    """Delete entries.

    Where several things are given, an entry must fit all of them.
    """
    filtered = expired or any(value is not None for value in (key, older, provider, model, namespace))
    if not filtered and not everything:
        raise click.UsageError("say what to delete: --key, --expired, --older, --model and so on, or --all.")
    if filtered and everything:
        raise click.UsageError("--all is everything: it cannot be combined with what narrows it down.")
    with existing_cache() as cache:
        if key is not None:
            # Also where it may be ambiguous: what is deleted by a slip of the pen is gone.
            key = entry_of(cache, key).key
        if cache is None:
            _say(0, dry_run=dry_run)
            return DONE
        if everything and not yes and not dry_run:
            count = cache.purge(everything=True, dry_run=True)
            if not _agreed(f"Delete all {count:,} entries in {cache.location}?"):
                click.echo("Nothing was deleted.", err=True)
                return FAILED
        count = cache.purge(
            key=key,
            expired=expired,
            older_than_days=older,
            provider=provider,
            model=model,
            namespace=namespace,
            everything=everything,
            dry_run=dry_run,
        )
        _say(count, dry_run=dry_run)
    return DONE


def _say(count: int, *, dry_run: bool) -> None:
    entries = f"{count:,} {'entry' if count == 1 else 'entries'}"
    click.echo(f"{entries} would be deleted." if dry_run else f"{entries} deleted.")


def _agreed(question: str) -> bool:
    """Whether standard input, a terminal or not, says yes; its end says no."""
    while True:
        click.echo(f"{question} [y/n] ", nl=False, err=True)
        answer = sys.stdin.readline() if sys.stdin else ""
        if not answer:
            click.echo(err=True)
            return False
        if answer.strip().lower() in {"y", "yes", "n", "no"}:
            return answer.strip().lower().startswith("y")
