"""The look at the write-ahead index sees every commit, by whomever, and in doubt it knows nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache.stores.base import EVERYTHING
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract_rows import a_row

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc: the pragma tells")


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(str(tmp_path / "cache.db"))
    store.put(a_row(1))
    yield store
    store.close()


def known(store):
    for _ in range(3):
        store.generation()
    return store._index.generation()


def test_it_is_known_until_somebody_commits(store):
    before = known(store)
    assert before is not None
    store.put(a_row(2))
    assert store._index.generation() is None
    # A new row does not move the generation.
    assert store.generation() == before == known(store)
    store.remove(EVERYTHING)
    assert store.generation() > before


def test_commits_of_other_processes_are_seen(store, tmp_path):
    before = known(store)
    code = (
        "import sys; from llm_cache.stores.sqlite import SqliteStore; from llm_cache.stores.base import EVERYTHING;"
        "store = SqliteStore(sys.argv[1]); print(store.remove(EVERYTHING)); store.close()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "cache.db")], capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert store.generation() > before


def test_each_of_a_thousand_commits_is_seen(store, tmp_path):
    other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    other.execute("CREATE TABLE counted (number INTEGER)")
    for number in range(1000):
        assert known(store) is not None
        other.execute("INSERT INTO counted VALUES (?)", (number,))
        assert store._index.generation() is None
    other.close()


def test_a_closed_store_knows_nothing(store):
    assert known(store) is not None
    store.close()
    assert store._index.generation() is None


def test_a_descriptor_that_is_another_files_by_now_is_found_out(store, tmp_path):
    before = known(store)
    with (tmp_path / "other").open("w+b") as other:
        other.write(bytes(100))
        other.flush()
        store._index._descriptor = other.fileno()
        assert store._index.generation() is None
        assert store.generation() == before
        assert store._index._descriptor != other.fileno()
        assert known(store) == before
