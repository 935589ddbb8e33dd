"""From a file that was set aside to the store that took its place. It must not keep what no checksum vouches for.

To salvage a file again does nothing, so what was interrupted is begun anew. The file itself stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llm_cache.codec import ring
from llm_cache.codec.codec import Codec, sealed_with
from llm_cache.core.model import Row
from llm_cache.errors import EntryError, FormatError, UncacheableError
from llm_cache.runtime.sealing import RING
from llm_cache.stores.sqlite_salvage import found_in, rows_in, set_aside_files

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.codec.seal import Keys
    from llm_cache.stores.sqlite_salvage import Names

_LARGEST = 1024 * 1024 * 1024
"""The largest entry that any configuration allows."""
_MOST_GROUPS = 256


@dataclass(slots=True)
class Salvaged:
    """What became of the rows that could still be seen.

    Attributes:
        added: are in the store now.
        there: the store has them, or newer ones.
        damaged: are not as they were written, and left where they are.
        sealed: cannot be opened with the key at hand.
    """

    added: int = 0
    there: int = 0
    damaged: int = 0
    sealed: int = 0


def files_aside(engine: Engine) -> list[Path]:
    """What was set aside beside the store's file."""
    return set_aside_files(Path(engine.store.location())) if engine.settings.backend == "sqlite" else []


def salvaged_before(engine: Engine, file: Path) -> int | None:
    """How many entries were salvaged of that file when it was done with; None if it was not.

    Raises:
        StoreError: the store failed.
    """
    kept = engine.store.kept(_mark(file))
    try:
        return None if kept is None else int(json.loads(kept)["added"])
    except (ValueError, LookupError, TypeError):
        return 0


def salvage(engine: Engine, file: Path, step: Callable[[], None] = lambda: None) -> Salvaged:
    """Keep in the store what can be read of a file that was set aside.

    Args:
        engine: of the store.
        file: one of `files_aside`.
        step: called after each row.

    Raises:
        StoreError: the store failed, or the file cannot be read at all. What came before is kept.
        SealError: the keys of the store are not at hand.
    """
    # The store may be a new one since they were looked for.
    engine.sealing.try_again(at_once=True)
    engine.sealing.prepare()
    found = found_in(file)
    codecs, numbers = _codecs(engine, found.documents.get(RING))
    groups = dict.fromkeys([*found.groups.values(), *_names(engine)])
    done = Salvaged()
    for row in rows_in(file, found.groups):
        if sealed_with(row) in numbers:
            _keep(engine, codecs, list(groups)[:_MOST_GROUPS], row, done)
        else:
            done.sealed += 1
        step()
    if not done.sealed and engine.store.keep(_mark(file), json.dumps({"added": done.added}).encode(), None):
        # Once: to add sums twice would be wrong, where to put a row twice is not.
        engine.store.add(found.sums)
    return done


def _mark(file: Path) -> str:
    return f"salvaged:{file.name}"


def _names(engine: Engine) -> Iterator[Names]:
    """Groups that the store knows by now: those of the damaged file may be lost, and most are used again."""
    for row in engine.store.scan(limit=_MOST_GROUPS):
        yield row.kind, row.provider, row.model, row.endpoint, row.namespace, row.stream, row.status


def _codecs(engine: Engine, document: bytes | None) -> tuple[list[Codec], set[int | None]]:
    """The store's own, and one for the keys that the damaged file was sealed with; and what numbers they have."""
    own = engine.sealing.keys if engine.sealing.on else None
    codecs = [Codec(max_bytes=_LARGEST, keys=own)]
    numbers: set[int | None] = {None, *(number for number, _ in (own().secrets if own is not None else ()))}
    passphrase = engine.settings.encryption_key
    try:
        opened = ring.opened(ring.read(document), passphrase) if document and passphrase else None
    except FormatError:
        opened = None
    if opened is not None:
        keys: Keys = opened[0]
        codecs.append(Codec(max_bytes=_LARGEST, keys=lambda: keys))
        numbers.update(number for number, _ in keys.secrets)
    return codecs, numbers


def _keep(engine: Engine, codecs: list[Codec], groups: list[Names], row: Row, done: Salvaged) -> None:
    new = None
    for names in (None, *groups):
        tried = row if names is None else Row._make((*row[:2], *names, *row[9:]))
        try:
            new = _whole(engine, codecs, tried)
        except (EntryError, UncacheableError):
            continue
        break
    if new is None:
        done.damaged += 1
        return
    there = engine.store.get(new.key)
    if there is not None and there.created_at >= new.created_at:
        done.there += 1
        return
    engine.store.put(new)
    if row.hits and row.last_hit_at is not None:
        engine.store.touch({new.key: (row.hits, row.last_hit_at)})
    done.added += 1


def _whole(engine: Engine, codecs: list[Codec], row: Row) -> Row:
    """The row as this store writes it, once its checksum or its seal has vouched for it.

    Raises:
        EntryError: nothing does.
    """
    failure: EntryError = FormatError("a row that nobody can read")
    for codec in codecs:
        try:
            entry = codec.decode(row)
        except EntryError as error:
            failure = error
            continue
        try:
            asked = codec.asked(row)
        except EntryError:
            # The answer has a checksum of its own; what was asked only explains it.
            asked = None
        else:
            if codec is codecs[0] and (sealed_with(row) is not None) == engine.sealing.on:
                return row
        origin = entry.origin or entry.key
        return engine.codec.encode(replace(entry, key=origin, origin=origin, asked=asked))
    raise failure
