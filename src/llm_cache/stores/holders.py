"""Who holds a lease on this machine, and whether that process still runs. It must not end or wait for any.

A process is its number and its start: numbers come again. Where these cannot be compared (another machine or another
container on the same file), only time tells.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START = 0, 19
"""Fields of /proc/PID/stat after the program's name: proc_pid_stat(5) counts them from 3."""
_ENDED = {"Z", "X", "x"}
"""A zombie has ended; its parent has only not asked yet."""


def me() -> str:
    """This process, as one line of text: where, its number, its start."""
    return _me(os.getpid())


@functools.cache
def _me(pid: int) -> str:
    return f"{_place(pid)} {pid} {_start(pid) or ''}"


def gone(holder: str) -> bool:
    """Whether that process is known to have ended."""
    try:
        place, number, start = holder.split(" ")
        pid = int(number)
    except ValueError:
        return False
    if place != _place(os.getpid()):
        return False
    if start:
        return _start(pid) != start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _start(pid: int) -> str | None:
    """When a process began, in ticks since the machine did; None if it has ended or there is no telling."""
    try:
        # The program's name is in parentheses and may hold anything.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[_STATE] in _ENDED else fields[_START]
    except (OSError, IndexError):
        return None


@functools.cache
def _place(pid: int) -> str:
    """The machine since it began, and the numbering that process numbers belong to."""
    del pid  # a forked child may live in another
    try:
        booted = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{booted}/{(_PROC / 'self/ns/pid').readlink()}".replace(" ", "")
    except OSError:
        return socket.gethostname().replace(" ", "") or "localhost"
