"""`llm-cache export FILE`: entries as JSON, whole and exact. It must not change the cache."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_cache.cli.opening import existing_cache
from llm_cache.cli.progress import progress

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.stores.base import Filter
    from llm_cache.transfer.exporting import Exported


@click.command(
    epilog="Example: llm-cache export openai.jsonl.zst --provider openai. Read it back with llm-cache import."
)
@click.argument("file")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "json"]),
    help="An entry on each line, or one array [json if FILE is called .json, else jsonl].",
)
@click.option("--provider", help="Only this provider's.")
@click.option("--model", help="Only this model's.")
@click.option("--namespace", help="Only this namespace's.")
@click.option("--decrypt", is_flag=True, help="Open what is sealed; without it sealed entries are written as they are.")
@click.option("--redact", is_flag=True, help="Without what was asked and answered; cannot be imported.")
def command(
    file: str,
    form: str | None,
    provider: str | None,
    model: str | None,
    namespace: str | None,
    decrypt: bool,
    redact: bool,
) -> None:
    """Write entries into FILE, newest first; - is standard output.

    The file is compressed if its name ends in .gz or .zst, and appears once it is whole.
    """
    from llm_cache.stores.base import Filter
    from llm_cache.transfer.files import output

    where = Filter(provider=provider, model=model, namespace=namespace)
    array = (form or _by_suffix(file)) == "json"
    with existing_cache() as cache:
        with output(file) as opened:
            if cache is None:
                opened.write(b"[]\n" if array else b"")
                return
            from llm_cache.transfer.exporting import export

            with progress("Exporting", _total(cache, where)) as told:
                done = export(cache.engine, opened, where, array=array, redact=redact, decrypt=decrypt, told=told)
        _say(done, file)


def _by_suffix(file: str) -> str:
    from llm_cache.transfer.files import SUFFIXES

    path = Path(file)
    if path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    return path.suffix.lower().removeprefix(".")


def _total(cache: LLMCache, where: Filter) -> int | None:
    """How many there will be, where somebody looks."""
    from llm_cache.errors import StoreError

    if not sys.stderr.isatty():
        return None
    try:
        return cache.engine.store.summary(where).entries
    except StoreError:
        return None


def _say(done: Exported, file: str) -> None:
    if file != "-":
        click.echo(f"{done.entries:,} {'entry' if done.entries == 1 else 'entries'} exported to {file}.", err=True)
    if done.sealed:
        click.echo(f"{done.sealed:,} are sealed in it as they are in the store; --decrypt would open them.", err=True)
    if done.unreadable:
        click.echo(f"{done.unreadable:,} could not be read and are not in it; see llm-cache doctor.", err=True)
