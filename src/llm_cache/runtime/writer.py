"""The one background thread of a process: what need not be waited for, and writes with a deadline.

It knows nothing of what it runs. Jobs run in the order in which they came; a job that raises is
logged and costs nobody else anything. What is long is done in small slices while nothing else waits.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("llm_cache")
_T = TypeVar("_T")
_EXIT_S = 5.0
"""How long the end of the interpreter waits for what is still queued."""
_SPARE_S = 0.05
"""How long a slice waits at most while there is always something else to do."""


class Writer:
    """A queue and a daemon thread that is started by the first job.

    `post` may be called from anywhere, finalizers and signal handlers included: `SimpleQueue.put`
    is reentrant, which no lock of ours would be.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._queue: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._periodic: dict[object, tuple[float, Callable[[], object]]] = {}
        self._due: dict[object, float] = {}
        self._spare: dict[object, Callable[[], bool]] = {}
        self._spared_at = 0.0

    def post(self, job: Callable[[], object]) -> None:
        """Run the job soon; nobody waits for it."""
        self._queue.put(job)
        if self._thread is None:
            self._start()

    def submit(self, job: Callable[[], _T]) -> Future[_T]:
        """Run the job soon; the future tells what became of it."""
        future: Future[_T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = job()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.post(run)
        return future

    def every(self, seconds: float, name: object, job: Callable[[], object]) -> None:
        """Run the job about that often, from now on, until `cease(name)`."""
        self._periodic[name] = (seconds, job)
        self.post(_nothing)

    def cease(self, name: object) -> None:
        """Stop a periodic job; an unknown name is fine."""
        self._periodic.pop(name, None)
        self._due.pop(name, None)

    def spare(self, name: object, job: Callable[[], bool]) -> None:
        """Run the job when nothing else waits, again and again until it returns False.

        Each time should take some milliseconds, since a call may be waiting for its answer to be
        kept by then. `drain` does not wait for it: what is not done is begun again some other day.
        """
        self._spare[name] = job
        self.post(_nothing)

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything queued so far has run; False if that takes longer."""
        thread = self._thread
        if threading.current_thread() is thread:
            return True
        if thread is None or not thread.is_alive():
            # No thread can be started any more at the end of the interpreter: do it here.
            with contextlib.suppress(Empty):
                while True:
                    _run(self._queue.get_nowait())
            return True
        done = threading.Event()
        self.post(done.set)
        return done.wait(timeout_s)

    def _start(self) -> None:
        # Never waited for: this may be a finalizer that the collector runs inside of this very method.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="llm-cache", daemon=True)
                with contextlib.suppress(RuntimeError):  # no more threads now, or the interpreter is ending
                    thread.start()
                    self._thread = thread
        finally:
            self._starting.release()

    def _work(self) -> None:
        while True:
            try:
                job: Callable[[], object] = self._queue.get(timeout=0.0 if self._spare else self._idle_s())
            except Empty:
                job = self._run_spare
            _run(job)
            self._run_periodic()
            if self._spare and time.monotonic() - self._spared_at > _SPARE_S:
                self._run_spare()

    def _idle_s(self) -> float | None:
        if not self._periodic:
            return None
        now = time.monotonic()
        due = [self._due.get(name, now + seconds) for name, (seconds, _job) in list(self._periodic.items())]
        return max(0.0, min(due, default=now + 1.0) - now)

    def _run_periodic(self) -> None:
        now = time.monotonic()
        for name, (seconds, job) in list(self._periodic.items()):
            due = self._due.setdefault(name, now + seconds)
            if now >= due:
                self._due[name] = now + seconds
                _run(job)

    def _run_spare(self) -> None:
        """One slice of the job that has waited longest."""
        for name in list(self._spare):
            job = self._spare.pop(name)
            more: list[bool] = []
            _run(lambda: more.append(job()))  # noqa: B023 - run at once
            if more == [True]:
                self._spare.setdefault(name, job)
            self._spared_at = time.monotonic()
            return


def _nothing() -> None:
    """Wakes the thread so that it looks at its periodic jobs."""


def _run(job: Callable[[], object]) -> None:
    try:
        job()
    except BaseException:  # what stops a thread is not meant for this one, which everybody needs
        _log.exception("a background job failed")


_writer = Writer()


def writer() -> Writer:
    """The process's writer."""
    return _writer


def _after_fork(*_: Any) -> None:
    # The thread stayed behind, and with it whatever lock it held: begin anew.
    _writer._reset()  # noqa: SLF001 - its own module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    _writer.drain(_EXIT_S)
