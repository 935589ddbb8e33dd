"""Files under an SQLite store: made, opened and moved aside. It must not know what they hold, nor who uses them."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import time
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
"""What is mounted where, as Linux tells it; elsewhere nobody can be asked."""
LOG_PAGES = 1000
"""After how many pages the log is written back into the file: SQLite's own choice, 4 MB."""
_LOG_KEPT_BYTES = 16 << 20
_POLL_S = 0.01
# The log's index is memory that all users of the file share, which those of two hosts do not:
# https://sqlite.org/wal.html, "All processes using a database must be on the same host computer".
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|lustre|gpfs|glusterfs|beegfs|ocfs2|gfs2|ncpfs|davfs|vboxsf|prl_fs"
    r"|fuse\.(sshfs|glusterfs|ceph|s3fs|rclone|davfs2?|smbnetfs|gvfsd-fuse|juicefs|mfs|moosefs)"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


_OPENING_S = 0.05


def network_of(path: Path) -> str | None:
    """The kind of network file system that a file is on, None if it is on none or nobody knows."""
    try:
        lines = MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    found = "", ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[1])
        # The longest wins, and of the same place what was mounted last.
        if len(place) >= len(found[0]) and path.is_relative_to(place):
            found = place, fields[2]
    return found[1] if _NETWORK.fullmatch(found[1]) else None


def keep_log(connection: sqlite3.Connection, path: Path, timeout_s: float) -> str:
    """Have SQLite keep a write-ahead log if the file system can carry one; else why not."""
    network = network_of(path)
    wanted, mode = "delete" if network else "wal", ""
    while not mode:
        try:
            mode = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0]
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself, to avoid deadlocks between those who all want to change it.
            if "locked" not in str(error) or timeout_s <= 0:
                raise
            time.sleep(_POLL_S)
            timeout_s -= _POLL_S
    if network:
        return f"{path.parent} is on a network file system ({network})"
    return "" if mode == "wal" else f"{path.parent} is on a file system that shares no memory"


def log_bounds(pages: int) -> tuple[str, str]:
    """When the log is written back, and to what size it is cut then: one large answer may have made it longer."""
    kept = _LOG_KEPT_BYTES if pages == LOG_PAGES else pages * 4096
    return f"PRAGMA wal_autocheckpoint = {pages}", f"PRAGMA journal_size_limit = {kept}"


def size(path: str) -> int:
    """Bytes, 0 if it is not there."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - half the price of `Path.stat`, and every save asks
    except OSError:
        return 0


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


def connect_to_read(path: Path, timeout_s: float, *, log_kept: bool) -> sqlite3.Connection:
    """A connection for reading. With a write-ahead log it waits for nobody, except while it is opened.

    Whoever opens or closes a file first or last holds it alone for a moment; a lookup that met this would be a miss.
    """
    if not log_kept:
        return connect(path, timeout_s)
    connection = connect(path, min(_OPENING_S, timeout_s))
    try:
        connection.execute("PRAGMA query_only = 1").execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        connection.execute("PRAGMA busy_timeout = 0")
    except BaseException:
        connection.close()
        raise
    return connection
