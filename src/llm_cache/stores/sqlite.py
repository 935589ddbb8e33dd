"""The default store: one SQLite file that any number of processes and threads share.

`get` never writes and never waits. It must not know what values mean, nor when to remove what.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import finalize

from llm_cache.errors import StoreError
from llm_cache.stores import base, sqlite_salvage, sqlite_space
from llm_cache.stores.base import EVERYTHING, Filter, Once, Row, Shrunk, Summary
from llm_cache.stores.registry import Opening
from llm_cache.stores.sqlite_connections import Connections
from llm_cache.stores.sqlite_filters import condition, groups, of_names_alone, page
from llm_cache.stores.sqlite_index import WalIndex
from llm_cache.stores.sqlite_leases import SqliteLeases
from llm_cache.stores.sqlite_rows import keep_row
from llm_cache.stores.sqlite_schema import (
    MOVE_GENERATION,
    PRICE,
    SELECT_GENERATION,
    SELECT_NAMES,
    SELECT_ROW,
    TOUCH,
    names_of,
    row_of,
)

PAGE = 256
"""Rows that a scan looks up at once."""
BATCH = 256
"""Rows that are deleted in one transaction, which takes some 10 ms."""
_ROUND = 400 * BATCH
_PAUSE_S = 0.002
"""Between two such transactions: SQLite's waiters poll, and one who never pauses starves them."""


_INSTANT_S = 0.001


