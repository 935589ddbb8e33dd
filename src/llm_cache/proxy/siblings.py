"""The workers of one proxy as one of them knows the others. It must not start or end any; `workers.py` does.

Each counts for itself and brings that to the store every second. Whoever is asked for the sum first asks the others to
do so now, with a byte in a pipe of theirs: a signal could reach a stranger who has been given a dead worker's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.proxy.board import Board

_PATIENCE_S = 0.3
"""How long the others are waited for; one that is busy or gone must not hold up the page."""


def pipes_for(workers: int) -> list[tuple[int, int]]:
    """A pipe for each worker, on which nobody ever waits."""
    pipes = [os.pipe() for _ in range(workers)]
    for each in (each for pipe in pipes for each in pipe):
        os.set_blocking(each, False)
    return pipes


class Siblings:
    """One worker among several.

    Args:
        board: the numbers of all.
        index: which of them this one is.
        pipes: for each worker the ends to read from and to write to, made before any was forked.
    """

    def __init__(self, board: Board, index: int, pipes: list[tuple[int, int]]) -> None:
        self.board = board
        self._rows = [board.row(each) for each in range(board.workers)]
        self.index = index
        self._pipes = pipes

    def listen(self, flush: Callable[[], Callable[[], bool]]) -> None:
        """Flush when somebody asks: begin on the running event loop, and do what that gives on a thread."""
        loop = asyncio.get_running_loop()
        mine, row = self._pipes[self.index][0], self._rows[self.index]

        def work(at: int, write: Callable[[], bool]) -> None:
            if write():
                row.flushed_ns = at

        def asked() -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(mine, 4096)
            at = time.monotonic_ns()
            loop.run_in_executor(None, work, at, flush())

        loop.add_reader(mine, asked)

    async def settle(self) -> None:
        """Have the others flush, and wait until they have, or it takes too long."""
        asked_ns = time.monotonic_ns()
        others = [each for each in range(len(self._rows)) if each != self.index]
        for each in others:
            with contextlib.suppress(OSError):  # it is full: whoever reads it has been asked often enough
                os.write(self._pipes[each][1], b"f")
        while any(self._rows[each].flushed_ns < asked_ns for each in others):
            if time.monotonic_ns() - asked_ns > _PATIENCE_S * 1e9:
                return
            await asyncio.sleep(0.002)
