"""Promise 5 (a kill loses nothing) and one file shared by processes, threads and forked children."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_cache.errors import StoreError
from llm_cache.stores import sqlite_connections
from llm_cache.stores.base import EVERYTHING
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract import a_row
from tests.stores.filling import fill

PREAMBLE = """
import os, sys, threading
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract import a_row
store = SqliteStore(sys.argv[1], write_timeout_ms=30_000)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def killed_rounds(path: Path, rounds: int) -> None:
    """Each round a process says what it has put, and is killed in the middle of the next."""
    code = """
number = int(sys.argv[2])
while True:
    store.put(a_row(number, value=bytes([number % 256]) * (number * 37 % 50_000)))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""
    number, survivors = 0, SqliteStore(path)
    for turn in range(rounds):
        process = start(code, path, number)
        last = number - 1
        for line in process.stdout:
            last = int(line)
            if last - number >= turn * 7 % 40:
                break
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        last = max([last, *map(int, rest)])
        for kept in range(number, last + 1):
            found = survivors.get(a_row(kept).key)
            assert found is not None, f"row {kept} of round {turn} is lost"
            assert found.value == bytes([kept % 256]) * (kept * 37 % 50_000)
        assert survivors.check() == []
        number = last + 2
    survivors.close()


def test_a_kill_after_put_loses_nothing(path: Path) -> None:
    killed_rounds(path, 20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_after_put_loses_nothing_many_times(path: Path) -> None:
    killed_rounds(path, 400)


def test_many_processes_begin_at_once_without_a_file(path: Path) -> None:
    code = """
number = int(sys.argv[2])
for turn in range(30):
    store.put(a_row(number * 1000 + turn))
    store.add({("all",): {"n": 1}})
print(store.secret("scope").hex())
"""
    processes = [start(code, path, number) for number in range(8)]
    secrets = {process.communicate(timeout=50)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 8
    assert len(secrets) == 1
    store = SqliteStore(path)
    assert store.summary().entries == 240
    assert store.sums() == {("all",): {"n": 240}}
    assert store.check() == []
    store.close()


def test_a_writer_gets_its_turn_while_another_removes(path: Path) -> None:
    store = SqliteStore(path)
    fill(store, map(a_row, range(30_000)))
    other, worst, stop = SqliteStore(path), 0.0, threading.Event()
    removing = threading.Thread(target=lambda: (store.remove(EVERYTHING), stop.set()))
    removing.start()
    number, puts = 100_000, 0
    while not stop.is_set():
        begun = time.monotonic()
        other.put(a_row(number + puts, created_at=0.0))
        worst, puts = max(worst, time.monotonic() - begun), puts + 1
    removing.join()
    assert puts >= 3
    assert worst < 2.0
    store.close()
    other.close()


def in_child(work: Callable[[], object]) -> str:
    """What a forked child says of the work."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        # A child that hangs may not hang the test.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try:
            said = repr(work())
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def locks(path: Path) -> int:
    """How many locks this process holds on the file, asked of the system."""
    inode = path.stat().st_ino
    return sum(
        f" {os.getpid()} " in line and f":{inode} " in line for line in Path("/proc/locks").read_text().split("\n")
    )


def test_a_forked_child_has_connections_of_its_own(path: Path) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))

    def work() -> object:
        found = store.get(a_row(1).key) == a_row(1)
        store.put(a_row(2))
        # A connection made before the fork would hold none, and the parent could remove the log under the child.
        return found, locks(path) > 0 if Path("/proc/locks").exists() else True

    assert in_child(work) == "(True, True)"
    assert store.get(a_row(2).key) == a_row(2)
    store.put(a_row(3))
    assert store.summary().entries == 3
    store.close()


def test_what_a_child_writes_after_its_parent_has_closed_is_kept(path: Path) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try:
            store.get(a_row(1).key)
            os.read(reader, 1)
            store.put(a_row(2))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    store.close()
    os.write(writer, b"x")
    os.waitpid(child, 0)
    other = SqliteStore(path)
    assert other.get(a_row(2).key) == a_row(2)
    other.close()
    os.close(reader)
    os.close(writer)


def test_forks_while_threads_read_and_write(path: Path) -> None:
    store, stop, errors = SqliteStore(path), threading.Event(), []

    def work(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            try:
                store.put(a_row(number * 100_000 + turn))
                assert store.get(a_row(number * 100_000 + turn).key) is not None
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    try:
        said = {in_child(lambda: (store.put(a_row(7)), store.get(a_row(7).key) == a_row(7))[1]) for _ in range(15)}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert said == {"True"}
    assert errors == []
    assert store.check() == []
    store.close()


def test_a_fork_that_python_hears_of_too_late_is_survived(path: Path) -> None:
    # Servers written in C fork by themselves and run only what comes after, in the child.
    store = SqliteStore(path)
    store.put(a_row(1))
    connections = store._connections
    before = len(sqlite_connections._forgotten)
    connections.after_fork(child=True)
    assert len(sqlite_connections._forgotten) == before + 1
    assert store.get(a_row(1).key) == a_row(1)
    store.close()
    while len(sqlite_connections._forgotten) > before:
        sqlite_connections._forgotten.pop().close()


def test_threads_that_end_leave_no_connection_behind(path: Path) -> None:
    store = SqliteStore(path)
    store.put(a_row(1))
    for _ in range(30):
        thread = threading.Thread(target=store.get, args=(a_row(1).key,))
        thread.start()
        thread.join()
    assert len(store._connections._channels) <= 3
    store.close()


def test_a_lookup_leaves_no_transaction_behind(path: Path) -> None:
    store, other = SqliteStore(path), SqliteStore(path)
    for number in range(20):
        store.put(a_row(number))
    assert store.get(a_row(1).key)
    scan = store.scan()
    next(scan)
    other.put(a_row(30))
    # A reader that still stood in the log would keep it from being folded in whole.
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    raw.close()
    assert len(list(scan)) == 19
    store.close()
    other.close()


def test_closing_while_others_work_ends_in_store_errors_only(path: Path) -> None:
    def work(store: SqliteStore, errors: list[BaseException]) -> None:
        try:
            for turn in range(100_000):
                store.put(a_row(turn % 5))
                store.get(a_row(turn % 5).key)
        except BaseException as error:
            errors.append(error)

    for _ in range(10):
        store, errors = SqliteStore(path), []
        threads = [threading.Thread(target=work, args=(store, errors)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.02)
        store.close()
        for thread in threads:
            thread.join(20)
        assert [type(error) for error in errors] == [StoreError] * 3
    last = SqliteStore(path)
    assert last.check() == []
    last.close()
