"""What the SQLite store's tables are, how an older file becomes a newer one, and the statements for single rows.

It must not open files or decide when anything is done. Migrations are appended to, never edited.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from llm_cache.core.model import Row
from llm_cache.errors import StoreError
from llm_cache.stores import sqlite_leases, worth

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
    (
        # What many rows have in common is kept once, with their sums: a row takes 220 bytes less, and totals at a
        # million rows need not be counted. AUTOINCREMENT, since readers remember ids: none is ever used again.
        """CREATE TABLE groups (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            namespace TEXT NOT NULL,
            kind TEXT NOT NULL,
            stream INTEGER NOT NULL,
            status INTEGER NOT NULL,
            entries INTEGER NOT NULL DEFAULT 0,
            size INTEGER NOT NULL DEFAULT 0
        )""",
        "CREATE UNIQUE INDEX groups_names ON groups (provider, model, endpoint, namespace, kind, stream, status)",
        # `rank` is what `stores.worth` makes of the other columns.
        """CREATE TABLE entries (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL,
            group_id INTEGER NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL,
            input_tokens INTEGER,
            output_tokens INTEGER,
            cost_pico INTEGER,
            latency_ms REAL NOT NULL,
            hits INTEGER NOT NULL,
            last_hit_at REAL,
            rank REAL NOT NULL,
            size INTEGER NOT NULL,
            value BLOB NOT NULL
        )""",
        """INSERT OR IGNORE INTO groups (provider, model, endpoint, namespace, kind, stream, status)
            SELECT provider, model, endpoint, namespace, kind, stream, status FROM rows""",
        """INSERT INTO entries SELECT
            r.id, r.key, g.id, r.created_at, r.expires_at, r.input_tokens, r.output_tokens, r.cost_pico, r.latency_ms,
            r.hits, r.last_hit_at, llm_cache_rank(r.cost_pico, r.input_tokens, r.output_tokens, r.latency_ms, r.size,
            coalesce(r.last_hit_at, r.created_at)), r.size, r.value
            FROM rows r JOIN groups g USING (provider, model, endpoint, namespace, kind, stream, status)
            ORDER BY r.id""",
        "DROP TABLE rows",
        "CREATE UNIQUE INDEX entries_key ON entries (key)",
        # Ascending, though all walks go backwards: what is appended fills pages, what is put before all others halves
        # them. With everything that filters and totals need; no index on groups, of which there are few.
        "CREATE INDEX entries_created ON entries (created_at, group_id, expires_at, size)",
        "CREATE INDEX entries_rank ON entries (rank)",
        """UPDATE groups SET (entries, size) =
            (SELECT count(*), coalesce(sum(size), 0) FROM entries WHERE group_id = groups.id)""",
        """CREATE TRIGGER entries_added AFTER INSERT ON entries BEGIN
            UPDATE groups SET entries = entries + 1, size = size + new.size WHERE id = new.group_id;
        END""",
        """CREATE TRIGGER entries_removed AFTER DELETE ON entries BEGIN
            UPDATE groups SET entries = entries - 1, size = size - old.size WHERE id = old.group_id;
        END""",
        """CREATE TRIGGER entries_replaced AFTER UPDATE OF value ON entries BEGIN
            UPDATE groups SET entries = entries - 1, size = size - old.size WHERE id = old.group_id;
            UPDATE groups SET entries = entries + 1, size = size + new.size WHERE id = new.group_id;
            UPDATE meta SET value = value + 1 WHERE name = 'generation';
        END""",
    ),
    sqlite_leases.MIGRATION,
    (
        # Of the first eight bytes: half the size, so that at a million rows more of it is at hand, and a page of it
        # less to read. Keys are digests, so hardly two ever have the same; not UNIQUE, lest somebody look for two.
        "DROP INDEX entries_key",
        "CREATE INDEX entries_prefix ON entries (substr(key, 1, 8))",
    ),
)
LATER = frozenset({4})
"""Steps that an older file may do without until it is compacted: no statement minds, and they would take seconds."""

SELECT_GENERATION = "SELECT value FROM meta WHERE name = 'generation'"
MOVE_GENERATION = "UPDATE meta SET value = value + 1 WHERE name = 'generation'"
_NAMES = ("kind", "provider", "model", "endpoint", "namespace", "stream", "status")
_OWN = tuple(name for name in Row._fields if name not in {"key", "value", *_NAMES})
_OF_KEY = "substr(key, 1, 8) = substr(?, 1, 8) AND key = ?"
"""SQLite takes the index that there is. Given twice, as everything here that is needed more than once: some releases of
Python 3.12 take `?1` for a name, and warn."""
SELECT_ROW = f"SELECT value, group_id, {', '.join(_OWN)} FROM entries WHERE {_OF_KEY}"  # noqa: S608 - of ours
SELECT_ID = f"SELECT id FROM entries WHERE {_OF_KEY}"  # noqa: S608 - names of ours
SELECT_NAMES = f"SELECT {', '.join(_NAMES)} FROM groups WHERE id = ?"  # noqa: S608 - names of ours
SELECT_GROUP = f"SELECT id FROM groups WHERE {' AND '.join(f'{name} = ?' for name in _NAMES)}"  # noqa: S608 - of ours
PUT_GROUP = f"INSERT INTO groups ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608 - of ours
_PUT = ("key", "value", "group_id", "size", "rank", *_OWN)
ADD_ROW = f"INSERT INTO entries ({', '.join(_PUT)}) VALUES ({', '.join('?' * len(_PUT))})"  # noqa: S608 - names of ours
REPLACE_ROW = f"UPDATE entries SET {', '.join(f'{name} = ?' for name in _PUT[1:])} WHERE id = ?"  # noqa: S608 - names of ours
TOUCH = (
    "UPDATE entries SET hits = hits + ?, last_hit_at = max(coalesce(last_hit_at, ?), ?), rank = rank"  # noqa: S608
    f" + max(0.0, ? - coalesce(last_hit_at, created_at)) / {worth.HALF_LIFE_S}"
    f" WHERE {_OF_KEY}"
)
PRICE = (
    "UPDATE entries SET cost_pico = ?, rank = llm_cache_rank(?, input_tokens, output_tokens, latency_ms, size,"  # noqa: S608
    f" coalesce(last_hit_at, created_at)) WHERE {_OF_KEY} AND created_at = ?"
)
_new = tuple.__new__  # what `Row._make` does, without its second look
_FIRST_NAME, _FIRST_OWN = Row._fields.index("kind"), Row._fields.index("created_at")


def row_of(key: bytes, found: tuple[Any, ...], names: tuple[Any, ...]) -> Row:
    """The row of what `SELECT_ROW` found in a group of these names."""
    return _new(Row, (key, found[0], *names, *found[2:]))


def names_of(found: tuple[Any, ...]) -> tuple[Any, ...]:
    """What `SELECT_NAMES` found, as a row has it. SQLite has no booleans."""
    return (*found[:5], found[5] == 1, found[6])


def group_of(row: Row) -> tuple[Any, ...]:
    """What `SELECT_GROUP` and `PUT_GROUP` take."""
    return row[_FIRST_NAME:_FIRST_OWN]


def values_of(row: Row, group_id: int) -> tuple[Any, ...]:
    """What `ADD_ROW` takes, and `REPLACE_ROW` without the key but with an id: the row without its hits."""
    new = row._replace(hits=0, last_hit_at=None)
    return (row.key, row.value, group_id, len(row.value), worth.rank_of(new), *new[_FIRST_OWN:])


def prepare(connection: sqlite3.Connection) -> None:
    """Teach a connection the functions that migrations and statements call."""
    connection.create_function("llm_cache_rank", 6, worth.rank, deterministic=True)


def current(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file has all of this version's tables that it cannot do without.

    Raises:
        StoreError: it was written by a newer version, or is another program's.
    """
    # In one transaction: another process may be making the tables between two looks.
    connection.execute("BEGIN")
    try:
        return LATER.issuperset(range(_version(connection, path), len(MIGRATIONS)))
    finally:
        connection.execute("COMMIT")


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file up to date in every respect; creates the tables of a new one.

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
