"""How files grow older, and that filters find their indexes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from llm_cache.stores import sqlite_filters, sqlite_schema
from llm_cache.stores.base import Filter
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract import a_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def test_the_file_says_whose_it_is(path: Path) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    store.close()
    header = path.read_bytes()[:100]
    assert header[68:72] == b"LLMC"
    assert int.from_bytes(header[60:64], "big") == len(sqlite_schema.MIGRATIONS)
    assert int.from_bytes(header[16:18], "big") == 4096


def test_an_older_file_is_brought_up_to_date_and_keeps_its_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    later = ("ALTER TABLE entries ADD COLUMN mood TEXT", "CREATE TABLE moods (mood TEXT)")
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, later))
    newer = SqliteStore(path)
    assert newer.get(a_row(1).key) == a_row(1)
    # The older version, still running, goes on; one that begins now is told.
    store.put(a_row(2))
    assert newer.get(a_row(2).key) == a_row(2)
    store.close()
    newer.close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT count(*) FROM moods").fetchone() == (0,)
    raw.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    store.close()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, ("CREATE TABLE a (b)", "NONSENSE")))
        broken = SqliteStore(path)
        with pytest.raises(Exception, match="NONSENSE"):
            broken.get(a_row(1).key)
        broken.close()
    store = SqliteStore(path)
    assert store.get(a_row(1).key) == a_row(1)
    assert store.check() == []
    store.close()


BY_TIME = "INDEX entries_created (created_at"
BY_KEY = "INDEX entries_prefix (<expr>>"
SCANS = {
    Filter(): f"{BY_TIME}<?)",
    Filter(created_before=5.0): f"{BY_TIME}<?)",
    Filter(created_before=5.0, created_since=3.0): f"{BY_TIME}>? AND created_at<?)",
    Filter(key_prefix="a"): f"{BY_TIME}<?)",
    Filter(key_prefix="abc"): f"{BY_KEY}? AND <expr><?)",
    Filter(key_prefix="abc", created_since=5.0): f"{BY_KEY}? AND <expr><?)",
    Filter(model="m", created_since=1.0): f"{BY_TIME}>? AND created_at<?)",
    Filter(model="m", namespace="n", provider="p"): f"{BY_TIME}<?)",
    Filter(provider="p", endpoint="e", live_at=3.0): f"{BY_TIME}<?)",
    Filter(expired_at=3.0): f"{BY_TIME}<?)",
}
OTHERS = {
    Filter(created_since=5.0): f"COVERING {BY_TIME}>?)",
    Filter(key_prefix="a", model="y", created_before=5.0): f"{BY_KEY}? AND <expr><?)",
    Filter(key_prefix="f"): f"{BY_KEY}? AND <expr><?)",
    Filter(model="m", expired_at=3.0): "COVERING INDEX entries_created",
    Filter(expired_at=3.0, provider="p", created_before=9.0): f"COVERING {BY_TIME}<?)",
    Filter(live_at=3.0): "COVERING INDEX entries_created",
    Filter(endpoint="e"): "COVERING INDEX entries_created",
}


@pytest.mark.parametrize(("where", "index"), SCANS.items(), ids=repr)
def test_scans_walk_an_index(path: Path, where: Filter, index: str) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    sql, parameters, start = sqlite_filters.page(where)
    plan = store._read(f"EXPLAIN QUERY PLAN {sql}", (*parameters, start[0], *start, 256))
    assert index in plan[0][3]
    # But for the few rows of a long prefix, nothing but rows of one instant needs sorting.
    whole = [
        step[3] for step in plan if "ORDER BY" in step[3] and "RIGHT PART" not in step[3] and "LAST" not in step[3]
    ]
    assert bool(whole) == ("entries_prefix" in index)
    store.close()


@pytest.mark.parametrize(("where", "index"), OTHERS.items(), ids=repr)
def test_totals_and_removals_have_an_index(path: Path, where: Filter, index: str) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    sql, parameters = sqlite_filters.condition(where)
    # What finds the rows, what counts them, and what names them.
    for query in ("id FROM entries", "count(*), sum(size) FROM entries", "DISTINCT group_id FROM entries"):
        plan = store._read(f"EXPLAIN QUERY PLAN SELECT {query} WHERE {sql}", parameters)
        assert index in plan[0][3]
    store.close()


def test_totals_by_name_read_no_entry(path: Path) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    seen: list[str] = []
    read = store._connections.read

    def watched(sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        seen.extend(step[3] for step in read(f"EXPLAIN QUERY PLAN {sql}", parameters))
        return read(sql, parameters)

    store._connections.read = watched
    for where in (Filter(), Filter(provider="openai"), Filter(model="gpt-4o", namespace="default", endpoint="e")):
        store.summary(where)
    assert seen
    assert not any("entries" in step for step in seen)
    store.close()