class SqliteStore:
    """Rows in a file, opened at the first use; one that cannot be opened is tried again once a second.

    Args:
        path: the file, made with mode 0600 if it is not there.
        read_timeout_ms: how long opening may wait for another process.
        write_timeout_ms: how long a write may.
        clock: seconds, for the time between two attempts to open.
    """

    inline = True
    timely = True

    def __init__(
        self,
        path: str | Path,
        *,
        read_timeout_ms: float = 100,
        write_timeout_ms: float = 2000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Resolved once: a later change of folder must not lead to another file, and SQLite puts its log beside the
        # file that a link points to.
        place = Path(os.path.realpath(Path(path).expanduser()))
        self._connections = Connections(place, read_timeout_ms / 1000, write_timeout_ms / 1000, clock)
        self._index = WalIndex(f"{place}-shm")
        # Not at the end of the process: what was counted is flushed then, and whoever does that closes the store.
        finalize(self, self._connections.close).atexit = False

    @property
    def leases(self) -> SqliteLeases:
        """See `Backend`. Made anew, since one that was kept would keep the store alive."""
        return SqliteLeases(self._connections, self._read, base.LEASE_S)

    def get(self, key: bytes) -> Row | None:
        """See `Store`."""
        connections, tries = self._connections, 0
        while True:
            try:
                channel = connections.local.channel
            except AttributeError:
                channel = connections.reading()
            try:
                with channel.lock:
                    found = channel.execute(SELECT_ROW, (key, key)).fetchone()
                    if found is None:
                        return None
                    names = channel.names.get(found[1])
                    if names is None:
                        group = channel.execute(SELECT_NAMES, (found[1],)).fetchone()
                        if group is None:
                            # Removed in between, and its group tidied away.
                            return None
                        names = channel.remember(found[1], names_of(group))
            except sqlite3.Error as error:
                if channel.closed:
                    continue
                if "locked" in str(error) and not tries:
                    # In a write-ahead log readers wait for nobody, but for an instant while the index is made anew.
                    tries += 1
                    time.sleep(_INSTANT_S)
                    continue
                raise connections.failed(error, channel) from error
            return row_of(key, found, names)

    def generation(self) -> int:
        """See `Watched`. While nobody has written, one look at the log's index; else a pragma, or a row."""
        known = self._index.generation()
        if known is not None:
            return known
        head = self._index.head()
        connections = self._connections
        while True:
            try:
                channel = connections.local.channel
            except AttributeError:
                channel = connections.reading()
            try:
                with channel.lock:
                    # Asked first: whoever writes in between is noticed the next time.
                    version = channel.execute("PRAGMA data_version").fetchone()[0]
                    if version != channel.version:
                        channel.see(channel.execute(SELECT_GENERATION).fetchone()[0])
                        channel.version = version
                    generation = channel.generation
                self._index.note(head, generation)
                return generation
            except sqlite3.Error as error:
                if channel.closed:
                    continue
                raise connections.failed(error, channel) from error

    def known_generation(self) -> int:
        """See `Watched`."""
        return self.generation()

    def put(self, row: Row) -> None:
        """See `Store`."""
        with self._connections.writing() as channel:
            keep_row(channel, row)

    def load(self, rows: Sequence[Row]) -> None:
        """See `Loads`. One transaction."""
        with self._connections.writing() as channel:
            for row in rows:
                keep_row(channel, row)
            hits = base.hits_of(rows)
            channel.executemany(TOUCH, [(count, at, at, at, key, key) for key, (count, at) in hits.items()])

    def scan(self, where: Filter = EVERYTHING, limit: int | None = None) -> Iterator[Row]:
        """See `Store`. Looks up a page of keys, then row by row: no transaction stays open in between."""
        sql, parameters, (at, key) = page(where)
        left: float = math.inf if limit is None else limit
        while left > 0:
            found = self._read(sql, (*parameters, at, at, key, PAGE))
            for at, key in found:
                row = self.get(key)
                if row is not None and row.created_at == at and where.matches(row):
                    yield row
                    left -= 1
                    if left <= 0:
                        return
            if len(found) < PAGE:
                return

    def remove(self, where: Filter) -> int:
        """See `Store`."""
        terms, parameters = condition(where)
        removed = 0
        while True:
            doomed = self._read(f"SELECT id FROM entries WHERE {terms} LIMIT {_ROUND}", parameters)  # noqa: S608 - of ours
            for start in range(0, len(doomed), BATCH):
                if start:
                    time.sleep(_PAUSE_S)
                ids = [row_id for (row_id,) in doomed[start : start + BATCH]]
                with self._connections.writing() as channel:
                    channel.execute(MOVE_GENERATION)
                    removed += channel.execute(
                        f"DELETE FROM entries WHERE id IN ({', '.join('?' * len(ids))}) AND {terms}",  # noqa: S608 - of ours
                        (*ids, *parameters),
                    ).rowcount
            if len(doomed) < _ROUND:
                break
        while removed and sqlite_space.give_back(self._connections):
            time.sleep(_PAUSE_S)
        return removed

    def touch(self, hits: Mapping[bytes, tuple[int, float]]) -> None:
        """See `Store`."""
        with self._connections.writing() as channel:
            channel.executemany(TOUCH, [(count, at, at, at, key, key) for key, (count, at) in hits.items()])

    def summary(self, where: Filter = EVERYTHING) -> Summary:
        """See `Store`."""
        if of_names_alone(where):
            # The sums are kept: a few rows to read, however many there are.
            terms, parameters = groups(where)
            found = self._read(f"SELECT provider, model, entries, size FROM groups WHERE {terms}", parameters)  # noqa: S608 - of ours
            entries, size = sum(row[2] for row in found), sum(row[3] for row in found)
        else:
            terms, parameters = condition(where)
            # One walk for both. Not grouped: that would sort all of them.
            ((entries, size, numbers),) = self._read(
                "SELECT count(*), coalesce(sum(size), 0), group_concat(DISTINCT group_id)"  # noqa: S608 - terms of ours
                f" FROM entries WHERE {terms}",
                parameters,
            )
            chosen = set(map(int, numbers.split(","))) if numbers else set()
            named = self._read("SELECT id, provider, model FROM groups")
            found = [(provider, model) for number, provider, model in named if number in chosen]
        return Summary(
            entries=entries,
            size_bytes=size,
            providers=tuple(sorted({row[0] for row in found})),
            models=tuple(sorted({row[1] for row in found})),
        )

    def close(self) -> None:
        """See `Store`."""
        self._connections.close()

    def add(self, deltas: Mapping[tuple[str, ...], Mapping[str, int]], once: Once | None = None) -> None:
        """See `Counters`. Added in Python, which has integers of any size, under the write lock."""
        del once  # what fails is rolled back
        with self._connections.writing() as channel:
            for label, amounts in deltas.items():
                text = json.dumps(label)
                for name, amount in amounts.items():
                    found = channel.execute(
                        "SELECT amount FROM counters WHERE label = ? AND name = ?", (text, name)
                    ).fetchone()
                    total = amount if found is None else int(found[0]) + amount
                    if total == 0:
                        # What has been settled must not be read over and over by everyone who asks for the sums.
                        channel.execute("DELETE FROM counters WHERE label = ? AND name = ?", (text, name))
                        continue
                    channel.execute(
                        "INSERT OR REPLACE INTO counters (label, name, amount) VALUES (?, ?, ?)",
                        (text, name, total if -(2**63) <= total < 2**63 else str(total)),
                    )

    def sums(self) -> dict[tuple[str, ...], dict[str, int]]:
        """See `Counters`."""
        sums: dict[tuple[str, ...], dict[str, int]] = {}
        for label, name, amount in self._read("SELECT label, name, amount FROM counters"):
            sums.setdefault(tuple(json.loads(label)), {})[name] = int(amount)
        return sums

    def jot(self, journal: str, lines: Sequence[bytes], most: int) -> None:
        """See `Journals`."""
        with self._connections.writing() as channel:
            channel.executemany(
                "INSERT INTO journals (journal, line) VALUES (?, ?)", [(journal, line) for line in lines[-most:]]
            )
            channel.execute(
                "DELETE FROM journals WHERE journal = ? AND id <="
                " (SELECT id FROM journals WHERE journal = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (journal, journal, most),
            )

    def jotted(self, journal: str, limit: int) -> list[bytes]:
        """See `Journals`."""
        sql = "SELECT line FROM journals WHERE journal = ? ORDER BY id DESC LIMIT ?"
        return [bytes(line) for (line,) in self._read(sql, (journal, max(0, limit)))]

    def price(self, costs: Iterable[tuple[bytes, float, int]]) -> None:
        """See `Maintenance`."""
        with self._connections.writing() as channel:
            channel.executemany(PRICE, [(cost, cost, key, key, created_at) for key, created_at, cost in costs])

    def secret(self, name: str) -> bytes:
        """See `Maintenance`."""
        wanted = "SELECT value FROM meta WHERE name = ?"
        found = self._read(wanted, (f"secret:{name}",))
        if not found:
            with self._connections.writing() as channel:
                channel.execute(
                    "INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)",
                    (f"secret:{name}", secrets.token_bytes(32)),
                )
            found = self._read(wanted, (f"secret:{name}",))
        return bytes(found[0][0])

    def kept(self, name: str) -> bytes | None:
        """See `Maintenance`."""
        found = self._read("SELECT value FROM meta WHERE name = ?", (f"kept:{name}",))
        return bytes(found[0][0]) if found else None

    def keep(self, name: str, value: bytes | None, instead_of: bytes | None) -> bool:
        """See `Maintenance`."""
        row = f"kept:{name}"
        with self._connections.writing() as channel:
            found = channel.execute("SELECT value FROM meta WHERE name = ?", (row,)).fetchone()
            if (None if found is None else bytes(found[0])) != instead_of:
                return False
            channel.execute(MOVE_GENERATION)
            if value is None:
                channel.execute("DELETE FROM meta WHERE name = ?", (row,))
            else:
                channel.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (row, value))
        return True

    def check(self) -> list[str]:
        """See `Maintenance`."""
        path = self._connections.path
        try:
            report = self._read("PRAGMA quick_check(20)")
            odd = self._read("SELECT count(*) FROM entries WHERE size != length(value) OR length(key) != 32")[0][0]
        except StoreError as error:
            if error.damaged:
                return [f"{error}."]
            raise
        findings = [f"The cache file {path} is damaged: {text}." for (text,) in report if text != "ok"]
        if odd:
            findings.append(f"The cache file {path} has {odd} rows whose sizes are not what they say.")
        if findings:
            self._connections.found_damaged()
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            findings.append(f"The cache file {path} can be read by other users (mode {mode:03o}); it should be 600.")
        return findings

    def set_aside(self, now: float) -> str | None:
        """See `Maintenance`. The new file has the old one's secrets, as far as they are easily found."""
        moved = self._connections.set_aside(time.strftime(".damaged-%Y%m%dT%H%M%SZ", time.gmtime(now)))
        secrets = {} if moved is None else sqlite_salvage.secrets_in(Path(moved))
        if secrets:
            # What `doctor` salvages is found under names that were made with them.
            with contextlib.suppress(StoreError), self._connections.writing() as channel:
                channel.executemany(
                    "INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)",
                    [(f"secret:{name}", value) for name, value in secrets.items()],
                )
        return moved

    def shrink(self, limit_bytes: int, now: float) -> Shrunk:
        """See `Maintenance`. The limit is for the file and its log."""
        return sqlite_space.shrink(self._connections, limit_bytes, now)

    def compact(self) -> int:
        """See `Maintenance`."""
        return sqlite_space.compact(self._connections)

    def location(self) -> str:
        """See `Maintenance`."""
        return str(self._connections.path)

    def _read(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        """All that a query finds, in one short transaction."""
        return self._connections.read(sql, parameters)


def opened(url: str, how: Opening) -> SqliteStore:
    """The store in the file of a path or an SQLite URL; `~` is the store's business."""
    path = url.removeprefix("sqlite:///")
    return SqliteStore(path, read_timeout_ms=how.read_timeout_ms, write_timeout_ms=how.write_timeout_ms)
