"""Who is fetching what in this process: at most one flight a key, whatever domain it flies in.

A domain is all sync threads together, or one event loop. It starts and waits for nothing.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from llm_cache.core.effects import Claimed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_CONVOY_S = 5.0
"""How long nobody waits on a key after its fetch was answered with an error."""


class Fetch:
    """A fetch by this very context, while its head is awaited.

    Attributes:
        key: what is being fetched; a call for it from inside would wait for itself.
        outer: the fetch that this one is part of.
        nested: whether another layer of the cache took part, which then counts the money.
    """

    __slots__ = ("key", "nested", "outer")

    def __init__(self, key: str, outer: Fetch | None) -> None:
        self.key = key
        self.outer = outer
        self.nested = False


_fetch: ContextVar[Fetch | None] = ContextVar("llm_cache_fetch", default=None)


@contextmanager
def fetching(key: str) -> Iterator[Fetch]:
    """Mark that this context awaits the head of a fetch."""
    outer = _fetch.get()
    if outer is not None:
        outer.nested = True
    fetch = Fetch(key, outer)
    token = _fetch.set(fetch)
    try:
        yield fetch
    finally:
        _fetch.reset(token)


def within(key: str) -> bool:
    """Whether this call is made inside a fetch of that same key."""
    fetch = _fetch.get()
    while fetch is not None:
        if fetch.key == key:
            return True
        fetch = fetch.outer
    return False


def note_inner() -> None:
    """A layer of the cache has answered a call made inside a fetch."""
    fetch = _fetch.get()
    if fetch is not None:
        fetch.nested = True


class Flight(Protocol):
    """What the registry needs to know of a fetch in progress."""

    domain: object

    @property
    def joinable(self) -> bool:
        """Whether somebody else may still read the reply from its beginning."""
        ...

    @property
    def stranded(self) -> bool:
        """Whether nothing will ever move it again (its event loop has closed)."""
        ...

    def sit(self) -> int:
        """Take a seat; the flight lasts at least until it is given up."""
        ...


class Flights:
    """The fetches of one store in this process."""

    def __init__(self) -> None:
        self._aloft: dict[str, Flight] = {}
        self._failed_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def claim(
        self, key: str, domain: object, make: Callable[[], Flight], now: float
    ) -> tuple[Claimed, Flight | None, int]:
        """Lead a new flight that `make` makes, or take a seat in the one there is.

        `now` is monotonic seconds. Answers who fetches, the flight, and the seat.
        """
        with self._lock:
            flight = self._aloft.get(key)
            if flight is not None and flight.stranded:
                del self._aloft[key]
                flight = None
            if flight is None:
                if self._failed_until and self._convoy(key, now):
                    return Claimed.ALONE, None, 0
                flight = make()
                self._aloft[key] = flight
                return Claimed.LEAD, flight, flight.sit()
            if flight.domain is not domain:
                return Claimed.BUSY, None, 0
            if not flight.joinable:
                return Claimed.ALONE, None, 0
            return Claimed.FOLLOW, flight, flight.sit()

    def busy(self, key: str) -> bool:
        """Whether anybody in this process is fetching that key."""
        flight = self._aloft.get(key)
        return flight is not None and not flight.stranded

    def land(self, key: str, flight: Flight, *, failed_at: float | None = None) -> None:
        """The flight is over, or nobody may wait for it any more. A second call does nothing.

        `failed_at` (monotonic seconds) says that the upstream answered with an error.
        """
        with self._lock:
            if self._aloft.get(key) is flight:
                del self._aloft[key]
            if failed_at is not None:
                self._failed_until[key] = failed_at + NO_CONVOY_S

    def _convoy(self, key: str, now: float) -> bool:
        until = self._failed_until.get(key)
        if until is None:
            return False
        if now < until:
            return True
        # Rare enough that all that are over can go in one sweep.
        self._failed_until = {k: t for k, t in self._failed_until.items() if t > now}
        return False


_by_place: weakref.WeakValueDictionary[str, Flights] = weakref.WeakValueDictionary()
_by_place_lock = threading.Lock()


def flights_at(place: str | None) -> Flights:
    """The flights of a store, shared by all caches that this process opens on it.

    `place` None stands for a store that is nobody else's.
    """
    if place is None:
        return Flights()
    with _by_place_lock:
        flights = _by_place.get(place)
        if flights is None:
            flights = _by_place[place] = Flights()
        return flights


def reset_after_fork() -> None:
    """A forked child has none of its parent's threads and loops: nothing is in flight there."""
    global _by_place_lock  # noqa: PLW0603 - it may have been held in the parent
    _by_place_lock = threading.Lock()
    for flights in list(_by_place.values()):
        flights.__init__()  # type: ignore[misc]
