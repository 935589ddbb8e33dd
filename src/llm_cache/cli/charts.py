"""Small charts of blocks, for terminals that can show them. It must not know what is drawn."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_STEPS = "▁▂▃▄▅▆▇█"
_PARTS = " ▏▎▍▌▋▊▉"


def drawable() -> bool:
    """Whether standard output is a terminal that has these characters."""
    if not sys.stdout.isatty():
        return False
    try:
        (_STEPS + _PARTS).encode(sys.stdout.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def line(values: Sequence[float]) -> str:
    """One character for each value, as high as it is beside the largest; what is more than nothing is seen."""
    most = max(values, default=0)
    if most <= 0:
        return _STEPS[0] * len(values)
    return "".join(
        " " if value <= 0 else _STEPS[min(len(_STEPS) - 1, int(value / most * len(_STEPS)))] for value in values
    )


def bar(value: float, most: float, width: int) -> str:
    """A bar of up to that many characters; what is more than nothing is seen."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, round(value / most * width * 8))
    return "█" * (eighths // 8) + (_PARTS[eighths % 8] if eighths % 8 else "")
