"""What becomes of unflushed counts when a process ends or forks. It must not count anything itself.

The interpreter's end flushes every ledger there is, whether or not it was closed. A forked child begins at nothing:
what its parent has counted and not flushed is the parent's to flush.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import weakref
from typing import Protocol


class Flushes(Protocol):
    """What a ledger does here."""

    def flush(self) -> bool:
        """Bring what was counted into the store."""
        ...

    def reset(self) -> None:
        """Forget it."""
        ...


_alive: weakref.WeakSet[Flushes] = weakref.WeakSet()
_hooked: set[tuple[int, str]] = set()
"""Which of multiprocessing's hooks are set, by process."""


def remember(ledger: Flushes) -> None:
    """See to this ledger until it is forgotten or gone."""
    _alive.add(ledger)
    _hook_multiprocessing()


def forget(ledger: Flushes) -> None:
    """It has been closed."""
    _alive.discard(ledger)


def flush_all() -> None:
    """Flush every ledger of this process."""
    for ledger in list(_alive):
        with contextlib.suppress(Exception):
            ledger.flush()


def _reset_all() -> None:
    for ledger in list(_alive):
        ledger.reset()


def _hook_multiprocessing() -> None:
    """Before Python 3.13, children that multiprocessing forks skip `atexit`, but run what its own `Finalize` was told.

    They forget what their parent told it, so each child has to tell anew. Asked of `sys.modules`, because importing it
    would cost every program what few need.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    if (os.getpid(), "fork") not in _hooked:
        _hooked.add((os.getpid(), "fork"))
        util.register_after_fork(_hook_multiprocessing, lambda hook: hook())
    if (os.getpid(), "end") not in _hooked:
        _hooked.add((os.getpid(), "end"))
        util.Finalize(None, flush_all, exitpriority=0)


atexit.register(flush_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hook_multiprocessing, after_in_child=_reset_all)
