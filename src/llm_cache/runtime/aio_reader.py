"""The body of a reply in flight on an event loop, for one caller, and what becomes of one that nobody reads.

It reads from a flight and decides nothing; `aio` makes it.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from llm_cache.core.model import Head
    from llm_cache.runtime.aio_flights import AsyncFlight

_behind: set[asyncio.Task[None]] = set()


class AsyncReader:
    """The body of a reply in flight, chunk by chunk, for one caller; as `SyncReader`."""

    def __init__(
        self,
        flight: AsyncFlight,
        seat: int,
        head: Head,
        *,
        follows: bool,
        reason: str,
        done: Callable[[AsyncFlight, Exception | None], None],
        post: Callable[[Callable[[], object]], None],
    ) -> None:
        self.head = head
        self.follows = follows
        self.reason = reason
        self._flight = flight
        self._seat = seat
        self._done = done
        self._finalizer = weakref.finalize(self, _gone, flight, seat, done, post)
        self._finalizer.atexit = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Continues where it is: a second call does not begin anew."""
        return self

    async def __anext__(self) -> bytes:
        if not self._finalizer.alive:
            raise StopAsyncIteration
        try:
            data = await self._flight.read(self._seat, follows=self.follows)
        except Exception as error:
            await self._close(error)
            raise
        if data is None:
            await self._close(None)
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Read no more. The fetch goes on for those who follow."""
        await self._close(None)

    async def _close(self, error: Exception | None) -> None:
        if self._finalizer.detach() is not None:
            self._flight.leave(self._seat)
            try:
                await self._flight.closed()
            finally:
                self._done(self._flight, error)


def _gone(
    flight: AsyncFlight,
    seat: int,
    done: Callable[[AsyncFlight, Exception | None], None],
    post: Callable[[Callable[[], object]], None],
) -> None:
    """A reader was dropped unread, in whatever thread and under whatever lock the collector ran."""
    if flight.inherited:
        # It is the parent's to end.
        return
    loop = flight.loop

    def leave() -> None:
        flight.leave(seat)
        done(flight, None)

    def leave_on_loop() -> None:
        leave()
        if loop is not None:
            behind_the_back(flight.closed(), loop)

    if loop is not None:
        try:
            loop.call_soon_threadsafe(leave_on_loop)
        except RuntimeError:
            pass  # closed
        else:
            return
    post(leave)


def behind_the_back(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> None:
    """Run it as a task that nobody awaits; the loop itself holds tasks only weakly."""
    task = loop.create_task(work)
    _behind.add(task)
    task.add_done_callback(_behind.discard)
