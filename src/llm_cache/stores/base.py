"""What a store is: the Protocols that every backend fulfils, and the filters that it must understand.

No store may know what its values mean; all of them pass `llm_cache.testing.StoreContract`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_cache.core.model import Row

__all__ = [
    "EVERYTHING",
    "Backend",
    "Counters",
    "Filter",
    "Journals",
    "Leases",
    "Loads",
    "Maintenance",
    "Row",
    "Shrunk",
    "Store",
    "Summary",
    "hits_of",
    "load",
]

LEASE_S = 30.0
"""How long a lease lasts that nobody renews."""
Once = tuple[str, int]
"""Who adds, and the number of what it adds, one more each time."""
_PREFIX = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows: all conditions that are not None must hold.

    `key_prefix` is 1 to 64 lower-case hex digits (anything else is a ValueError, lest a slip of the
    pen select everything); `expired_at` selects rows whose expiry is at or before that time,
    `live_at` the others; `created_before` is exclusive, `created_since` inclusive.
    """

    provider: str | None = None
    model: str | None = None
    endpoint: str | None = None
    namespace: str | None = None
    key_prefix: str | None = None
    created_before: float | None = None
    created_since: float | None = None
    expired_at: float | None = None
    live_at: float | None = None

    def __post_init__(self) -> None:
        """Refuse a prefix that no key could have."""
        if self.key_prefix is not None and not _PREFIX.fullmatch(self.key_prefix):
            raise ValueError(f"a key prefix is 1 to 64 lower-case hex digits, not {self.key_prefix!r}")

    def matches(self, row: Row) -> bool:
        """Whether the row is among them; what a store's own query language says, said in Python."""
        return (
            (self.provider is None or row.provider == self.provider)
            and (self.model is None or row.model == self.model)
            and (self.endpoint is None or row.endpoint == self.endpoint)
            and (self.namespace is None or row.namespace == self.namespace)
            and (self.key_prefix is None or row.key.hex().startswith(self.key_prefix))
            and (self.created_before is None or row.created_at < self.created_before)
            and (self.created_since is None or row.created_at >= self.created_since)
            and (self.expired_at is None or (row.expires_at is not None and row.expires_at <= self.expired_at))
            and (self.live_at is None or row.expires_at is None or row.expires_at > self.live_at)
        )


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Summary:
    """How much a store holds: rows, bytes of their values, and the distinct names, sorted."""

    entries: int
    size_bytes: int
    providers: tuple[str, ...]
    models: tuple[str, ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Summary:
        """The totals of these rows, for stores that have to look at each."""
        entries, size_bytes = 0, 0
        providers, models = set(), set()
        for row in rows:
            entries += 1
            size_bytes += len(row.value)
            providers.add(row.provider)
            models.add(row.model)
        return cls(entries, size_bytes, tuple(sorted(providers)), tuple(sorted(models)))


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What one step of making a store smaller did: rows removed, and the bytes of their values.

    `more` tells that the next step has something to do too.
    """

    entries: int = 0
    size_bytes: int = 0
    more: bool = False


class Store(Protocol):
    """Rows by key. Methods may be called from any thread; each raises `StoreError` when it fails.

    `inline` is true where `get` answers in microseconds without waiting for a network, so that it
    may be called on an event loop. `timely` is false where it may take longer than its deadline.
    """

    inline: bool
    timely: bool

    def get(self, key: bytes) -> Row | None:
        """The row of that key, expired or not, or None. Never writes."""
        ...

    def put(self, row: Row) -> None:
        """Keep the row, in place of an older one. Durable against a killed process on return.

        The new row has no hits: neither those of an older row of that key nor those of `row`.
        """
        ...

    def scan(self, where: Filter = EVERYTHING, limit: int | None = None) -> Iterator[Row]:
        """The rows that match, newest first; ties are broken by key. Constant memory.

        Rows that nobody touches meanwhile are seen exactly once; those that are written, replaced or
        removed during the scan are seen once or not at all.
        """
        ...

    def remove(self, where: Filter) -> int:
        """Delete the rows that match and say how many there were. Other writers get their turns."""
        ...

    def touch(self, hits: Mapping[bytes, tuple[int, float]]) -> None:
        """Add hits (how many, the latest time) to rows; keys that are gone are passed over."""
        ...

    def summary(self, where: Filter = EVERYTHING) -> Summary:
        """Totals of the rows that match."""
        ...

    def close(self) -> None:
        """Let go of files and connections; later calls raise. A second call does nothing."""
        ...


class Loads(Protocol):
    """A store that keeps many rows at once for less than one by one. Not every store need: see `load`."""

    def load(self, rows: Sequence[Row]) -> None:
        """Keep the rows as `put` does, and with the hits that they have, as `touch` would add them."""
        ...


def load(store: Store, rows: Sequence[Row]) -> None:
    """Keep rows with their hits: at once where the store knows how, else one by one.

    Raises:
        StoreError: the store failed. Some of them may be kept.
    """
    at_once: Callable[[Sequence[Row]], None] | None = getattr(store, "load", None)
    if at_once is not None:
        at_once(rows)
        return
    for row in rows:
        store.put(row)
    hits = hits_of(rows)
    if hits:
        store.touch(hits)


def hits_of(rows: Iterable[Row]) -> dict[bytes, tuple[int, float]]:
    """What `touch` takes, of the rows that have hits."""
    return {
        row.key: (row.hits, row.created_at if row.last_hit_at is None else row.last_hit_at)
        for row in rows
        if row.hits or row.last_hit_at is not None
    }


class Watched(Protocol):
    """A store that tells when what was read from it may no longer be true."""

    def generation(self) -> int:
        """A number that has moved if anybody, in any process, has replaced or removed a row.

        What was read after it was asked for may be served again for as long as it stays the same.
        New rows, hits, prices and counters do not move it, and neither does `shrink`: what it removed is
        still true, and who writes at the limit removes all the time.
        """
        ...

    def known_generation(self) -> int | None:
        """The same without waiting for anybody; None if that cannot be."""
        ...


class Counters(Protocol):
    """Sums that survive: a table of integers by label, used by the ledger."""

    def add(self, deltas: Mapping[tuple[str, ...], Mapping[str, int]], once: Once | None = None) -> None:
        """Add each named amount to the sums under its label, all of them or none; a sum of 0 is forgotten.

        What was added under `once` is not added again, for an hour at least. A store whose errors mean that nothing
        was done need not remember it.
        """
        ...

    def sums(self) -> dict[tuple[str, ...], dict[str, int]]:
        """All sums by label."""
        ...


class Journals(Protocol):
    """Short lists of what happened last, shared by all processes: lines of any bytes by the journal's name."""

    def jot(self, journal: str, lines: Sequence[bytes], most: int) -> None:
        """Append the lines, the newest last; of the journal only the latest `most` stay."""
        ...

    def jotted(self, journal: str, limit: int) -> list[bytes]:
        """The latest lines, newest first, at most that many."""
        ...


class Leases(Protocol):
    """The right to fetch what is not stored, at most one process a key. `now` is seconds since the epoch.

    A lease ends when it is given back, when its holder is known to have ended, and after `LEASE_S` without renewal.
    Nothing depends on it but money: entries are idempotent, and the last good one wins.
    """

    def take(self, key: bytes, now: float) -> bool:
        """Take the lease; False if another process holds it. Taking what this process has is no error."""
        ...

    def held(self, key: bytes, now: float) -> bool:
        """Whether another process holds it. Never writes."""
        ...

    def renew(self, keys: Iterable[bytes], now: float) -> None:
        """Hold on to those of them that this process has."""
        ...

    def release(self, keys: Iterable[bytes]) -> None:
        """Give back those of them that this process has."""
        ...


class Maintenance(Protocol):
    """What administration asks of a store beyond rows."""

    def price(self, costs: Iterable[tuple[bytes, float, int]]) -> None:
        """Set `cost_pico` of rows given as (key, created_at, cost); others are passed over."""
        ...

    def secret(self, name: str) -> bytes:
        """32 random bytes that belong to this store, made when first asked for; the same for everyone."""
        ...

    def kept(self, name: str) -> bytes | None:
        """What was kept under that name: a few hundred bytes that belong to the store as a whole."""
        ...

    def keep(self, name: str, value: bytes | None, instead_of: bytes | None) -> bool:
        """Keep a value (None: nothing) if what is kept is still `instead_of`; whether it was. Moves the generation."""
        ...

    def check(self) -> list[str]:
        """Look for damage; one sentence for each finding, none when all is well."""
        ...

    def set_aside(self, now: float) -> str | None:
        """Move what was found damaged out of the way, so that the next use begins anew; where it went.

        `now` (seconds since the epoch) goes into the name. None if no error and no `check` has told of
        damage since the last time, or another thread or process has already done it.
        """
        ...

    def shrink(self, limit_bytes: int, now: float) -> Shrunk:
        """One small step (some milliseconds) towards a store of at most that size, or towards a smaller file.

        Removes a few rows if the store is larger: what has expired at `now` (seconds since the epoch) as far as it
        is easily found, then what is worth least (`stores.worth`). Does nothing, at the price of microseconds, to a
        store that is small enough and has little room to give back. A store that another program bounds, as Redis
        does, does nothing at all.
        """
        ...

    def compact(self) -> int:
        """Give back to the system what is not needed; the bytes by which the store has become smaller.

        May take seconds per gigabyte, during which writes by others wait.
        """
        ...

    def location(self) -> str:
        """Where the rows are, for people: a path or a URL without its password."""
        ...


class Backend(Store, Watched, Counters, Journals, Maintenance, Protocol):
    """All that the cache needs of one place."""

    @property
    def leases(self) -> Leases | None:
        """The leases; None where no other process could hold any."""
        ...
