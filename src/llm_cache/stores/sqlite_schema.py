"""What the SQLite store's tables are, how an older file becomes a newer one, and the statements that name columns.

It must not open files or decide when anything is done. Migrations are appended to, never edited.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from typing import Any

from llm_cache.core.model import Row
from llm_cache.errors import StoreError
from llm_cache.stores.base import Filter

APPLICATION_ID = 0x4C4C4D43
"""`LLMC` in the file's header, so that `file` and we can tell whose it is."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # With a rowid: without one, rows of a kilobyte lie in the index itself and a lookup takes three times as long.
        # The value stands last so that reading the other columns of a large row touches none of its overflow pages.
        """CREATE TABLE rows (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL,
            kind TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            namespace TEXT NOT NULL,
            stream INTEGER NOT NULL,
            status INTEGER NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL,
            input_tokens INTEGER,
            output_tokens INTEGER,
            cost_pico INTEGER,
            latency_ms REAL NOT NULL,
            hits INTEGER NOT NULL,
            last_hit_at REAL,
            size INTEGER NOT NULL,
            value BLOB NOT NULL
        )""",
        "CREATE UNIQUE INDEX rows_key ON rows (key)",
        # With expiry and size, so that most walks and all totals are of the index alone.
        "CREATE INDEX rows_created ON rows (created_at DESC, key, expires_at, size)",
        "CREATE INDEX rows_model ON rows (model, created_at DESC)",
        "CREATE INDEX rows_provider ON rows (provider, created_at DESC)",
        "CREATE INDEX rows_namespace ON rows (namespace, created_at DESC)",
        "CREATE INDEX rows_expires ON rows (expires_at) WHERE expires_at IS NOT NULL",
        # `amount` has no type: sums beyond 64 bits are text, where SQLite would make them inexact floats.
        "CREATE TABLE counters (label TEXT NOT NULL, name TEXT NOT NULL, amount NOT NULL, PRIMARY KEY (label, name))",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
        # Begins anywhere, so that a file that takes another's place is not taken for it. New rows, counters and hits
        # leave it alone: it tells those who keep rows in memory what they may keep, and most writes are those.
        "INSERT INTO meta (name, value) VALUES ('generation', abs(random() % 1000000000000))",
        """CREATE TRIGGER rows_replaced AFTER UPDATE OF value ON rows BEGIN
            UPDATE meta SET value = value + 1 WHERE name = 'generation';
        END""",
    ),
    (
        # Rows of one journal lie together; ids grow, and the oldest are deleted.
        "CREATE TABLE journals (id INTEGER PRIMARY KEY, journal TEXT NOT NULL, line BLOB NOT NULL)",
        "CREATE INDEX journals_journal ON journals (journal, id)",
    ),
)

SELECT_GENERATION = "SELECT value FROM meta WHERE name = 'generation'"
MOVE_GENERATION = "UPDATE meta SET value = value + 1 WHERE name = 'generation'"
_COLUMNS = tuple(name for name in Row._fields if name not in {"key", "value"})
SELECT_ROW = f"SELECT value, {', '.join(_COLUMNS)} FROM rows WHERE key = ?"  # noqa: S608 - names of ours
PUT_ROW = (
    f"INSERT INTO rows (key, value, {', '.join(_COLUMNS)}, size)"  # noqa: S608 - names of ours
    f" VALUES ({', '.join('?' * (len(_COLUMNS) + 3))})"
    " ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("value", *_COLUMNS, "size"))
)
_new = tuple.__new__  # what `Row._make` does, without its second look
_STREAM = _COLUMNS.index("stream") + 1
_RARE_PREFIX = 3
_AFTER_ALL_KEYS = b"\xff" * 33
_HITS = Row._fields.index("hits")


def row_of(key: bytes, found: tuple[Any, ...]) -> Row:
    """The row of what `SELECT_ROW` found. SQLite has no booleans."""
    return _new(Row, (key, *found[:_STREAM], found[_STREAM] == 1, *found[_STREAM + 1 :]))


def values_of(row: Row) -> tuple[Any, ...]:
    """What `PUT_ROW` takes: the row without its hits."""
    return (*row[:_HITS], 0, None, len(row.value))


