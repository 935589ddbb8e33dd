"""Puts a new store in the place of a damaged one, and says so once. What is damaged is kept, never deleted."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from llm_cache.errors import StoreBusy, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.runtime.writer import Writer
    from llm_cache.stores.base import Backend

_log = logging.getLogger("llm_cache")
_AGAIN_S = 60.0
"""A new store that is damaged sooner than this is not replaced: the disk is to blame, and would fill up."""


class Mending:
    """Sets one store aside when it is found damaged.

    Args:
        clock: seconds since the epoch, for the name of what is set aside.
    """

    def __init__(self, store: Backend, writer: Writer, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._moved_at = -_AGAIN_S
        self._posted = False

    def begin(self, error: StoreError) -> bool:
        """Have it done by the background thread, soon; False if there is no use in it."""
        if not self._worthwhile():
            return False
        # Twice does no harm: only what was found damaged since is moved.
        if not self._posted:
            self._posted = True
            self._writer.post(lambda: self.now(error))
        return True

    def now(self, error: StoreError) -> bool:
        """Do it, on the background thread; whether the store can be used again."""
        self._posted = False
        if not self._worthwhile():
            return False
        try:
            moved = self._store.set_aside(self._clock())
        except StoreBusy:
            # Somebody is just opening it; whoever comes upon the damage next tries again.
            return False
        except StoreError as problem:
            self._moved_at = time.monotonic()
            _log.warning("%s, and %s", error, problem)
            return False
        if moved is not None:
            self._moved_at = time.monotonic()
            _log.warning("%s: a new one takes its place, and the old one is kept as %s", error, moved)
        return True

    def _worthwhile(self) -> bool:
        return time.monotonic() - self._moved_at >= _AGAIN_S
