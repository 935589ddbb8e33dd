"""Keeps a store under its size: asks it to shrink after writes. It knows neither sizes nor what should go.

A lookup never comes here: a cache that is only read writes nothing.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from llm_cache.core.events import About, Evicted
from llm_cache.errors import StoreError
from llm_cache.runtime.listening import heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.core.events import Event
    from llm_cache.runtime.writer import Writer
    from llm_cache.stores.base import Backend

_log = logging.getLogger("llm_cache")
_ROOM = 20
"""Once at it, a twentieth of the limit is made free, so that not every write has to make room for itself."""


class Evictor:
    """Watches over the size of one store.

    Args:
        limit_bytes: what the store may take.
        clock: seconds since the epoch; what has expired goes first.
    """

    def __init__(
        self,
        store: Backend,
        writer: Writer,
        listener: Callable[[Event], None],
        limit_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._writer = writer
        self._tell = partial(heard, listener)
        self._limit = limit_bytes
        self._clock = clock
        self._failing = False
        self._stopped = False

    def stop(self) -> None:
        """The store is about to be closed."""
        self._stopped = True

    def wrote(self) -> None:
        """Something was written. On the background thread; where the store is full, one step is taken at once.

        The next save must not wait for all of them, and many saves in a row must not outrun them.
        """
        if self._step(self._limit):
            self._writer.spare(self, self._slice)

    def _slice(self) -> bool:
        return self._step(self._limit - self._limit // _ROOM)

    def _step(self, limit: int) -> bool:
        """Whether there is more to do."""
        if self._stopped:
            return False
        try:
            done = self._store.shrink(limit, self._clock())
        except StoreError as error:
            if not (self._failing or self._stopped):
                _log.warning("the store could not be kept under its size, which is tried again: %s", error)
            self._failing = True
            return False
        self._failing = False
        if done.entries:
            self._tell(Evicted(About(), done.entries, done.size_bytes))
        return done.more
