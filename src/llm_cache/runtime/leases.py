"""One fetch a key among all processes: takes a store's lease when a flight leads, and gives it back when it lands.

Taking, renewing and giving back is the background thread's work. A lease is a courtesy: where the store fails or is
slow, a call goes on without one, and what is fetched twice is only paid twice.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TYPE_CHECKING

from llm_cache.core.events import About, StoreFailed
from llm_cache.stores import base, forks

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from llm_cache.core.events import Event
    from llm_cache.runtime.breaker import Breaker
    from llm_cache.runtime.writer import Writer
    from llm_cache.stores.base import Leases as Store

_AGAIN_S = 1.0
LONGEST_S = 3600.0
"""A fetch that takes longer than this is nobody's business any more: its lease is not renewed."""


class Leases:
    """The leases of this process in one store.

    Args:
        store: where they are; None if the store is this process's own, and nobody else could hold any.
        breaker: opens when the store's leases do not answer.
        asked: whether the store is asked at all for now.
        tell: told of failures.
        patience_s: how long a call waits for a lease.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store | None,
        writer: Writer,
        breaker: Breaker,
        asked: Callable[[], bool],
        tell: Callable[[Event], None],
        patience_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._writer = writer
        self._breaker = breaker
        self._asked = asked
        self._tell = tell
        self.patience_s = patience_s
        self._clock = clock
        self._held: dict[str, float] = {}
        self._unsure: set[str] = set()
        self._lock = threading.Lock()
        forks.tell(self)

    def taking(self, key: str) -> Future[bool] | None:
        """Begin to take the lease of a key; None if that is not worth trying: then the fetch is free."""
        if self._store is None or not self._asked() or not self._breaker.allows(time.monotonic()):
            return None
        return self._writer.submit(partial(self._take, key))

    def take(self, key: str) -> bool:
        """Whether this process may fetch; False if another one does."""
        future = self.taking(key)
        if future is None:
            return True
        try:
            return future.result(self.patience_s)
        except (FutureTimeoutError, TimeoutError):
            return self.overdue(key)

    def overdue(self, key: str) -> bool:
        """Count a lease that did not come in time. Always True: the fetch goes on without."""
        self._failed(key, TimeoutError(f"no lease within {self.patience_s:g} s"))
        return True

    def held(self, key: str) -> bool:
        """Whether another process is fetching that key, as far as one can tell."""
        if self._store is None or not self._asked() or not self._breaker.allows(time.monotonic()):
            return False
        try:
            held = self._store.held(bytes.fromhex(key), self._clock())
        except Exception as error:
            self._failed(key, error)
            return False
        self._breaker.succeeded()
        return held

    def release(self, key: str) -> None:
        """Give the lease back soon, if there is one. Never waits: this may be a finalizer."""
        if self._store is not None:
            self._writer.post(partial(self._release, key))

    @property
    def failing(self) -> bool:
        """Whether the store's leases failed the last time."""
        return self._breaker.failing

    def stop(self, *, release: bool = True) -> None:
        """Give everything back now, or leave it to end by itself: the store is about to be closed."""
        with self._lock:
            held, self._held = self._held, {}
        self._writer.cease(self)
        self._writer.cease(self._let_go)
        if held and release and self._store is not None and not self._breaker.failing:
            with contextlib.suppress(Exception):
                self._store.release([bytes.fromhex(key) for key in held])

    # --- on the background thread ----------------------------------------------------------------

    def _take(self, key: str) -> bool:
        assert self._store is not None  # noqa: S101 - else nobody comes here
        try:
            taken = self._store.take(bytes.fromhex(key), self._clock())
        except Exception as error:
            self._failed(key, error)
            # The server may have done it all the same, or do it when it comes to: others would wait for nobody.
            self._unsure.add(key)
            self._writer.every(_AGAIN_S, self._let_go, self._let_go)
            return True
        self._breaker.succeeded()
        if taken:
            with self._lock:
                first = not self._held
                self._held[key] = time.monotonic()
            if first:
                self._writer.every(base.LEASE_S / 3, self, self._renew)
        return taken

    def _release(self, key: str) -> None:
        with self._lock:
            held = self._held.pop(key, None)
            last = not self._held
        if last:
            self._writer.cease(self)
        if held is None or self._store is None:
            return
        try:
            self._store.release([bytes.fromhex(key)])
        except Exception as error:
            # It ends by itself.
            self._failed(key, error)

    def _let_go(self) -> None:
        """Give back what was perhaps taken, as soon as the store answers."""
        if self._store is None or not self._breaker.allows(time.monotonic()):
            return
        with self._lock:
            keys = [bytes.fromhex(key) for key in self._unsure - self._held.keys()]
        try:
            self._store.release(keys)
        except Exception as error:
            self._breaker.failed(time.monotonic(), error)
            return
        self._breaker.succeeded()
        self._unsure.clear()
        self._writer.cease(self._let_go)

    def _renew(self) -> None:
        oldest = time.monotonic() - LONGEST_S
        with self._lock:
            self._held = {key: since for key, since in self._held.items() if since > oldest}
            keys = list(self._held)
        if not keys or self._store is None or not self._breaker.allows(time.monotonic()):
            return
        try:
            self._store.renew([bytes.fromhex(key) for key in keys], self._clock())
        except Exception as error:
            self._failed(keys[0], error)
        else:
            self._breaker.succeeded()

    def _failed(self, key: str, error: Exception) -> None:
        self._breaker.failed(time.monotonic(), error)
        self._tell(StoreFailed(About(key=key), "lease", str(error)))

    def before_fork(self) -> None:
        """Leave nothing half done."""
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """What the parent holds is the parent's to renew and to give back."""
        if child:
            self._held, self._unsure = {}, set()
            self._lock = threading.Lock()
        else:
            self._lock.release()
