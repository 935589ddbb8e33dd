"""The default store: one SQLite file that any number of processes and threads share.

`get` never writes and never waits. It must not know what values mean, nor when to remove what.
"""

from __future__ import annotations

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
from llm_cache.stores.base import EVERYTHING, Filter, Row, Summary
from llm_cache.stores.sqlite_connections import Connections
from llm_cache.stores.sqlite_schema import (
    MOVE_GENERATION,
    PUT_ROW,
    SELECT_GENERATION,
    SELECT_ROW,
    condition,
    page,
    row_of,
    values_of,
)

PAGE = 256
"""Rows that a scan looks up at once."""
BATCH = 256
"""Rows that are deleted in one transaction, which takes some 10 ms."""
_ROUND = 400 * BATCH
_PAUSE_S = 0.002
"""Between two such transactions: SQLite's waiters poll, and one who never pauses starves them."""


class SqliteStore:
    """Rows in a file, opened at the first use; one that cannot be opened is tried again once a second.

    Args:
        path: the file, made with mode 0600 if it is not there.
        read_timeout_ms: how long opening may wait for another process.
        write_timeout_ms: how long a write may.
        clock: seconds, for the time between two attempts to open.
    """

    inline = True

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
        # Not at the end of the process: what was counted is flushed then, and whoever does that closes the store.
        finalize(self, self._connections.close).atexit = False

    def get(self, key: bytes) -> Row | None:
        """See `Store`."""
        connections = self._connections
        while True:
            try:
                channel = connections.local.channel
            except AttributeError:
                channel = connections.reading()
            try:
                with channel.lock:
                    found = channel.execute(SELECT_ROW, (key,)).fetchone()
            except sqlite3.Error as error:
                if channel.closed:
                    continue
                raise connections.failed(error) from error
            return None if found is None else row_of(key, found)

    def generation(self) -> int:
        """See `Store`. While nobody has written, one pragma: 2 µs; else one row more."""
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
                        channel.generation = channel.execute(SELECT_GENERATION).fetchone()[0]
                        channel.version = version
                    return channel.generation
            except sqlite3.Error as error:
                if channel.closed:
                    continue
                raise connections.failed(error) from error

    def put(self, row: Row) -> None:
        """See `Store`."""
        with self._connections.writing() as channel:
            channel.execute(PUT_ROW, values_of(row))

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
            doomed = self._read(f"SELECT id FROM rows WHERE {terms} LIMIT {_ROUND}", parameters)  # noqa: S608 - of ours
            for start in range(0, len(doomed), BATCH):
                if start:
                    time.sleep(_PAUSE_S)
                with self._connections.writing() as channel:
                    channel.execute(MOVE_GENERATION)
                    removed += channel.executemany(
                        f"DELETE FROM rows WHERE id = ? AND {terms}",  # noqa: S608 - terms of ours
                        [(*found, *parameters) for found in doomed[start : start + BATCH]],
                    ).rowcount
            if len(doomed) < _ROUND:
                return removed

    def touch(self, hits: Mapping[bytes, tuple[int, float]]) -> None:
        """See `Store`."""
        with self._connections.writing() as channel:
            channel.executemany(
                "UPDATE rows SET hits = hits + ?, last_hit_at = max(coalesce(last_hit_at, ?), ?) WHERE key = ?",
                [(count, at, at, key) for key, (count, at) in hits.items()],
            )

    def summary(self, where: Filter = EVERYTHING) -> Summary:
        """See `Store`."""
        if where == EVERYTHING:
            # Each of these is answered by an index of its own.
            ((entries, size),) = self._read("SELECT count(*), coalesce(sum(size), 0) FROM rows")
            providers = self._read("SELECT DISTINCT provider FROM rows ORDER BY provider")
            models = self._read("SELECT DISTINCT model FROM rows ORDER BY model")
            return Summary(entries, size, tuple(name for (name,) in providers), tuple(name for (name,) in models))
        terms, parameters = condition(where)
        # Grouped by expressions, lest SQLite walk an index of all names instead of the one that the filter has.
        groups = self._read(
            f"SELECT provider, model, count(*), sum(size) FROM rows WHERE {terms} GROUP BY +provider, +model",  # noqa: S608 - of ours
            parameters,
        )
        return Summary(
            entries=sum(count for _, _, count, _ in groups),
            size_bytes=sum(size for _, _, _, size in groups),
            providers=tuple(sorted({provider for provider, _, _, _ in groups})),
            models=tuple(sorted({model for _, model, _, _ in groups})),
        )

    def close(self) -> None:
        """See `Store`."""
        self._connections.close()

    def add(self, deltas: Mapping[tuple[str, ...], Mapping[str, int]]) -> None:
        """See `Counters`. Added in Python, which has integers of any size, under the write lock."""
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
                "DELETE FROM journals WHERE journal = ?1 AND id <="
                " (SELECT id FROM journals WHERE journal = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (journal, most),
            )

    def jotted(self, journal: str, limit: int) -> list[bytes]:
        """See `Journals`."""
        sql = "SELECT line FROM journals WHERE journal = ? ORDER BY id DESC LIMIT ?"
        return [bytes(line) for (line,) in self._read(sql, (journal, max(0, limit)))]

    def price(self, costs: Iterable[tuple[bytes, float, int]]) -> None:
        """See `Maintenance`."""
        with self._connections.writing() as channel:
            channel.executemany(
                "UPDATE rows SET cost_pico = ? WHERE key = ? AND created_at = ?",
                [(cost, key, created_at) for key, created_at, cost in costs],
            )

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

    def check(self) -> list[str]:
        """See `Maintenance`."""
        path = self._connections.path
        try:
            report = self._read("PRAGMA quick_check(20)")
            odd = self._read("SELECT count(*) FROM rows WHERE size != length(value) OR length(key) != 32")[0][0]
        except StoreError as error:
            if error.damaged:
                return [f"{error}."]
            raise
        findings = [f"The cache file {path} is damaged: {text}." for (text,) in report if text != "ok"]
        if odd:
            findings.append(f"The cache file {path} has {odd} rows whose sizes are not what they say.")
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            findings.append(f"The cache file {path} can be read by other users (mode {mode:03o}); it should be 600.")
        return findings

    def set_aside(self, now: float) -> str | None:
        """See `Maintenance`."""
        return self._connections.set_aside(time.strftime(".damaged-%Y%m%dT%H%M%SZ", time.gmtime(now)))

    def location(self) -> str:
        """See `Maintenance`."""
        return str(self._connections.path)

    def _read(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        """All that a query finds, in one short transaction."""
        connections = self._connections
        while True:
            channel = getattr(connections.local, "channel", None) or connections.reading()
            try:
                with channel.lock:
                    return channel.execute(sql, tuple(parameters)).fetchall()
            except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
                if channel.closed:
                    continue
                raise connections.failed(error) from error
