"""One connection to an SQLite file, and what is remembered of what was read through it. It must not open anything."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import Any

_NAMES_KEPT = 10_000


class Channel:
    """A connection with the one cursor that is used on it; the lock is held during every use."""

    __slots__ = (
        "__weakref__",
        "closed",
        "connection",
        "execute",
        "executemany",
        "generation",
        "identity",
        "lock",
        "names",
        "version",
    )

    def __init__(self, connection: sqlite3.Connection, identity: tuple[int, int] | None) -> None:
        cursor = connection.cursor()
        self.identity = identity
        """Of the file that it is connected with; another may have taken that one's name."""
        self.connection = connection
        self.execute = cursor.execute
        self.executemany = cursor.executemany
        self.lock = threading.Lock()
        self.closed = False
        self.version: int | None = None
        """What SQLite counts other connections' commits by, when `generation` was read."""
        self.generation = 0
        self.names: dict[int, tuple[Any, ...]] = {}
        """What rows of a group have in common. Groups do not change."""

    def see(self, generation: int) -> None:
        """Take note of the generation. Another file in place of ours has another one, and groups of its own."""
        if generation != self.generation:
            self.names.clear()
        self.generation = generation

    def remember(self, group: int, names: tuple[Any, ...]) -> tuple[Any, ...]:
        """The names, which the next row of the group finds; of so many groups, as each call may have one of its own."""
        if len(self.names) >= _NAMES_KEPT:
            self.names.clear()
        self.names[group] = names
        return names

    def in_transaction(self) -> bool:
        return self.connection.in_transaction

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    def __del__(self) -> None:
        # The thread that it belonged to has ended.
        self.close()
