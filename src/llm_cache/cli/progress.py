"""Progress of what takes long, on standard error and only where that is a terminal. It must not print data."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

_EVERY = 64
"""Steps that are told at once: drawing is not what takes the time."""


@contextlib.contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Call what this gives after each step.

    Args:
        what: is being done, one word.
        total: how many steps there will be, if that is known.
    """
    if not sys.stderr.isatty():
        yield _nobody
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1
            if steps % _EVERY == 0:
                bar.advance(task, _EVERY)

        yield step


def _nobody() -> None:
    """Nobody looks."""
