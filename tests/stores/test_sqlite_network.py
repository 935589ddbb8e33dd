"""A file system of another computer gets another journal, and one warning; everything works there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache.stores import sqlite_files
from llm_cache.stores.base import Filter
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract import a_row


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of mounts of our own, since no test can mount a server."""
    table = tmp_path / "mounts"
    table.write_text("/dev/root / ext4 rw 0 0\n")
    monkeypatch.setattr(sqlite_files, "MOUNTS", table)
    return table


def mounted(mounts: Path, place: Path, kind: str) -> None:
    with mounts.open("a") as table:
        table.write(f"server:/x {str(place).replace(' ', chr(92) + '040')} {kind} rw 0 0\n")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"])
def test_files_of_another_computer_are_told(mounts: Path, tmp_path: Path, kind: str) -> None:
    mounted(mounts, tmp_path / "with space", kind)
    assert sqlite_files.network_of(tmp_path / "with space" / "cache.db") == kind
    assert sqlite_files.network_of(tmp_path / "with space2" / "cache.db") is None
    assert sqlite_files.network_of(tmp_path / "cache.db") is None


def test_what_is_mounted_nearest_and_last_counts(mounts: Path, tmp_path: Path) -> None:
    mounted(mounts, tmp_path / "a", "nfs")
    mounted(mounts, tmp_path / "a" / "b", "ext4")
    assert sqlite_files.network_of(tmp_path / "a" / "x" / "cache.db") == "nfs"
    assert sqlite_files.network_of(tmp_path / "a" / "b" / "cache.db") is None
    mounted(mounts, tmp_path / "a", "tmpfs")
    assert sqlite_files.network_of(tmp_path / "a" / "x" / "cache.db") is None


def test_without_a_table_of_mounts_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sqlite_files, "MOUNTS", tmp_path / "none")
    assert sqlite_files.network_of(tmp_path / "cache.db") is None


def test_a_store_there_works_without_a_log_and_warns_once(
    mounts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.db"
    local = SqliteStore(path)
    local.put(a_row(1))
    local.close()
    mounted(mounts, tmp_path, "nfs4")
    store, other = SqliteStore(path), SqliteStore(path)
    # One that was made with a log, too.
    assert store.get(a_row(1).key) == a_row(1)
    for number in range(2, 30):
        store.put(a_row(number))
        assert other.get(a_row(number).key) == a_row(number)
    assert store.remove(Filter(created_before=a_row(10).created_at)) == 9
    assert other.summary().entries == 20
    assert not Path(f"{path}-wal").exists()
    assert store._read("PRAGMA journal_mode") == [("delete",)]
    store._connections.drop()
    assert store.get(a_row(12).key) == a_row(12)
    store.close()
    other.close()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2  # one of each store
    assert "network file system (nfs4)" in messages[0]
    assert str(path) in messages[0]


def test_processes_share_a_file_there(mounts: Path, tmp_path: Path) -> None:
    mounted(mounts, tmp_path, "cifs")
    code = f"""
import sys
from pathlib import Path
from llm_cache.stores import sqlite_files
sqlite_files.MOUNTS = Path({str(mounts)!r})
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract import a_row
store = SqliteStore(sys.argv[1], read_timeout_ms=20_000, write_timeout_ms=20_000)
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 30):
    store.put(a_row(number))
    assert store.get(a_row(number).key) == a_row(number)
"""
    path = tmp_path / "cache.db"
    crowd = [subprocess.Popen([sys.executable, "-c", code, path, str(first)]) for first in (0, 100, 200)]
    assert [process.wait(60) for process in crowd] == [0, 0, 0]
    store = SqliteStore(path)
    assert store.summary().entries == 90
    assert store.check() == []
    store.close()


def test_this_machine_is_asked_rightly() -> None:
    if not sqlite_files.MOUNTS.exists():
        pytest.skip("this system has no table of mounts")
    kinds = {line.split(" ")[2] for line in sqlite_files.MOUNTS.read_text().splitlines()}
    assert sqlite_files.network_of(Path("/proc/self/x")) is None
    assert kinds
