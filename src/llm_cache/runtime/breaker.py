"""Stops asking a store that does not answer, and tells so once.

Closed: everything is asked. Open after repeated failures: nothing is, until some time has passed.
Then one probe is let through, and what becomes of it decides. Before it opens, a failure that took long is followed by
as long a rest, so that a call that asks several times waits for one deadline only. It performs nothing itself.
"""

from __future__ import annotations

import logging
import threading

from llm_cache.stores import forks

_log = logging.getLogger("llm_cache")
_SLOW_S = 0.01
"""What is refused at once costs nobody anything to ask again."""


class Breaker:
    """Counts failures of one kind of operation on one store.

    Args:
        what: named in the log line, "reading /path/cache.db".
        threshold: consecutive failures that open it.
        cool_s: how long it stays open before the first probe; doubled up to 16 times that.
        beside: the others of the same store, which this one joins: while one of them has told of a failure, what the
            others come across is most likely the same, and not worth another line.
    """

    def __init__(
        self, what: str, *, threshold: int = 3, cool_s: float = 1.0, beside: list[Breaker] | None = None
    ) -> None:
        self._what = what
        self._threshold = threshold
        self._cool_s = cool_s
        self._failures = 0
        self._until = 0.0
        self._told = False
        self._beside = [] if beside is None else beside
        self._beside.append(self)
        self._lock = threading.Lock()
        forks.tell(self)

    @property
    def failing(self) -> bool:
        """Whether the latest operation failed."""
        return self._failures > 0

    @property
    def open(self) -> bool:
        """Whether there have been so many failures that only a probe may ask."""
        return self._failures >= self._threshold

    def rests(self, now: float) -> bool:
        """Whether nothing would be asked at this time."""
        return self._failures > 0 and now < self._until

    def allows(self, now: float) -> bool:
        """Whether to ask at this time (monotonic seconds)."""
        if self._failures < self._threshold:
            return now >= self._until or not self._failures
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
                told, self._told = self._told, False
            _log.log(logging.WARNING if told else logging.DEBUG, "%s works again", self._what)

    def failed(self, now: float, error: BaseException, took_s: float = 0.0) -> None:
        """The store did not, and that took so long to learn."""
        with self._lock:
            self._failures += 1
            first = self._failures == 1
            over = self._failures - self._threshold
            if over >= 0:
                self._until = now + self._cool_s * 2 ** min(over, 4)
            elif took_s > _SLOW_S:
                self._until = now + took_s
            if first:
                self._told = not any(other._told for other in self._beside)  # noqa: SLF001 - of this class
            told = self._told
        if first:
            level = logging.WARNING if told else logging.DEBUG
            _log.log(level, "%s failed; calls go on without the cache: %s", self._what, error)

    def before_fork(self) -> None:
        """Leave nothing half done."""
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """Go on; the lock of the child's parent may be held by a thread that stayed there."""
        if child:
            self._lock = threading.Lock()
        else:
            self._lock.release()
