"""Promise 7 (nobody else can read the file) and what may be wrong with a file."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache.errors import StoreBusy, StoreError
from llm_cache.stores.base import EVERYTHING
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.stores.sqlite_schema import MIGRATIONS
from llm_cache.testing import FakeClock
from llm_cache.testing.contract import a_row


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def filled(path: Path, rows: int = 50) -> Path:
    store = SqliteStore(path)
    for number in range(rows):
        store.put(a_row(number, value=os.urandom(2000)))
    store.close()
    return path


def test_construction_touches_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new" / "cache.db")
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_files_and_folders_are_for_the_owner_alone(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        path = tmp_path / "a" / "b" / "cache.db"
        store = SqliteStore(path)
        store.put(a_row(1))
        names = {file.name: mode(file) for file in path.parent.iterdir()}
        assert names == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}
        assert mode(path.parent) == mode(path.parent.parent) == 0o700
        store.close()
    finally:
        os.umask(old_mask)


def test_existing_folders_and_filled_files_are_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = filled(tmp_path / "cache.db")
    path.chmod(0o644)
    store = SqliteStore(path)
    assert store.get(a_row(1).key)
    assert mode(tmp_path) == 0o755
    assert mode(path) == 0o644
    (finding,) = store.check()
    assert "644" in finding
    store.close()


def test_an_empty_file_becomes_a_store_of_the_owner(path: Path) -> None:
    path.touch(0o644)
    filled(path)
    assert mode(path) == 0o600


def test_a_file_too_short_to_be_anything_becomes_a_store(path: Path) -> None:
    path.write_bytes(b"x")
    assert len(list(SqliteStore(filled(path)).scan())) == 50


def test_a_folder_in_place_of_the_file_is_a_store_error(path: Path) -> None:
    path.mkdir()
    store = SqliteStore(path)
    for use in (lambda: store.get(bytes(32)), lambda: store.put(a_row(1)), lambda: list(store.scan())):
        with pytest.raises(StoreError, match=str(path)) as raised:
            use()
        assert not raised.value.damaged
    assert mode(path) & 0o700 == 0o700


def test_a_file_in_place_of_the_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file" / "cache.db")
    with pytest.raises(StoreError):
        store.put(a_row(1))


@pytest.fixture
def frozen(path: Path) -> Path:
    """A file that nobody can write, in a way that binds root too where that can be had."""
    filled(path)
    path.chmod(0o400)
    if os.access(path, os.W_OK) and subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("this user can write everything, and the file system has no immutable files")
    yield path
    subprocess.run(["chattr", "-i", path], capture_output=True, check=False)


def test_a_read_only_file_answers_and_refuses_writes(frozen: Path) -> None:
    store = SqliteStore(frozen)
    assert store.get(a_row(1).key)
    with pytest.raises(StoreError, match="readonly"):
        store.put(a_row(1000))
    assert store.get(a_row(2).key)
    store.close()


GARBAGE = {
    "random": lambda _: os.urandom(10_000),
    "text": lambda _: b"this is no database\n" * 100,
    "zeros": lambda _: bytes(8192),
    "half": lambda good: good[: len(good) // 2],
    "one page": lambda good: good[:4096],
    "a hundred bytes": lambda good: good[:100],
    "header over": lambda good: os.urandom(100) + good[100:],
    "first page over": lambda good: good[:100] + os.urandom(3996) + good[4096:],
    "all but the first page over": lambda good: good[:4096] + os.urandom(len(good) - 4096),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_damaged_file_says_so_and_can_be_set_aside(path: Path, name: str) -> None:
    filled(path)
    path.write_bytes(GARBAGE[name](path.read_bytes()))
    store = SqliteStore(path, read_timeout_ms=50)

    def use() -> None:
        store.put(a_row(1))
        for number in range(50):
            store.get(a_row(number).key)
        assert store.check() == []

    with pytest.raises((StoreError, AssertionError)) as raised:
        use()
    if raised.type is not AssertionError:
        assert str(path) in str(raised.value)
        assert raised.value.damaged
    kept = path.read_bytes()
    moved = store.set_aside(1_700_000_000)
    assert moved == f"{path}.damaged-20231114T221320Z"
    assert Path(moved).read_bytes() == kept
    assert not path.exists()
    store.put(a_row(1))
    assert store.get(a_row(1).key) == a_row(1)
    assert store.check() == []
    store.close()


USES = {
    "get": lambda store: [store.get(a_row(number).key) for number in range(40)],
    "scan": lambda store: list(store.scan()),
    "summary": lambda store: store.summary(),
    "put": lambda store: store.put(a_row(100)),
    "remove": lambda store: store.remove(EVERYTHING),
    "check": lambda store: store.check(),
}


def test_every_page_of_a_file_may_be_damaged(path: Path) -> None:
    good, failed = filled(path, 40).read_bytes(), set()
    for page in range(len(good) // 4096):
        broken = bytearray(good)
        broken[page * 4096 + 8 : page * 4096 + 200] = os.urandom(192)
        path.write_bytes(broken)
        store = SqliteStore(path)
        for name, use in USES.items():
            try:
                use(store)
            except StoreError as error:
                failed.add((name, str(path) in str(error)))
        store.close()
    assert {("get", True), ("put", True), ("scan", True)} <= failed
    assert all(named for _, named in failed)


def test_setting_aside_spares_what_another_process_has_begun(path: Path) -> None:
    path.write_bytes(os.urandom(5000))
    clock = FakeClock()
    one, two = SqliteStore(path, clock=clock), SqliteStore(path, clock=clock)
    for store in (one, two):
        with pytest.raises(StoreError):
            store.get(bytes(32))
    assert two.set_aside(5.0)
    two.put(a_row(1))
    assert one.set_aside(5.0) is None
    assert one.get(a_row(1).key) == a_row(1)
    # Nor is anything moved that is not damaged.
    assert one.set_aside(5.0) is None
    one.close()
    two.close()
    path.write_bytes(os.urandom(5000))
    three = SqliteStore(path)
    with pytest.raises(StoreError):
        three.put(a_row(2))
    assert three.set_aside(5.0)
    assert three.set_aside(5.0) is None
    assert len(list(path.parent.glob("*.damaged-*-1"))) == 1
    three.close()


def test_truncation_under_an_open_store_is_an_error_not_a_signal(path: Path) -> None:
    code = """
