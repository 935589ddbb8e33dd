"""From a file to a store. It must not believe the file, nor take away anything newer than what it brings.

A file is read twice: once to see that all of it is what it should be, and then to import it, so that one that is
damaged changes nothing. Only standard input cannot be read twice. To import the same file again does nothing, so an
import that was interrupted is begun anew and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_cache.core.model import Row
from llm_cache.errors import FormatError, LLMCacheError, SealError, UncacheableError
from llm_cache.stores.base import load
from llm_cache.transfer.files import opened
from llm_cache.transfer.reading import objects
from llm_cache.transfer.records import entry_or_row, line_of

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.model import Entry

_BATCH = 256
"""Entries that are written at once: some ten milliseconds for which others who write wait."""
_BATCH_BYTES = 4 << 20
"""And as many bytes of them, after which it is written all the same."""
_TIMES = 6
"""How many times the size of an entry its line may have: request and answer, each readable and exact, and escapes."""


@dataclass(slots=True)
class Imported:
    """What an import came to: entries that are new here, that replaced an older one, and that were passed over."""

    added: int = 0
    replaced: int = 0
    same: int = 0
    older: int = 0
    skipped: int = 0

    @property
    def seen(self) -> int:
        """All entries there were."""
        return self.added + self.replaced + self.same + self.older + self.skipped


def read_entries(name: str, max_bytes: int) -> Iterator[Entry | Row]:
    """The entries of an exported file; those that were exported sealed as rows.

    Args:
        name: the file; `-` is standard input.
        max_bytes: how large an answer may be.

    Raises:
        LLMCacheError: a line is no entry; the message says which.
        OSError: the file cannot be read.
    """
    line = 0
    with opened(name, _TIMES * max_bytes + 1_000_000) as source:
        try:
            for number, text in objects(source):
                line = number
                yield entry_or_row(line_of(text))
            line = source.line
        except (FormatError, UncacheableError) as error:
            raise FormatError(f"{source.name}, line {max(line, source.line)}: {error}") from error


def count(name: str, engine: Engine, told: Callable[[], None] = lambda: None) -> int:
    """Look through a file and say how many entries it has. Changes nothing.

    Raises:
        LLMCacheError: as `read_entries`.
        OSError: as `read_entries`.
    """
    counted = 0
    for _ in read_entries(name, limit_of(engine)):
        counted += 1
        told()
    return counted


def limit_of(engine: Engine) -> int:
    """How large an answer may be that this cache keeps, in bytes."""
    return int(engine.settings.max_entry_mb * 1024 * 1024)


def import_entries(
    engine: Engine,
    entries: Iterable[Entry | Row],
    *,
    dry_run: bool = False,
    told: Callable[[], None] = lambda: None,
) -> Imported:
    """Keep the entries; of two with one key the newer one, and of one that is there already the higher hits.

    Args:
        engine: the cache.
        entries: as they were elsewhere, with hits, times and money.
        dry_run: whether only to count.
        told: called for each entry, once it is kept.

    Raises:
        StoreError: the store failed. What was told of is kept.
        UncacheableError: an entry cannot be kept.
        SealError: one is sealed with a key that is not this store's.
    """
    done = Imported()
    batch = _Batch(engine, told)
    try:
        for entry in entries:
            row = _openable(engine, entry) if isinstance(entry, Row) else engine.codec.encode(entry)
            there = batch.rows.get(row.key) or engine.store.get(row.key)
            _count(done, there, row)
            if dry_run:
                told()
            else:
                batch.take(row, there)
    finally:
        # Also what came before an entry that is none, or before somebody's Ctrl-C.
        batch.write()
    return done


class _Batch:
    """Entries that are written together: a transaction for each would take longer than everything else.

    Attributes:
        rows: those that are new, with their hits, by key.
    """

    def __init__(self, engine: Engine, told: Callable[[], None]) -> None:
        self.rows: dict[bytes, Row] = {}
        self._hits: dict[bytes, tuple[int, float]] = {}
        self._engine = engine
        self._told = told
        self._taken = self._bytes = 0

    def take(self, row: Row, there: Row | None) -> None:
        """Take an entry in, given what is known by its key."""
        if there is None or there.created_at < row.created_at:
            self.rows[row.key] = row
            self._hits.pop(row.key, None)
            self._bytes += len(row.value)
        elif there.created_at == row.created_at and there.hits < row.hits:
            at = row.created_at if row.last_hit_at is None else row.last_hit_at
            if row.key in self.rows:
                self.rows[row.key] = there._replace(hits=row.hits, last_hit_at=max(at, there.last_hit_at or at))
            else:
                # What an import that was interrupted has brought without them.
                self._hits[row.key] = row.hits - there.hits, at
        self._taken += 1
        if self._taken >= _BATCH or self._bytes >= _BATCH_BYTES:
            self.write()

    def write(self) -> None:
        """Write what was taken, and tell of it. What cannot be written is not tried again."""
        rows, hits, taken = list(self.rows.values()), self._hits, self._taken
        self.rows, self._hits, self._taken, self._bytes = {}, {}, 0, 0
        if rows:
            load(self._engine.store, rows)
        if hits:
            self._engine.store.touch(hits)
        for _ in range(taken):
            self._told()


def _openable(engine: Engine, row: Row) -> Row:
    try:
        engine.codec.decode(row)
    except SealError as error:
        raise SealError(
            f"the entry {row.key.hex()[:12]}… was exported sealed, and this cache cannot open it ({error}):"
            " export it with --decrypt, or import it where the store's own key is configured"
        ) from error
    return row


def _count(done: Imported, there: Row | None, row: Row) -> None:
    if there is None:
        done.added += 1
    elif there.created_at < row.created_at:
        done.replaced += 1
    elif there.created_at == row.created_at:
        done.same += 1
    else:
        done.older += 1


def failed(error: LLMCacheError, done: int) -> str:
    """What went wrong, and what is there all the same, in one sentence."""
    return f"{error}" + (f" (the {done:,} entries before it are imported)" if done else "")
