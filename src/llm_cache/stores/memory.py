"""A store in the memory of one process: for tests, for trying things, and as the contract's plainest reading.

It must not write anywhere, and what it keeps ends with the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice

from llm_cache.errors import StoreError
from llm_cache.stores import forks, worth
from llm_cache.stores.base import EVERYTHING, Filter, Leases, Row, Shrunk, Summary
from llm_cache.stores.beside import Beside, Document
from llm_cache.stores.registry import Opening

_ROW_BYTES = 1024
"""What a row takes beside its value: the tuple, its key, its numbers, its place in the dict."""
_STEP = 20
"""A step removes a twentieth of what is allowed, since it has to look at every row."""


class MemoryStore(Beside):
    """Rows in a dict. A forked child goes on with a copy of its own."""

    inline = True
    timely = True
    leases: Leases | None = None

    def __init__(self) -> None:
        self._rows: dict[bytes, Row] = {}
        self._beside = Document()
        self._lock = forks.Lock()
        self._size = 0
        self._closed = False

    def get(self, key: bytes) -> Row | None:
        """See `Store`. Without the lock: looking up one key in a dict is atomic."""
        self._use()
        return self._rows.get(key)

    def put(self, row: Row) -> None:
        """See `Store`."""
        self._use()
        with self._lock:
            before = self._rows.get(row.key)
            if before is not None:
                self._beside.generation += 1
                self._size -= _ROW_BYTES + len(before.value)
            self._size += _ROW_BYTES + len(row.value)
            self._rows[row.key] = row._replace(hits=0, last_hit_at=None)

    def generation(self) -> int:
        """See `Watched`. Without the lock: it is asked for at every hit."""
        self._use()
        return self._beside.generation

    def scan(self, where: Filter = EVERYTHING, limit: int | None = None) -> Iterator[Row]:
        """See `Store`."""
        ordered = sorted(self._matching(where), key=lambda row: (-row.created_at, row.key))
        found = (row for row in ordered if row.key in self._rows)
        return islice(found, None if limit is None else max(0, limit))

    def remove(self, where: Filter) -> int:
        """See `Store`."""
        with self._lock:
            doomed = self._matching(where)
            self._beside.generation += bool(doomed)
            for row in doomed:
                self._drop(row.key)
        return len(doomed)

    def touch(self, hits: Mapping[bytes, tuple[int, float]]) -> None:
        """See `Store`."""
        self._use()
        with self._lock:
            for key, (count, at) in hits.items():
                row = self._rows.get(key)
                if row is not None:
                    latest = at if row.last_hit_at is None else max(at, row.last_hit_at)
                    self._rows[key] = row._replace(hits=row.hits + count, last_hit_at=latest)

    def summary(self, where: Filter = EVERYTHING) -> Summary:
        """See `Store`."""
        return Summary.of(self._matching(where))

    def close(self) -> None:
        """See `Store`."""
        self._closed = True
        self._rows = {}

    def price(self, costs: Iterable[tuple[bytes, float, int]]) -> None:
        """See `Maintenance`."""
        self._use()
        with self._lock:
            for key, created_at, cost_pico in costs:
                row = self._rows.get(key)
                if row is not None and row.created_at == created_at:
                    self._rows[key] = row._replace(cost_pico=cost_pico)

    def check(self) -> list[str]:
        """See `Maintenance`."""
        self._use()
        return []

    def set_aside(self, now: float) -> str | None:
        """See `Maintenance`. There is nothing that could be damaged."""
        return None

    def shrink(self, limit_bytes: int, now: float) -> Shrunk:
        """See `Maintenance`. The rest of the work is done in one go: to find the least, all must be looked at."""
        self._use()
        if self._size <= limit_bytes:
            return Shrunk()
        wanted = self._size - limit_bytes + limit_bytes // _STEP
        removed, size = 0, 0
        # Ranked outside of the lock, so that nobody waits for it.
        for row in worth.least_first(list(self._rows.values()), now):
            if size + removed * _ROW_BYTES >= wanted:
                break
            with self._lock:
                gone = self._drop(row.key)
            if gone is not None:
                removed += 1
                size += len(gone.value)
        return Shrunk(removed, size)

    def compact(self) -> int:
        """See `Maintenance`. There is no room that is not used."""
        self._use()
        return 0

    def location(self) -> str:
        """See `Maintenance`."""
        return ":memory:"

    @contextmanager
    def _document(self) -> Iterator[Document]:
        self._use()
        with self._lock:
            yield self._beside

    def _drop(self, key: bytes) -> Row | None:
        row = self._rows.pop(key, None)
        if row is not None:
            self._size -= _ROW_BYTES + len(row.value)
        return row

    def _use(self) -> None:
        if self._closed:
            raise StoreError("the store in memory is closed")

    def _matching(self, where: Filter) -> list[Row]:
        self._use()
        # `list` of a dict's values is atomic; the rest may take its time.
        rows = list(self._rows.values())
        return rows if where == EVERYTHING else [row for row in rows if where.matches(row)]


def opened(url: str, how: Opening) -> MemoryStore:  # noqa: ARG001 - what every store is opened with
    """A store of its own, empty: in memory there is but one place, and no deadline."""
    return MemoryStore()
