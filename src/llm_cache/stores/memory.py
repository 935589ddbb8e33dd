"""A store in the memory of one process: for tests, for trying things, and as the contract's plainest reading.

It must not write anywhere, and what it keeps ends with the process.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf

from llm_cache.errors import StoreError
from llm_cache.stores import forks, worth
from llm_cache.stores.base import EVERYTHING, Filter, Leases, Row, Shrunk, Summary
from llm_cache.stores.registry import Opening

_ROW_BYTES = 1024
"""What a row takes beside its value: the tuple, its key, its numbers, its place in the dict."""
_STEP = 20
"""A step removes a twentieth of what is allowed, since it has to look at every row."""


class MemoryStore:
    """Rows in a dict. A forked child goes on with a copy of its own."""

    inline = True
    timely = True
    leases: Leases | None = None

    def __init__(self) -> None:
        self._rows: dict[bytes, Row] = {}
        self._sums: dict[tuple[str, ...], dict[str, int]] = {}
        self._journals: dict[str, list[bytes]] = {}
        self._secrets: dict[str, bytes] = {}
        self._kept: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._generation = 0
        self._size = 0
        self._closed = False
        forks.tell(self)

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
                self._generation += 1
                self._size -= _ROW_BYTES + len(before.value)
            self._size += _ROW_BYTES + len(row.value)
            self._rows[row.key] = row._replace(hits=0, last_hit_at=None)

    def generation(self) -> int:
        """See `Store`."""
        self._use()
        return self._generation

    def known_generation(self) -> int:
        """See `Watched`."""
        return self.generation()

    def scan(self, where: Filter = EVERYTHING, limit: int | None = None) -> Iterator[Row]:
        """See `Store`."""
        ordered = sorted(self._matching(where), key=lambda row: (-row.created_at, row.key))
        found = (row for row in ordered if row.key in self._rows)
        return islice(found, None if limit is None else max(0, limit))

    def remove(self, where: Filter) -> int:
        """See `Store`."""
        with self._lock:
            doomed = self._matching(where)
            self._generation += bool(doomed)
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
        rows = self._matching(where)
        return Summary(
            entries=len(rows),
            size_bytes=sum(len(row.value) for row in rows),
            providers=tuple(sorted({row.provider for row in rows})),
            models=tuple(sorted({row.model for row in rows})),
        )

    def close(self) -> None:
        """See `Store`."""
        self._closed = True
        self._rows = {}

    def add(self, deltas: Mapping[tuple[str, ...], Mapping[str, int]]) -> None:
        """See `Counters`."""
        self._use()
        with self._lock:
            for label, amounts in deltas.items():
                sums = self._sums.setdefault(label, {})
                for name, amount in amounts.items():
                    sums[name] = sums.get(name, 0) + amount
                    if sums[name] == 0:
                        del sums[name]
                if not sums:
                    del self._sums[label]

    def sums(self) -> dict[tuple[str, ...], dict[str, int]]:
        """See `Counters`."""
        self._use()
        with self._lock:
            return {label: dict(amounts) for label, amounts in self._sums.items()}

    def jot(self, journal: str, lines: Sequence[bytes], most: int) -> None:
        """See `Journals`."""
        self._use()
        with self._lock:
            kept = self._journals.setdefault(journal, [])
            kept.extend(lines)
            del kept[: max(0, len(kept) - most)]

    def jotted(self, journal: str, limit: int) -> list[bytes]:
        """See `Journals`."""
        self._use()
        with self._lock:
            return list(islice(reversed(self._journals.get(journal, [])), max(0, limit)))

    def price(self, costs: Iterable[tuple[bytes, float, int]]) -> None:
        """See `Maintenance`."""
        self._use()
        with self._lock:
            for key, created_at, cost_pico in costs:
                row = self._rows.get(key)
                if row is not None and row.created_at == created_at:
                    self._rows[key] = row._replace(cost_pico=cost_pico)

    def secret(self, name: str) -> bytes:
        """See `Maintenance`."""
        self._use()
        with self._lock:
            return self._secrets.setdefault(name, secrets.token_bytes(32))

    def kept(self, name: str) -> bytes | None:
        """See `Maintenance`."""
        self._use()
        return self._kept.get(name)

    def keep(self, name: str, value: bytes | None, instead_of: bytes | None) -> bool:
        """See `Maintenance`."""
        self._use()
        with self._lock:
            if self._kept.get(name) != instead_of:
                return False
            self._generation += 1
            if value is None:
                self._kept.pop(name, None)
            else:
                self._kept[name] = value
        return True

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
        # What has expired goes first. Ranked outside of the lock, so that nobody waits for it.
        ranked = sorted(
            (-inf if row.expires_at is not None and row.expires_at <= now else worth.rank_of(row), key)
            for key, row in list(self._rows.items())
        )
        removed, size = 0, 0
        for _, key in ranked:
            if size + removed * _ROW_BYTES >= wanted:
                break
            with self._lock:
                gone = self._drop(key)
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

    def before_fork(self) -> None:
        """Leave nothing half done."""
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """Go on."""
        if child:
            self._lock = threading.Lock()
        else:
            self._lock.release()

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
