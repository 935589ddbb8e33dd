"""The right to fetch, among processes that share an SQLite file: a table of who holds which key. It knows no entries.

A lease whose holder has ended is free at once. Its time is for those of whom that cannot be told: on another machine,
in another container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from llm_cache.stores import holders

if TYPE_CHECKING:
    from llm_cache.stores.sqlite_connections import Connections

MIGRATION = (
    # Without a rowid: the key is all that is looked for, and rows come and go within seconds.
    "CREATE TABLE leases (key BLOB PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID",
)
_SELECT = "SELECT holder, until FROM leases WHERE key = ?"


class SqliteLeases:
    """See `Leases`.

    Args:
        read: runs a query and returns all that it finds.
        lease_s: how long a lease lasts that nobody renews.
    """

    def __init__(
        self,
        connections: Connections,
        read: Callable[[str, tuple[object, ...]], list[tuple[Any, ...]]],
        lease_s: float,
    ) -> None:
        self._connections = connections
        self._read = read
        self._lease_s = lease_s

    def take(self, key: bytes, now: float) -> bool:
        """See `Leases`."""
        if self.held(key, now):
            return False
        with self._connections.writing() as channel:
            found = channel.execute(_SELECT, (key,)).fetchone()
            if found is not None and self._holds(found, now):
                return False
            channel.execute(
                "INSERT OR REPLACE INTO leases (key, holder, until) VALUES (?, ?, ?)",
                (key, holders.me(), now + self._lease_s),
            )
        return True

    def held(self, key: bytes, now: float) -> bool:
        """See `Leases`."""
        return any(self._holds(found, now) for found in self._read(_SELECT, (key,)))

    def renew(self, keys: Iterable[bytes], now: float) -> None:
        """See `Leases`."""
        with self._connections.writing() as channel:
            channel.executemany(
                "UPDATE leases SET until = ? WHERE key = ? AND holder = ?",
                [(now + self._lease_s, key, holders.me()) for key in keys],
            )

    def release(self, keys: Iterable[bytes]) -> None:
        """See `Leases`."""
        with self._connections.writing() as channel:
            channel.executemany(
                "DELETE FROM leases WHERE key = ? AND holder = ?", [(key, holders.me()) for key in keys]
            )

    def _holds(self, found: tuple[Any, ...], now: float) -> bool:
        """Whether that is somebody else's, and still good."""
        holder, until = found
        # A time that is too far ahead is another clock's, and would never come.
        live = now < until <= now + 2 * self._lease_s
        return live and holder != holders.me() and not holders.gone(holder)
