"""`llm-cache why`: the stored request nearest to another, and what differs. It must not change any entry."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llm_cache.cli import output
from llm_cache.cli.opening import entry_of, existing_cache

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.clients.explaining import Found

_SHOWN = 20
_WRAPPED = {"provider", "endpoint", "body"}


@click.command(epilog="Example: llm-cache why --request body.json; llm-cache why --misses")
@click.argument("key", required=False)
@click.option(
    "--request",
    "file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help='A request body, or {"provider", "endpoint", "body"}; - is standard input.',
)
@click.option("--misses", is_flag=True, help="What the latest misses have in common, the dearest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(key: str | None, file: Path | None, misses: bool, as_json: bool) -> None:
    """Show the stored request nearest to another, and what differs: why it was no hit.

    KEY is an entry, as `show` takes it: its request is compared with all others. Of a request that is in no entry,
    give the body in FILE; it is compared as if it went where the stored one went, with its headers. With --misses it is
    about the latest misses of all processes: which fields, new in every request, cost the most hits and money.
    """
    if [key is not None, file is not None, misses].count(True) != 1:
        raise click.UsageError("give one of KEY, --request FILE and --misses.")
    if misses:
        _misses(as_json=as_json)
        return
    body, provider, endpoint = (b"", None, None) if file is None else _request(file)
    with existing_cache() as cache:
        found, asked = _found(cache, key, body, provider, endpoint)
        if as_json:
            click.echo(output.as_json(_as_json(found, asked)))
        elif found.near is not None:
            _print(found)
    if found.near is None:
        among = f"among the {found.searched:,} entries that were looked at" if found.searched else "in the cache"
        raise click.ClickException(
            f"there is no{' other' if key else ''} request {among} that it could be compared with"
        )


def _misses(*, as_json: bool) -> None:
    from llm_cache.cli import costly

    with existing_cache() as cache:
        found = [] if cache is None else cache.engine.ledger.costly()
        reasons = {} if cache is None else cache.stats().reasons.get("miss", {})
    if as_json:
        click.echo(output.as_json(costly.as_json(found, reasons)))
    else:
        costly.show(found, reasons, _SHOWN)


def _found(
    cache: LLMCache | None, key: str | None, body: bytes, provider: str | None, endpoint: str | None
) -> tuple[Found, str | None]:
    """What is nearest, and the key of what was asked about, where that is an entry."""
    from llm_cache.clients.explaining import Found, why_entry, why_request
    from llm_cache.errors import EntryError

    if key is None:
        return (Found() if cache is None else why_request(cache.engine, body, provider, endpoint)), None
    entry = entry_of(cache, key)
    assert cache is not None  # noqa: S101 - the entry came out of it
    row = cache.engine.store.get(bytes.fromhex(entry.key))
    try:
        return (Found() if row is None else why_entry(cache.engine, row)), entry.key
    except EntryError as error:
        raise click.ClickException(f"the entry {entry.key[:12]} cannot be read: {error}") from error


def _request(file: Path) -> tuple[bytes, str | None, str | None]:
    """A body, with provider and endpoint where the file names them.

    Raises:
        click.UsageError: the file holds neither.
    """
    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        # A program may have written it with a byte order mark; a body has none.
        value = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{file} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{file} holds no JSON object: a request body is one.")
    if "body" not in value or not value.keys() <= _WRAPPED:
        return text.removeprefix(b"\xef\xbb\xbf"), None, None
    for name in ("provider", "endpoint"):
        if not isinstance(value.get(name, ""), str):
            raise click.UsageError(f"{file}: {name!r} must be a text.")
    if not isinstance(value["body"], dict):
        raise click.UsageError(f"{file}: 'body' must be a JSON object.")
    # Read once more with numbers as they are written: 0.10000000000000001 is not 0.1.
    from llm_cache.core import canonical

    try:
        inner = canonical.parse(text.removeprefix(b"\xef\xbb\xbf"))
        body = canonical.write(inner["body"] if isinstance(inner, dict) else inner)
    except canonical.NotCanonical:
        body = json.dumps(value["body"]).encode()
    return body, value.get("provider"), value.get("endpoint")


def _print(found: Found) -> None:
    from llm_cache.core.explain import render

    near, row = found.near, found.row
    click.echo(output.safe(render(near, limit=50), "\n"))
    if near is not None and row is not None:
        click.echo()
        output.pairs(
            [
                ("nearest", near.key),
                ("provider", row.provider),
                ("model", row.model),
                ("endpoint", row.endpoint),
                ("namespace", row.namespace),
                ("created", output.moment(row.created_at)),
                ("expires", output.moment(row.expires_at)),
                ("looked at", f"{found.searched:,} {'entry' if found.searched == 1 else 'entries'}"),
            ]
        )


def _as_json(found: Found, asked: str | None) -> dict[str, Any]:
    from llm_cache.core.explain import advice

    near, row = found.near, found.row
    if near is None or row is None:
        return {"key": asked, "nearest": None, "same": False, "differences": [], "searched": found.searched}
    return {
        "key": asked,
        "nearest": {
            "key": near.key,
            "provider": row.provider,
            "model": row.model,
            "endpoint": row.endpoint,
            "namespace": row.namespace,
            "created_at": row.created_at,
            "expires_at": row.expires_at,
        },
        "same": not near.found,
        "note": near.note,
        "differences": [
            {
                "path": difference.path,
                **({} if difference.ours is None else {"here": _value(difference.ours)}),
                **({} if difference.theirs is None else {"there": _value(difference.theirs)}),
                "looks_like": difference.look,
            }
            for difference in near.found
        ],
        "ignore_fields": list(near.rule),
        "advice": advice(near),
        "searched": found.searched,
    }


def _value(text: str) -> object:
    """A JSON text as a value; a number that no program would read back as it was stays a text."""

    def number(literal: str) -> float | str:
        value = float(literal)
        return value if math.isfinite(value) and _same(value, literal) else literal

    return json.loads(text, parse_float=number)


def _same(value: float, literal: str) -> bool:
    from llm_cache.core.canonical import number

    return number(repr(value)) == literal
