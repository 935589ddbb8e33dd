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
from llm_cache.transfer.files import opened
from llm_cache.transfer.reading import objects
from llm_cache.transfer.records import entry_or_row, line_of

if TYPE_CHECKING:
    from llm_cache.clients.engine import Engine
    from llm_cache.core.model import Entry

_BATCH = 256
"""Entries whose hits are written at once."""
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
        told: called after each entry.

    Raises:
        StoreError: the store failed. What came before is kept.
        UncacheableError: an entry cannot be kept.
        SealError: one is sealed with a key that is not this store's.
    """
    done = Imported()
    hits: dict[bytes, tuple[int, float]] = {}
    try:
        for entry in entries:
            row = _openable(engine, entry) if isinstance(entry, Row) else engine.codec.encode(entry)
            there = engine.store.get(row.key)
            _count(done, there, row)
            if not dry_run:
                if there is None or there.created_at < row.created_at:
                    engine.store.put(row)
                    there = None
                _touch(hits, row, there)
                if len(hits) >= _BATCH:
                    engine.store.touch(hits)
                    hits.clear()
            told()
    finally:
        if hits:
            engine.store.touch(hits)
    return done


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


def _touch(hits: dict[bytes, tuple[int, float]], row: Row, there: Row | None) -> None:
    """Give a row that was just put its hits, and one that an earlier import has brought those that it still lacks."""
    if row.last_hit_at is None and not row.hits:
        return
    if there is not None and (there.created_at > row.created_at or there.hits >= row.hits):
        return
    missing = row.hits - (0 if there is None else there.hits)
    hits[row.key] = missing, row.created_at if row.last_hit_at is None else row.last_hit_at


def failed(error: LLMCacheError, done: int) -> str:
    """What went wrong, and what is there all the same, in one sentence."""
    return f"{error}" + (f" (the {done:,} entries before it are imported)" if done else "")
