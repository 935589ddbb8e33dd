"""Counts what the fake upstream was asked and what became of it. It must not decide anything.

Written by the server's thread, read and awaited by tests in theirs.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from llm_cache.testing.matching import nearness

if TYPE_CHECKING:
    from llm_cache.testing.reply import Received


class Journal:
    """Every attribute is read and written under `changed`, which is notified of every change."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.requests: list[Received] = []
        self.connections = 0
        self.open_connections = 0
        self.in_flight = 0
        self.held = 0
        self.aborted = 0
        self.handler_errors: list[BaseException] = []
        self._volume = 0
        self._serial = 0

    def reset(self) -> None:
        """Begin a new volume: what has ended is forgotten, what is open is still counted."""
        with self.changed:
            self.requests.clear()
            self.connections = self.aborted = 0
            self.handler_errors.clear()
            self._volume += 1
            self.changed.notify_all()

    def count(self, path: str | None) -> int:
        """How many requests came to this path (see `matching.nearness`); to any if None."""
        with self.changed:
            return sum(path is None or nearness(path, received.target) is not None for received in self.requests)

    def connected(self) -> int:
        """A connection was accepted; returns its number."""
        with self.changed:
            self.connections += 1
            self.open_connections += 1
            self._serial += 1
            self.changed.notify_all()
            return self._serial

    def disconnected(self) -> None:
        """A connection is gone, whoever closed it."""
        with self.changed:
            self.open_connections -= 1
            self.changed.notify_all()

    def begin(self, received: Received) -> Ticket:
        """A request is here; its ticket tells of its end."""
        with self.changed:
            self.requests.append(received)
            self.in_flight += 1
            self.changed.notify_all()
            return Ticket(self, self._volume)

    def end(self, volume: int, *, aborted: bool) -> None:
        """A request of that volume has had its answer, or will not get it."""
        with self.changed:
            self.in_flight -= 1
            if aborted and volume == self._volume:
                self.aborted += 1
            self.changed.notify_all()

    def hold(self, change: int) -> None:
        """So many replies more (or fewer) wait at a gate."""
        with self.changed:
            self.held += change
            self.changed.notify_all()

    def handler_failed(self, error: BaseException) -> None:
        """A handler of the test raised."""
        with self.changed:
            self.handler_errors.append(error)
            self.changed.notify_all()


class Ticket:
    """One request in flight; it ends once, however often it is told to."""

    def __init__(self, journal: Journal, volume: int) -> None:
        self._journal = journal
        self._volume = volume
        self._ended = False

    def end(self, *, aborted: bool = False) -> None:
        """The request is over; `aborted` if its client did not wait for the whole answer."""
        if not self._ended:
            self._ended = True
            self._journal.end(self._volume, aborted=aborted)
