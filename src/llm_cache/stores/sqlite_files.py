"""Files under an SQLite store: made, opened and moved aside. It must not know what they hold, nor who uses them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path


def move_aside(path: Path, suffix: str) -> Path:
    """Rename a file, its log and its index; the new name of the file.

    Raises:
        OSError: it cannot be renamed, or is not there.
    """
    target, number = Path(f"{path}{suffix}"), 1
    while target.exists():
        target, number = Path(f"{path}{suffix}-{number}"), number + 1
    # The file itself last: a new one must not find an old log.
    for part in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{part}").rename(f"{target}{part}")
    return target


def identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - half the price of `Path.stat`, and every write pays it
    return status.st_dev, status.st_ino


def make(path: Path) -> None:
    """Make the file, and the folders that lead to it, for nobody but the owner. What is there stays as it is."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    # Never open a file that exists: closing it again would drop this process's SQLite locks on it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        return
    status = path.stat()
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        # An empty file is a new one, whoever made it.
        with contextlib.suppress(PermissionError):
            path.chmod(0o600)


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    # As a URI, which can say that SQLite must not create a file: it would be readable for others.
    name = path.as_posix().replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(
        f"file:{name if name.startswith('/') else '/' + name}?mode=rw",
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
