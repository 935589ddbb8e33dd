"""Several processes on one port: starts them, replaces those that die, and ends them. It must not serve anything.

Each worker has a listening socket of its own on the same port, among which the kernel shares out connections
(SO_REUSEPORT); this process holds all of them open, so that those which wait for a worker that has died are served by
the one that takes its place. Where the kernel does not share them out, all workers accept from one socket.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llm_cache.errors import ConfigError, LLMCacheError

if TYPE_CHECKING:
    from types import FrameType

_log = logging.getLogger("llm_cache")
SHARED_OUT = sys.platform == "linux"
"""Whether the kernel shares out the connections to one port; elsewhere the last socket gets them all."""
_UNUSABLE = 78  # EX_CONFIG of sysexits.h
_SHORT_LIFE_S = 2.0
_LONGEST_PAUSE_S = 5.0

Work = Callable[[int, int], int]
"""What a worker does: given its number and the pipe that ends with the supervisor, until its exit status."""


class Supervisor:
    """Runs so many workers until it is told to stop.

    Args:
        count: how many.
        work: runs in each of them.
        release: lets go of the sockets here, so that nobody is kept waiting for workers that are ending.
    """

    def __init__(self, count: int, work: Work, release: Callable[[], None]) -> None:
        self._count = count
        self._work = work
        self._release = release
        self._alive: dict[int, tuple[int, float]] = {}
        self._stopping = False
        self._forced = False
        self._failures = 0
        self._life = (-1, -1)
        self._words = (-1, -1)

    def run(self) -> int:
        """Until SIGTERM or SIGINT, and then until the workers have ended.

        Returns:
            0, or 130 if a second SIGINT came.

        Raises:
            ConfigError: a worker cannot use what is configured.
        """
        self._life, self._words = os.pipe(), os.pipe()
        # What is there now is the same for all, and stays in memory that they share.
        gc.collect()
        gc.freeze()
        try:
            with self._hearing():
                for index in range(self._count):
                    self._start(index)
                self._watch()
        finally:
            for each in (*self._life, *self._words):
                with contextlib.suppress(OSError):
                    os.close(each)
        return 130 if self._forced else 0

    def _watch(self) -> None:
        wrong = ""
        while self._alive:
            pid, status = os.waitpid(-1, 0)
            if pid not in self._alive:
                continue
            index, since = self._alive.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code == _UNUSABLE and not wrong:
                wrong = os.read(self._words[0], 4096).decode("utf-8", "replace")
                self._stop()
            if self._stopping:
                continue
            _log.warning("worker %d (process %d) ended with %d: another takes its place", index, pid, code)
            self._pause(time.monotonic() - since)
            if not self._stopping:
                self._start(index)
        if wrong:
            raise ConfigError(wrong)

    def _pause(self, lived_s: float) -> None:
        """Wait a little before a place is filled again that has just been left, and longer each time."""
        self._failures = self._failures + 1 if lived_s < _SHORT_LIFE_S else 0
        until = time.monotonic() + min(_LONGEST_PAUSE_S, 0.1 * 2.0**self._failures if self._failures > 1 else 0.0)
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.05)

    def _start(self, index: int) -> None:
        signals = {signal.SIGTERM, signal.SIGINT}
        # A signal between the fork and the note of it would be lost on the new worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            pid = os.fork()
            if pid == 0:
                self._be_worker(index, signals)
            self._alive[pid] = index, time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    def _be_worker(self, index: int, signals: set[signal.Signals]) -> None:
        """The life of a worker. Does not return: what is on the stack above is its parent's."""
        status = 1
        try:
            # The terminal tells everybody; this process is told by its parent.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            os.close(self._life[1])
            status = self._work(index, self._life[0])
        except LLMCacheError as error:
            os.write(self._words[1], str(error).encode()[:4096])
            status = _UNUSABLE
        except BaseException:
            _log.exception("worker %d failed", index)
        finally:
            with contextlib.suppress(BaseException):
                atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing's forked children do
                logging.shutdown()
            os._exit(status)

    def _stop(self) -> None:
        self._stopping = True
        self._release()
        for pid in list(self._alive):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    @contextlib.contextmanager
    def _hearing(self) -> Iterator[None]:
        def heard(sig: int, _frame: FrameType | None) -> None:
            # Workers take a second SIGTERM as the end of their patience.
            if self._stopping and sig == signal.SIGINT:
                self._forced = True
            elif self._stopping:
                return
            self._stop()

        before = {sig: signal.signal(sig, heard) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def check_workers(count: int, backend: str) -> None:
    """Refuse workers that could not share anything.

    Raises:
        ConfigError: there are several, and they would not.
    """
    if count > 1 and backend == "memory":
        raise ConfigError(
            f"workers is {count}, but each would have a cache in memory of its own: use sqlite or redis, or one worker"
        )
    if count > 1 and not hasattr(os, "fork"):
        raise ConfigError(f"workers is {count}, but this system cannot fork processes: use one worker")
