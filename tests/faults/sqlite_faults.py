"""What can happen to an SQLite file in use: each done for real, and undone. They test nothing themselves."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from llm_cache import LLMCache

Fault = Callable[[Path], AbstractContextManager[None]]


def _open_files(path: Path) -> list[int]:
    """This process's descriptors of the database and its log."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(link.readlink()).removesuffix(" (deleted)") in {str(path), f"{path}-wal"}:
                found.append(int(link.name))
    return found


@contextmanager
def _another(path: Path, flags: int) -> Iterator[None]:
    """Have every open descriptor fail as a disk does that has gone: in the middle of reading or writing."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files can be found on Linux only")
    poor = os.open(path, flags)
    descriptors = _open_files(path)
    kept = {each: os.dup(each) for each in descriptors if each != poor}
    for each in kept:
        os.dup2(poor, each)
    try:
        yield
    finally:
        for each, good in kept.items():
            # What has been closed since may be another file's by now.
            if each in _open_files(path):
                os.dup2(good, each)
            os.close(good)
        os.close(poor)


def reading_fails(path: Path) -> AbstractContextManager[None]:
    return _another(path, os.O_WRONLY)


def writing_fails(path: Path) -> AbstractContextManager[None]:
    return _another(path, os.O_RDONLY)


@contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """The file is on a file system of its own (see `small_disk`), which somebody fills."""
    filler = path.parent / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of a megabyte."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this user cannot mount a small file system to fill up")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def permission_lost(path: Path) -> Iterator[None]:
    """Nobody may write the files any more, in a way that binds root too where that can be had."""
    files = [file for file in (path, Path(f"{path}-wal")) if file.exists()]
    for file in files:
        file.chmod(0o400)
        if (
            os.access(file, os.W_OK)
            and subprocess.run(["chattr", "+i", file], capture_output=True, check=False).returncode
        ):
            pytest.skip("this user can write everything, and the file system has no immutable files")
    try:
        yield
    finally:
        for file in files:
            subprocess.run(["chattr", "-i", file], capture_output=True, check=False)
            file.chmod(0o600)


@contextmanager
def folder_read_only(path: Path) -> Iterator[None]:
    """Nothing can be made or removed beside the file."""
    path.parent.chmod(0o500)
    bound = not os.access(path.parent, os.W_OK)
    if not bound and subprocess.run(["chattr", "+i", path.parent], capture_output=True, check=False).returncode:
        path.parent.chmod(0o700)
        pytest.skip("this user can write everywhere, and the file system has no immutable folders")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path.parent], capture_output=True, check=False)
        path.parent.chmod(0o700)


@contextmanager
def may_not_grow(path: Path) -> Iterator[None]:
    """As under a quota: no file of this process may become larger than the database and its log are now."""
    most = min(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _other(path: Path) -> Path:
    """Somebody else's cache, whose answers to the same keys are others."""
    other = path.parent / "other.db"
    with LLMCache(database_url=str(other), memory_mb=0) as cache:
        for number in range(3):
            cache.get_or_set(f"strange {number}", lambda: "strange", "openai", "m", "/v1/x", {})
    return other


@contextmanager
def file_replaced(path: Path) -> Iterator[None]:
    _other(path).rename(path)
    yield


@contextmanager
def copied_over(path: Path) -> Iterator[None]:
    """Another file's bytes in place of ours, while ours is open and has a log."""
    other = _other(path)
    shutil.copyfile(other, path)
    other.unlink()
    yield


@contextmanager
def folder_removed(path: Path) -> Iterator[None]:
    shutil.rmtree(path.parent)
    yield


@contextmanager
def folder_becomes_a_file(path: Path) -> Iterator[None]:
    while True:
        shutil.rmtree(path.parent)
        try:
            path.parent.touch(exist_ok=False)
        except FileExistsError:
            continue  # whoever uses the cache has made it anew in between
        break
    try:
        yield
    finally:
        path.parent.unlink()


@contextmanager
def file_removed(path: Path) -> Iterator[None]:
    path.unlink()
    yield


@contextmanager
def _holder(path: Path, *statements: str) -> Iterator[subprocess.Popen[str]]:
    code = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print("held", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, path, *statements], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def lock_held(path: Path) -> Iterator[None]:
    """Another process writes and does not come to an end."""
    with _holder(path, "BEGIN EXCLUSIVE", "DELETE FROM entries"):
        yield


@contextmanager
def holder_paused(path: Path) -> Iterator[None]:
    """The process that holds the lock is stopped, as by a debugger or a machine that is moved."""
    with _holder(path, "BEGIN IMMEDIATE") as process:
        process.send_signal(signal.SIGSTOP)
        yield


@contextmanager
def truncated(path: Path) -> Iterator[None]:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    yield


@contextmanager
def emptied(path: Path) -> Iterator[None]:
    os.truncate(path, 0)
    yield


@contextmanager
def overwritten(path: Path) -> Iterator[None]:
    """Noise from the second page on, in place."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    yield


@contextmanager
def header_overwritten(path: Path) -> Iterator[None]:
    with path.open("r+b") as file:
        file.write(os.urandom(200))
    yield


FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        reading_fails,
        writing_fails,
        permission_lost,
        folder_read_only,
        may_not_grow,
        file_replaced,
        copied_over,
        folder_removed,
        folder_becomes_a_file,
        file_removed,
        lock_held,
        holder_paused,
        truncated,
        emptied,
        overwritten,
        header_overwritten,
    )
}
DAMAGE = {"truncated", "overwritten", "header_overwritten", "copied_over"}
"""Those after which the file may have been set aside."""
