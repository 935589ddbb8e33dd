"""Stops asking a store that does not answer, and tells so once.

Closed: everything is asked. Open after repeated failures: nothing is, until some time has passed.
Then one probe is let through, and what becomes of it decides. It performs nothing itself.
"""

from __future__ import annotations

import logging
import threading

from llm_cache.stores import forks

_log = logging.getLogger("llm_cache")


class Breaker:
    """Counts failures of one kind of operation on one store.

    Args:
        what: named in the log line, "reading /path/cache.db".
        threshold: consecutive failures that open it.
        cool_s: how long it stays open before the first probe; doubled up to 16 times that.
    """

    def __init__(self, what: str, *, threshold: int = 3, cool_s: float = 1.0) -> None:
        self._what = what
        self._threshold = threshold
        self._cool_s = cool_s
        self._failures = 0
        self._until = 0.0
        self._lock = threading.Lock()
        forks.tell(self)

    @property
    def failing(self) -> bool:
        """Whether the latest operation failed."""
        return self._failures > 0

    def allows(self, now: float) -> bool:
        """Whether to ask at this time (monotonic seconds)."""
        if self._failures < self._threshold:
            return True
        with self._lock:
            if now < self._until:
                return False
            # Half open: this caller probes, the others wait for what it finds.
            self._until = now + self._cool_s
            return True

    def succeeded(self) -> None:
        """The store answered."""
        if self._failures:
            with self._lock:
                self._failures = 0
            _log.warning("%s works again", self._what)

    def failed(self, now: float, error: BaseException) -> None:
        """The store did not."""
        with self._lock:
            self._failures += 1
            first = self._failures == 1
            over = self._failures - self._threshold
            if over >= 0:
                self._until = now + self._cool_s * 2 ** min(over, 4)
        if first:
            _log.warning("%s failed; calls go on without the cache: %s", self._what, error)

    def before_fork(self) -> None:
        """Leave nothing half done."""
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """Go on; the lock of the child's parent may be held by a thread that stayed there."""
        if child:
            self._lock = threading.Lock()
        else:
            self._lock.release()