import os, sys
from llm_cache.errors import StoreError
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract import a_row
store = SqliteStore(sys.argv[1])
for number in range(3000):
    store.put(a_row(number, value=bytes(3000)))
assert store.get(a_row(1).key)
os.truncate(sys.argv[1], 20_000)
failed = 0
for number in range(0, 3000, 50):
    try:
        store.get(a_row(number).key)
    except StoreError:
        failed += 1
assert failed
try:
    store.put(a_row(1))
except StoreError:
    pass
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert done.stdout == "alive\n", done.stderr


@pytest.mark.parametrize("tail", [("-wal", "-shm"), ("",), ("", "-wal", "-shm")])
def test_a_file_that_is_taken_away_is_made_anew(path: Path, tail: tuple[str, ...]) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    for part in tail:
        Path(f"{path}{part}").unlink()
    if "" not in tail:
        store.close()
        return
    store.put(a_row(2))
    other = SqliteStore(path)
    assert other.get(a_row(2).key) == a_row(2)
    assert store.get(a_row(2).key) == a_row(2)
    assert store.get(a_row(1).key) is None
    assert other.check() == []
    store.close()
    other.close()


def test_a_newer_file_is_refused_in_one_sentence_and_not_damaged(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="newer version of llm-cache") as raised:
        store.get(bytes(32))
    assert not raised.value.damaged


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="another program") as raised:
        store.put(a_row(1))
    assert not raised.value.damaged
    store.close()
    assert path.read_bytes() == before


def test_a_locked_file_is_busy_at_once_for_readers(path: Path) -> None:
    filled(path)
    store = SqliteStore(path, read_timeout_ms=30, write_timeout_ms=60)
    assert store.get(a_row(1).key)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    # A writer disturbs no reader.
    assert store.get(a_row(1).key)
    with pytest.raises(StoreBusy, match="locked"):
        store.put(a_row(1))
    other.execute("ROLLBACK")
    store.put(a_row(1))
    store.close()
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("DELETE FROM entries")
    store = SqliteStore(path, read_timeout_ms=30, write_timeout_ms=60)
    with pytest.raises(StoreBusy, match="locked"):
        store.get(a_row(1).key)
    with pytest.raises(StoreBusy, match="locked"):
        store.put(a_row(1))
    other.close()
    store.close()


def test_opening_is_tried_again_once_a_second(path: Path) -> None:
    clock = FakeClock()
    path.mkdir()
    store = SqliteStore(path, clock=clock)
    with pytest.raises(StoreError):
        store.get(bytes(32))
    path.rmdir()
    with pytest.raises(StoreError):
        store.get(bytes(32))
    clock.advance(1.0)
    assert store.get(bytes(32)) is None
    store.close()


def test_an_unusable_value_is_a_store_error_and_leaves_the_store_usable(path: Path) -> None:
    store = SqliteStore(path)
    for bad in (
        a_row(1, model="\ud800"),
        a_row(1, input_tokens=2**64),
        a_row(1, created_at=float("nan")),
    ):
        with pytest.raises(StoreError):
            store.put(bad)
    store.put(a_row(1))
    assert list(store.scan()) == [a_row(1)]
    store.close()


def test_links_and_changes_of_folder_lead_to_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "cache.db")
    monkeypatch.chdir(tmp_path)
    store, linked = SqliteStore("real/cache.db"), SqliteStore("link.db")
    monkeypatch.chdir("/")
    store.put(a_row(1))
    assert linked.get(a_row(1).key) == a_row(1)
    assert store.location() == linked.location() == str(tmp_path / "real" / "cache.db")
    store.close()
    linked.close()


def test_odd_characters_in_paths(tmp_path: Path) -> None:
    path = tmp_path / "100% #1? ü &mode=ro"
    filled(path)
    assert path.exists()
    assert len(list(SqliteStore(path).scan())) == 50
