"""`llm-cache show KEY`: one entry with its request and its answer. It must not change the entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_cache.cli import output
from llm_cache.cli.opening import entry_of, existing_cache, fields, settle

if TYPE_CHECKING:
    from llm_cache.core.model import Entry


@click.command(epilog="Example: llm-cache show 3f2a9c --output entry.json")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--output", "file", metavar="FILE", help="Write the JSON into a file; - is standard output.")
def command(key: str, as_json: bool, file: str | None) -> None:
    """Show one entry.

    KEY is what `list` shows, or as many of its first digits as no other entry has, or the key that was given to
    get_or_set.
    """
    with existing_cache() as cache:
        if cache is not None:
            settle(cache)
        entry = entry_of(cache, key)
    whole = fields(entry) | {"request": entry.request, "response": entry.response, "text": entry.text}
    if file is not None and file != "-":
        write_whole(Path(file), output.as_json(whole) + "\n")
        click.echo(f"Written to {file}.", err=True)
    elif as_json or file == "-":
        click.echo(output.as_json(whole))
    else:
        _print(entry, whole)


def _print(entry: Entry, whole: dict[str, object]) -> None:
    times = ("created_at", "expires_at", "last_hit_at")
    for name, value in whole.items():
        if name in {"request", "response", "text"}:
            continue
        shown = output.moment(value) if name in times and not isinstance(value, str) else value  # type: ignore[arg-type]
        if name == "cost_usd":
            shown = output.dollars(entry.cost_usd)
        elif name == "latency_ms":
            shown = f"{entry.latency_ms:,.1f}"
        elif value is None and name not in times:
            shown = "unknown"
        click.echo(f"{name:13}  {output.safe(str(shown))}")
        if name == "output_tokens" and entry.usage is not None:
            parts = [f"{part} {told}" for part, told in entry.usage.told().items() if told and part not in whole]
            if parts:
                click.echo(f"{'billed with':13}  {output.safe(', '.join(parts))}")
    click.echo("\nrequest:")
    click.echo(_readable(entry.request))
    # The text says it all, and what is around it is for programs: --json has both.
    click.echo("\nanswer:")
    click.echo(_readable(entry.text if entry.text is not None else entry.response))


def _readable(value: object) -> str:
    if value is None:
        return "(none)"
    return output.safe(value, "\n\t") if isinstance(value, str) else output.as_json(value)


def write_whole(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all.

    Raises:
        OSError: it cannot be written; what was there before is unchanged.
    """
    from llm_cache.transfer.files import whole_file

    with whole_file(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
