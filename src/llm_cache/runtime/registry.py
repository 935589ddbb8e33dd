"""Who is fetching what in this process: at most one flight a key, whatever domain it flies in.

A domain is all sync threads together, or one event loop. It starts and waits for nothing.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from llm_cache.core.effects import Claimed

if TYPE_CHECKING:
    from collections.abc import Callable

NO_CONVOY_S = 5.0
"""How long nobody waits on a key after its fetch was answered with an error."""
_MOST_FAILED = 1000
"""How many such keys are remembered before those that are over are looked for."""


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


class fetching:  # noqa: N801 - a context manager, used as one
    """Mark that this context awaits the head of a fetch, or a piece of its body."""

    # No generator: it is entered for every chunk of every stream.
    __slots__ = ("_fetch", "_token")

    def __init__(self, key: str) -> None:
        self._fetch = Fetch(key, _fetch.get())

    def __enter__(self) -> Fetch:
        fetch = self._fetch
        if fetch.outer is not None:
            fetch.outer.nested = True
        self._token = _fetch.set(fetch)
        return fetch

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):  # the collector closes a forgotten coroutine in a context of its own
            _fetch.reset(self._token)


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


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, or None where there is none, or one of another kind (trio)."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Flight(Protocol):
    """What the registry needs to know of a fetch in progress."""

    domain: object
    release: Callable[[], None] | None
    """Gives back what other processes wait for, if the flight has it."""

    @property
    def dead(self) -> bool:
        """Whether nothing will come of it any more: it failed, was abandoned, or its event loop has closed."""
        ...

    def sit(self) -> int | None:
        """Take a seat, from which the whole reply will be seen; None if it is too late for that.

        At once: between a question whether one may and the answer, the last reader may go.
        """
        ...


class Flights:
    """The fetches of one store in this process."""

    def __init__(self) -> None:
        self._aloft: dict[str, Flight] = {}
        self._failed_until: dict[str, float] = {}
        # Reentrant, because a flight that the collector finds lands wherever that runs.
        self.lock = threading.RLock()
        _all.add(self)

    def claim(
        self, key: str, domain: object, make: Callable[[], Flight], now: float
    ) -> tuple[Claimed, Flight | None, int]:
        """Lead a new flight that `make` makes, or take a seat in the one there is.

        `now` is monotonic seconds. Answers who fetches, the flight, and the seat.
        """
        with self.lock:
            flight = self._aloft.get(key)
            if flight is not None and not flight.dead:
                if flight.domain is not domain:
                    return Claimed.BUSY, None, 0
                seat = flight.sit()
                if seat is not None:
                    return Claimed.FOLLOW, flight, seat
                if not flight.dead:
                    # It is past keeping everything for a newcomer.
                    return Claimed.ALONE, None, 0
            if self._failed_until and self._convoy(key, now):
                return Claimed.ALONE, None, 0
            flight = make()
            seat = flight.sit()
            assert seat is not None  # noqa: S101 - it is new
            self._aloft[key] = flight
            return Claimed.LEAD, flight, seat

    def busy(self, key: str) -> bool:
        """Whether anybody in this process is fetching that key."""
        flight = self._aloft.get(key)
        return flight is not None and not flight.dead

    def domain_of(self, key: str) -> object:
        """Where that key is being fetched, or None."""
        flight = self._aloft.get(key)
        return None if flight is None else flight.domain

    def land(self, key: str, flight: Flight, *, failed_at: float | None = None) -> None:
        """The flight is over, or nobody may wait for it any more. A second call does nothing.

        `failed_at` (monotonic seconds) says that the upstream answered with an error.
        """
        with self.lock:
            if self._aloft.get(key) is flight:
                del self._aloft[key]
                if flight.release is not None:
                    flight.release()
            if failed_at is not None:
                if len(self._failed_until) >= _MOST_FAILED:
                    self._sweep(failed_at)
                self._failed_until[key] = failed_at + NO_CONVOY_S

    def _convoy(self, key: str, now: float) -> bool:
        until = self._failed_until.get(key)
        if until is None:
            return False
        if now < until:
            return True
        self._sweep(now)
        return False

    def _sweep(self, now: float) -> None:
        self._failed_until = {k: t for k, t in self._failed_until.items() if t > now}


_all: weakref.WeakSet[Flights] = weakref.WeakSet()
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


_forks = 0


def forks() -> int:
    """How many forks lie between this process and the first. A flight of another number is the parent's."""
    return _forks


def _after_fork() -> None:
    """A forked child has none of its parent's threads and loops: nothing is in flight there."""
    global _by_place_lock, _forks  # noqa: PLW0603 - the lock may have been held in the parent
    _forks += 1
    _by_place_lock = threading.Lock()
    for flights in list(_all):
        flights.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
