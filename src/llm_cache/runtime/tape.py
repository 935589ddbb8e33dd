"""The chunks of a fetch in progress, and who has read how far. No locks, no I/O.

A flight keeps one; the flight's own lock or loop makes it safe.
"""

from __future__ import annotations

from itertools import count


class Tape:
    """Chunks in order, with seats that each read all of them from the first.

    Args:
        limit: bytes kept for the slowest reader; past it nobody may take a new seat, because the
            first chunks are dropped as soon as all have read them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._first = 0
        self._size = 0
        self._seats: dict[int, int] = {}
        self._numbers = count()
        self.whole = True
        """Whether every chunk since the first is still here."""

    @property
    def seats(self) -> int:
        """How many are reading."""
        return len(self._seats)

    @property
    def begun(self) -> bool:
        """Whether there has been a chunk."""
        return self._first > 0 or bool(self._chunks)

    @property
    def crowded(self) -> bool:
        """Whether more is kept for the slowest than the limit."""
        return self._size > self._limit

    def sit(self) -> int | None:
        """A seat at the beginning; None if the beginning is not here any more."""
        if not self.whole:
            return None
        number = next(self._numbers)
        self._seats[number] = 0
        return number

    def taken(self, seat: int) -> bool:
        """Whether somebody still reads there."""
        return seat in self._seats

    def leave(self, seat: int) -> bool:
        """Give a seat up; True if it was taken and now nobody is left."""
        if self._seats.pop(seat, None) is None:
            return False
        self._trim()
        return not self._seats

    def add(self, data: bytes) -> None:
        """One more chunk."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > self._limit:
            self.whole = False
            self._trim()

    def ready(self, seat: int) -> bool:
        """Whether there is a chunk for that seat."""
        return self._seats.get(seat, 0) - self._first < len(self._chunks)

    def next(self, seat: int) -> bytes | None:
        """The next chunk of that seat, or None if it is not here yet."""
        at = self._seats.get(seat)
        if at is None or at - self._first >= len(self._chunks):
            return None
        data = self._chunks[at - self._first]
        self._seats[seat] = at + 1
        if not self.whole:
            self._trim()
        return data

    def _trim(self) -> None:
        if self.whole or not self._seats:
            return
        slowest = min(self._seats.values())
        gone = slowest - self._first
        if gone > 0:
            self._size -= sum(map(len, self._chunks[:gone]))
            del self._chunks[:gone]
            self._first = slowest
