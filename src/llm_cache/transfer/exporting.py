"""From a store to a file. It must not change the store, nor hold more than one entry in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from typing import IO, TYPE_CHECKING, Any

from llm_cache.clients.admin import seen
from llm_cache.codec.codec import sealed_with
from llm_cache.errors import EntryError
from llm_cache.stores.base import EVERYTHING, Filter
from llm_cache.transfer import bodies
from llm_cache.transfer.records import record_of
from llm_cache.transfer.sealed import record_of_sealed

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.stores.base import Row

_MOMENT = 50_000
"""How many entries of one moment are put in order."""


@dataclass(slots=True)
class Exported:
    """What an export came to."""

    entries: int = 0
    unreadable: int = 0
    sealed: int = 0


def export(
    engine: Engine,
    file: IO[bytes],
    where: Filter = EVERYTHING,
    *,
    array: bool = False,
    redact: bool = False,
    decrypt: bool = False,
    told: Callable[[], None] = lambda: None,
) -> Exported:
    """Write the entries that match, newest first, and say how many there were.

    Args:
        engine: the cache.
        file: takes the bytes.
        where: which entries.
        array: whether as one JSON array, not as a line for each.
        redact: whether without everything that somebody wrote.
        decrypt: whether sealed entries are opened; else they are written as they lie in the store.
        told: called after each entry.

    Raises:
        StoreError: the store cannot be read.
        OSError: the file cannot be written.
    """
    # Whoever reads entries wants to know what they cost.
    engine.ledger.account(lenient=True)
    done = Exported()
    between = b"[\n" if array else b""
    for record in records(engine, where, done, redact=redact, decrypt=decrypt):
        file.write(between + bodies.dumps(record).encode() + (b"" if array else b"\n"))
        between = b",\n" if array else b""
        done.entries += 1
        told()
    if array:
        file.write(b"\n]\n" if done.entries else b"[]\n")
    return done


def records(
    engine: Engine, where: Filter, done: Exported, *, redact: bool = False, decrypt: bool = True
) -> Iterator[dict[str, Any]]:
    """The lines of the entries that match, newest first; `done` counts those that cannot be read.

    Those that are sealed stay so without `decrypt`; opened, they have the keys that they had before.

    Raises:
        StoreError: the store cannot be read.
    """
    salt = secrets.token_bytes(32)
    rows = engine.store.scan(where)
    for row in _by_origin(engine, rows) if decrypt else rows:
        if not (decrypt or redact) and sealed_with(row) is not None:
            done.sealed += 1
            yield record_of_sealed(row)
            continue
        try:
            record = _record(engine, row)
        except EntryError:
            done.unreadable += 1
            continue
        if redact:
            from llm_cache.transfer.redaction import redacted

            record = redacted(record, salt)
        yield record


def _by_origin(engine: Engine, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, of those made at one moment in the order of the keys that they have when opened.

    Their own keys are HMACs, whose order says nothing; then a plain store and a sealed one export the same bytes.
    """
    for _, group in groupby(rows, key=lambda row: row.created_at):
        moment = iter(group)
        first = next(moment)
        second = next(moment, None)
        if second is None or sealed_with(first) is None:
            yield first
            if second is not None:
                yield second
            yield from moment
            continue
        # Keys alone, and not of too many: whole rows of one moment may be more than memory holds.
        rest = chain((first, second), moment)
        names = [(_origin(engine, row), row.key) for row in islice(rest, _MOMENT)]
        again = (engine.store.get(key) for _, key in sorted(names))
        yield from (row for row in again if row is not None)
        yield from rest


def _origin(engine: Engine, row: Row) -> str:
    try:
        return engine.codec.decode(row).origin or row.key.hex()
    except EntryError:
        return row.key.hex()


def _record(engine: Engine, row: Row) -> dict[str, Any]:
    entry = seen(engine, row)
    if entry.origin:
        # What a plain store calls it, and of what a sealed one makes its own name anew.
        entry = replace(entry, key=entry.origin)
    return record_of(entry, entry.asked, entry.response, entry.text)
