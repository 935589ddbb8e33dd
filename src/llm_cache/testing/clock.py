"""A clock that tests set by hand. It must not look at the real time, and nothing else may advance it."""

import threading

# A date a reader can recognise in a failing test: 2023-11-14T22:13:20Z.
_START = 1_700_000_000.0


class FakeClock:
    """Stands wherever a `Callable[[], float]` of wall-clock seconds is asked for.

    It stands still until told otherwise, so that two readings in one test are equal. Thread-safe: a test may advance
    it while the code under test reads it elsewhere.
    """

    def __init__(self, now: float = _START) -> None:
        """Stand at `now`, in seconds since the epoch."""
        self._now = float(now)
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """The time in seconds since the epoch."""
        with self._lock:
            return self._now

    def __repr__(self) -> str:
        return f"FakeClock({self()!r})"

    def now_ns(self) -> int:
        """The same time in whole nanoseconds, as `time.time_ns()` gives it."""
        return round(self() * 1_000_000_000)

    def advance(self, seconds: float) -> float:
        """Go forward by this many seconds and return the new time.

        Raises ValueError if it is negative: a clock that goes back is a different test, so `set` must say it.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock advances by zero seconds or more, not {seconds!r}; to go back use set().")
        with self._lock:
            self._now += seconds
            return self._now

    def set(self, now: float) -> None:
        """Stand at `now`, in seconds since the epoch; backwards too, as real clocks do when they are corrected."""
        with self._lock:
            self._now = float(now)
