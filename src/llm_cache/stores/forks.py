"""Tells stores of `os.fork`, before it and after. It does nothing to them itself.

A lock that another thread holds during a fork stays locked in the child for ever, and an SQLite
connection that is open during a fork poisons the child: SQLite keeps one note a process of the
file locks that it holds, the child inherits the note but not the locks, and a parent that closes
later removes the write-ahead log that the child is writing to. So stores let go before, in the
parent; that the child forgets what it inherits is not enough.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something that must know of forks."""

    def before_fork(self) -> None:
        """Get into a state of which two copies may live on, and stay in it."""
        ...

    def after_fork(self, *, child: bool) -> None:
        """Go on; in the child perhaps without having been told before."""
        ...


class Lock:
    """A lock that its holder may take again, and that no fork leaves locked by a thread which the child has not."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        tell(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def before_fork(self) -> None:
        """Wait until nothing is half done."""
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """Go on."""
        if child:
            self._lock = threading.RLock()
        else:
            self._lock.release()


_told: WeakSet[Forked] = WeakSet()
_guard = threading.Lock()
_waiting: list[Forked] = []


def tell(store: Forked) -> None:
    """Tell this store of every fork from now on, for as long as it lives."""
    with _guard:
        _told.add(store)


def _before() -> None:
    _guard.acquire()
    _waiting[:] = _told
    for store in _waiting:
        store.before_fork()


def _after_in_parent() -> None:
    for store in _waiting:
        store.after_fork(child=False)
    _waiting.clear()
    _guard.release()


def _after_in_child() -> None:
    # From `_told`: servers that fork in C tell Python afterwards only.
    global _guard  # noqa: PLW0603 - the old lock's owner may be a thread that the child does not have
    _guard = threading.Lock()
    _waiting.clear()
    for store in list(_told):
        store.after_fork(child=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
