"""Finds out whether a store takes writes again, when nobody happens to save anything. It must not write anything else.

Who watches would otherwise keep away the very calls that would show it: a proxy that is not ready gets none.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.runtime.breaker import Breaker
    from llm_cache.runtime.writer import Writer
    from llm_cache.stores.base import Backend

NOBODY = bytes(32)
"""A key that no request has."""


class Reviving:
    """Tries a write that means nothing: to take a lease and to give it back.

    Args:
        breaker: that of writing, which tells whether to try, and is told what came of it.
        clock: seconds since the epoch.
    """

    def __init__(self, store: Backend, writer: Writer, breaker: Breaker, clock: Callable[[], float]) -> None:
        self._store = store
        self._writer = writer
        self._breaker = breaker
        self._clock = clock

    def soon(self) -> None:
        """Have it tried by the background thread, if the latest write has failed."""
        if self._breaker.failing and self._store.leases is not None and self._breaker.allows(time.monotonic()):
            self._writer.post(self._try)

    def _try(self) -> None:
        leases = self._store.leases
        if leases is None:
            return
        try:
            leases.take(NOBODY, self._clock())
            leases.release([NOBODY])
        except Exception as error:
            self._breaker.failed(time.monotonic(), error)
        else:
            self._breaker.succeeded()
