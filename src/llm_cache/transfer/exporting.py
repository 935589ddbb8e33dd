"""From a store to a file. It must not change the store, nor hold more than one entry in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    for row in engine.store.scan(where):
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


def _record(engine: Engine, row: Row) -> dict[str, Any]:
    entry = seen(engine, row)
    if entry.origin:
        # What a plain store calls it, and of what a sealed one makes its own name anew.
        entry = replace(entry, key=entry.origin)
    return record_of(entry, entry.asked, entry.response, entry.text)
