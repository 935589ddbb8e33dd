"""Every schema ever released stays readable."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from llm_cache import LLMCache
from llm_cache.errors import StoreBusy
from llm_cache.stores import sqlite_schema, sqlite_upgrade
from llm_cache.stores.base import Filter
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.stores.sqlite_filters import condition
from llm_cache.stores.sqlite_schema import MIGRATIONS, SELECT_ID, SELECT_ROW, TOUCH
from llm_cache.stores.worth import rank_of
from llm_cache.testing.contract import a_row
from tests.runtime.staging import settled
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


@pytest.mark.parametrize("compacted", [False, True])
def test_keys_have_an_index_in_every_file(old: Path, compacted: bool) -> None:
    store = SqliteStore(old)
    store.get(bytes(32))
    if compacted:
        store.compact()
        # To explain a statement SQLite does not look whether the file has changed; to run it, it does.
        store.close()
        store = SqliteStore(old)
    name = "entries_key (key=?" if old.stem == "schema-4" and not compacted else "entries_prefix (<expr>=?"
    keys = (bytes(32), bytes(32))
    for sql, parameters in ((SELECT_ROW, keys), (SELECT_ID, keys), (TOUCH, (1, 1.0, 1.0, 1.0, *keys))):
        ((*_, plan),) = store._read(f"EXPLAIN QUERY PLAN {sql}", parameters)
        assert name in plan
    for prefix in ("abc", "f" * 64):
        terms, given = condition(Filter(key_prefix=prefix))
        ((*_, plan),) = store._read(f"EXPLAIN QUERY PLAN SELECT id FROM entries WHERE {terms}", given)
        assert name[:12] in plan
    store.close()


def test_a_large_old_file_is_brought_up_to_date_behind_the_calls(
    old: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if old.stem not in {"schema-1", "schema-2"}:
        pytest.skip("needs no rewriting")
    monkeypatch.setattr(sqlite_upgrade, "AT_ONCE_PAGES", 0)
    goes_on = threading.Event()
    migrate = sqlite_schema.migrate
    monkeypatch.setattr(sqlite_schema, "migrate", lambda *given: goes_on.wait(20) and migrate(*given))
    with LLMCache(database_url=str(old), memory_mb=0) as cache:
        for number in range(3):
            assert cache.get_or_set(f"key {number}", lambda: "fetched", "openai", "m", "/v1/x", {}) == "fetched"
        with pytest.raises(StoreBusy, match="is being brought up to date"):
            cache.engine.store.summary()
        goes_on.set()
        settled(lambda: cache.get_or_set("key", lambda: "kept", "openai", "m", "/v1/x", {}) and cache.get("key"))
        assert cache.engine.store.get(expected()[5].key) == expected()[5]
        assert cache.check() == []
    # Whoever has it open as it was is told; nobody else says a word.
    assert not [record for record in caplog.records if "brought up" in record.getMessage() and record.exc_info]


def test_an_old_file_and_a_new_one_are_the_same_inside(old: Path, tmp_path: Path) -> None:
    write(tmp_path / "new.db")
    schemas = []
    for path in (old, tmp_path / "new.db"):
        store = SqliteStore(path)
        store.put(a_row(1))
        # An index that would take seconds to replace comes with this.
        store.compact()
        schemas.append(store._read("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"))
        store.close()
    assert schemas[0] == schemas[1]
