"""Fills an SQLite store with many rows, quicker than one by one. It must not be used to test writing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from llm_cache.core.model import Row
from llm_cache.stores import sqlite_schema
from llm_cache.stores.sqlite import SqliteStore

_AT_ONCE = 5000


def fill(store: SqliteStore, rows: Iterable[Row]) -> None:
    """Keep the rows, as `put` would."""
    waiting, ids = iter(rows), {}
    while batch := list(islice(waiting, _AT_ONCE)):
        with store._connections.writing() as channel:
            for row in batch:
                names = sqlite_schema.group_of(row)
                if names not in ids:
                    found = channel.execute(sqlite_schema.SELECT_GROUP, names).fetchone()
                    ids[names] = found[0] if found else channel.execute(sqlite_schema.PUT_GROUP, names).lastrowid
            channel.executemany(
                sqlite_schema.ADD_ROW,
                (sqlite_schema.values_of(row, ids[sqlite_schema.group_of(row)]) for row in batch),
            )
