"""`llm-cache import FILE`: entries from an export. It must not take away anything newer than what it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_cache.cli import output
from llm_cache.cli.progress import progress

if TYPE_CHECKING:
    from llm_cache.transfer.importing import Imported


@click.command(epilog="Example: llm-cache import cache_dump.jsonl.gz")
@click.argument("file")
@click.option(
    "--from",
    "kind",
    type=click.Choice(["llm-cache", "litellm", "langchain", "vcr"]),
    help="Whose FILE is [told by its contents].",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be imported.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: str, kind: str | None, dry_run: bool, as_json: bool) -> None:
    """Bring the entries of an export back, with their times and hits; - is standard input.

    JSON lines and arrays are told apart, and so is what is compressed. Of two entries of one key the newer one stays.
    Nothing is imported of a file that is damaged anywhere. What is there already is passed over, so an import that was
    interrupted can be begun anew.

    FILE may also be a cassette of VCR.py, an SQLite cache of LangChain's, or the folder of LiteLLM's disk cache.
    """
    from llm_cache.clients.cache import LLMCache
    from llm_cache.errors import LLMCacheError
    from llm_cache.transfer import foreign
    from llm_cache.transfer.importing import count, failed, import_entries, limit_of, read_entries

    theirs = next((each for each in foreign.KINDS if each == kind), None) or foreign.kind_of(file)
    skipped: dict[str, int] = {}
    with LLMCache() as cache:
        engine = cache.engine
        total = None
        if file != "-" and theirs == "llm-cache":
            with progress("Reading") as told:
                total = count(file, engine, told)
        done = 0

        def counted() -> None:
            nonlocal done
            done += 1
            step()

        with progress("Importing", total) as step:
            try:
                if theirs == "llm-cache":
                    entries = read_entries(file, limit_of(engine))
                else:
                    entries = foreign.entries(engine, theirs, file, skipped)
                result = import_entries(engine, entries, dry_run=dry_run, told=counted)
            except LLMCacheError as error:
                raise click.ClickException(failed(error, done)) from error
    result.skipped += sum(skipped.values())
    for reason, number in sorted(skipped.items(), key=lambda pair: (-pair[1], pair[0])):
        click.echo(output.on_one_line(f"{number:,} passed over: {reason}"), err=True)
    _print(result, dry_run=dry_run, as_json=as_json)


def _print(result: Imported, *, dry_run: bool, as_json: bool) -> None:
    counts = {
        "imported": result.added + result.replaced,
        "replaced": result.replaced,
        "already_there": result.same,
        "newer_here": result.older,
        "skipped": result.skipped,
    }
    if as_json:
        click.echo(output.as_json(counts))
        return
    imported = counts["imported"]
    entries = f"{imported:,} {'entry' if imported == 1 else 'entries'}"
    rest = [
        text
        for count, text in (
            (result.replaced, "in place of older ones"),
            (result.same, "already there"),
            (result.older, "older than what is there and passed over"),
            (result.skipped, "passed over"),
        )
        if count
        for text in [f"{count:,} {text}"]
    ]
    click.echo(f"{entries} {'would be imported' if dry_run else 'imported'}{''.join(f', {one}' for one in rest)}.")
