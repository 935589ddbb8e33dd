"""Whether anybody has committed to a database since it was last asked: a look at the head of its write-ahead index.

SQLite writes that head, 48 bytes at the beginning of the `-shm` file, at the end of every commit, before any reader can
see what was committed (https://www.sqlite.org/walformat.html, 2.2). As long as it is the same, so is the database.
`PRAGMA data_version` tells the same and takes three times as long.

The file is read through the descriptor that SQLite itself has open. We must not open it: closing a descriptor of ours
would take away the locks that SQLite holds on the file in this process. Where the descriptor cannot be found, nothing
is known, and the pragma tells. It must not be trusted to still be SQLite's: another file's bytes never are the same.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_HEAD: Final = 48
_DESCRIPTORS: Final = Path("/proc/self/fd")


class WalIndex:
    """The index of one database, as this process sees it. Any thread may ask.

    Args:
        path: the `-shm` file.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._descriptor = -1
        self._known: tuple[bytes, int] = b"", 0

    def generation(self) -> int | None:
        """What was noted last, None if somebody has committed since, or nobody knows."""
        head, generation = self._known
        if head and self.head() == head:
            return generation
        return None

    def head(self) -> bytes:
        """The head as it is now; empty if it cannot be read."""
        if self._descriptor < 0:
            return b""
        try:
            return os.pread(self._descriptor, _HEAD, 0)
        except OSError:
            return b""

    def note(self, head: bytes, generation: int) -> None:
        """Remember a generation that was read after `head` was."""
        if len(head) == _HEAD and any(head):
            self._known = head, generation
        self._find()

    def _find(self) -> None:
        """Look for the descriptor, if it is not at hand. The database must be open."""
        try:
            wanted = self._path.stat()
            if not _is(self._descriptor, wanted):
                numbers = (int(each.name) for each in _DESCRIPTORS.iterdir())
                self._descriptor = next((number for number in numbers if _is(number, wanted)), -1)
        except OSError:
            # There is no index, or no way to look for it.
            self._descriptor = -1


def _is(descriptor: int, wanted: os.stat_result) -> bool:
    try:
        found = os.fstat(descriptor)
    except (OSError, OverflowError):
        return False
    return (found.st_ino, found.st_dev) == (wanted.st_ino, wanted.st_dev)
