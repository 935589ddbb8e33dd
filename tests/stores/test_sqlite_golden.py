"""Every schema ever released stays readable."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from llm_cache.stores.base import Filter
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.stores.sqlite_schema import MIGRATIONS
from llm_cache.stores.worth import rank_of
from llm_cache.testing.contract import a_row
from tests.stores.golden_files import FOLDER, SUMS, expected, write

FILES = sorted(FOLDER.glob("schema-*.db"))
SECRETS = {"schema-1.db": "70c7516e7d265db0f16f47235b3c8ddbf781cb0d2b828c848c1b5437cec53dd0"}


def test_there_is_a_file_of_every_schema() -> None:
    assert [file.stem for file in FILES] == [f"schema-{number + 1}" for number in range(len(MIGRATIONS))]


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copy = Path(shutil.copyfile(request.param, tmp_path / request.param.name))
    copy.chmod(0o600)
    return copy


def test_an_old_file_is_read_whole_and_goes_on(old: Path) -> None:
    store = SqliteStore(old)
    rows = expected()
    assert list(store.scan()) == rows
    assert [store.get(row.key) for row in rows] == rows
    assert store.sums() == SUMS
    assert store.secret("scope").hex() == SECRETS.get(old.name, store.secret("scope").hex())
    for where in (Filter(), Filter(provider="anthropic"), Filter(model="b", created_since=1_700_000_009.0)):
        found = [row for row in rows if where.matches(row)]
        summary = store.summary(where)
        assert (summary.entries, summary.size_bytes) == (len(found), sum(len(row.value) for row in found))
        assert summary.models == tuple(sorted({row.model for row in found}))
    ranks = store._read("SELECT key, rank FROM entries")
    assert dict(ranks) == {row.key: pytest.approx(rank_of(row)) for row in rows}
    assert store.check() == []
    generation = store.generation()
    store.put(rows[3])
    assert store.generation() > generation
    assert store.remove(Filter(model="a")) == sum(row.model == "a" for row in rows)
    while store.shrink(40_000, 1.0).more:
        pass
    store.compact()
    assert store.check() == []
    store.close()
    # Since it was compacted it gives room back by itself.
    with sqlite3.connect(old) as raw:
        assert raw.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert raw.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    raw.close()


def test_an_old_file_and_a_new_one_are_the_same_inside(old: Path, tmp_path: Path) -> None:
    write(tmp_path / "new.db")
    schemas = []
    for path in (old, tmp_path / "new.db"):
        store = SqliteStore(path)
        store.put(a_row(1))
        schemas.append(store._read("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"))
        store.close()
    assert schemas[0] == schemas[1]
