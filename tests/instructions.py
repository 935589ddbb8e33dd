"""Counts instructions of Python's virtual machine, which machines and neighbours do not change. It holds no tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def instructions(call: Callable[[], object]) -> int:
    """How many the calling thread executes in one call."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def settled(call: Callable[[], object]) -> int:
    """The least that a call takes once it has been made some times: what runs behind it may come in between."""
    for _ in range(6):
        call()
    return min(instructions(call) for _ in range(5))