def current(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file has this version's tables already.

    Raises:
        StoreError: it was written by a newer version, or is another program's.
    """
    # In one transaction: another process may be making the tables between two looks.
    connection.execute("BEGIN")
    try:
        return _version(connection, path) == len(MIGRATIONS)
    finally:
        connection.execute("COMMIT")


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file up to date; creates the tables of a new one.

    Raises:
        StoreError: as `current`.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited for the lock.
        for step in MIGRATIONS[_version(connection, path) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: str) -> int:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if application_id != APPLICATION_ID:
        if application_id or version or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise StoreError(f"the file {path} is a database of another program; the cache leaves it alone")
        return 0
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the cache file {path} was written by a newer version of llm-cache (schema {version};"
            f" this version knows {len(MIGRATIONS)}): upgrade llm-cache, or name another file"
        )
    return version


def condition(where: Filter) -> tuple[str, list[object]]:
    """The WHERE of a filter, and its parameters."""
    return _joined(_terms(where), avoid=())


def page(where: Filter) -> tuple[str, list[object], tuple[float, bytes]]:
    """A query for the next (created_at, key) of a scan, its first parameters, and where the scan begins.

    Its last four parameters are created_at (twice) and key of the row before the page, and how many
    rows. Newest first, so an index on expiry is of no use, nor one on keys that thousands of rows share.
    """
    terms = _terms(replace(where, created_before=None))
    few = where.key_prefix is not None and len(where.key_prefix) >= _RARE_PREFIX
    sql, parameters = _joined(terms, avoid=("expires_at",) if few else ("expires_at", "key"))
    created = "+created_at" if few else "created_at"
    start = (math.inf, b"") if where.created_before is None else (where.created_before, _AFTER_ALL_KEYS)
    query = (
        f"SELECT created_at, key FROM rows WHERE {sql} AND {created} <= ?"  # noqa: S608 - terms of ours
        f" AND (created_at < ? OR +key > ?) ORDER BY {created} DESC, key LIMIT ?"
    )
    return query, parameters, start


def _terms(where: Filter) -> dict[str, tuple[str, list[object]]]:
    """The terms of a filter by the column that decides about an index, the one that leaves fewest rows as a rule first.

    In braces stands what may keep SQLite from using it.
    """
    terms: dict[str, tuple[str, list[object]]] = {}
    if where.key_prefix is not None:
        terms["key"] = _key_range(where.key_prefix)
    if where.model is not None:
        terms["model"] = "{0}model = ?", [where.model]
    if where.expired_at is not None:
        terms["expires_at"] = "{0}expires_at <= ?", [where.expired_at]
    if where.namespace is not None:
        terms["namespace"] = "{0}namespace = ?", [where.namespace]
    if where.provider is not None:
        terms["provider"] = "{0}provider = ?", [where.provider]
    created = []
    if where.created_before is not None:
        created.append(("{0}created_at < ?", where.created_before))
    if where.created_since is not None:
        created.append(("{0}created_at >= ?", where.created_since))
    if created:
        terms["created_at"] = " AND ".join(text for text, _ in created), [value for _, value in created]
    if where.endpoint is not None:
        terms["endpoint"] = "{0}endpoint = ?", [where.endpoint]
    if where.live_at is not None:
        terms["live_at"] = "({0}expires_at IS NULL OR {0}expires_at > ?)", [where.live_at]
    return terms


def _joined(terms: dict[str, tuple[str, list[object]]], avoid: tuple[str, ...]) -> tuple[str, list[object]]:
    """All terms; the first may use its index, and a `+` takes theirs from the others.

    SQLite would have to guess which to use: nobody has counted the rows for it. The time of creation
    is the second column of every index on a name, so that one may use both.
    """
    driver = next((name for name in terms if name not in avoid), None)
    indexed = {driver, "created_at"} if driver not in {"key", "expires_at"} else {driver}
    sql = [text.format("" if name in indexed else "+") for name, (text, _) in terms.items()]
    return " AND ".join(sql) or "1", [value for _, given in terms.values() for value in given]


def _key_range(prefix: str) -> tuple[str, list[object]]:
    """Keys that begin with these hex digits, as a range of an index on bytes."""
    bits = 4 * (64 - len(prefix))
    first, after = int(prefix, 16) << bits, (int(prefix, 16) + 1) << bits
    if after >> 256:
        return "{0}key >= ?", [first.to_bytes(32, "big")]
    return "{0}key >= ? AND {0}key < ?", [first.to_bytes(32, "big"), after.to_bytes(32, "big")]
