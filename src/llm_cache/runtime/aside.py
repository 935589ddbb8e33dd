"""Threads for what may have to be waited for: lookups in a store that is reached over a network.

Not the event loop's own threads, which the program may have filled with work of its own, nor the background thread,
whose order everybody relies on. It knows nothing of what it runs, and keeps no order.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_THREADS = 16
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def aside(job: Callable[[], _T]) -> Future[_T]:
    """Run the job in a thread, in a copy of this context."""
    global _pool  # noqa: PLW0603 - there is one a process
    if _pool is None:
        with _lock:
            if _pool is None:
                _pool = ThreadPoolExecutor(_THREADS, "llm-cache-aside")
    try:
        return _pool.submit(copy_context().run, job)
    except RuntimeError as error:
        # The interpreter is ending, and no thread can be started any more.
        failed: Future[_T] = Future()
        failed.set_exception(error)
        return failed


def _after_fork() -> None:
    """The threads stayed behind."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
