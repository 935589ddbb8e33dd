"""Waits on an event loop for what the background thread saves. It must not hold the loop up, nor outlive it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

    from llm_cache.core.model import Entry
    from llm_cache.runtime.access import Access


async def save(access: Access, entry: Entry, loop: asyncio.AbstractEventLoop | None) -> bool:
    """Keep an entry without holding up the loop; False if that did not work in time."""
    if loop is None:
        return access.save(entry)
    future = access.saving(entry)
    if future is None:
        return False
    return future.result() if await arrived(future, access.write_timeout_s) else access.overdue(entry)


async def arrived(future: Future[Any], timeout_s: float) -> bool:
    """Whether what the background thread was given is done within that time."""
    loop = asyncio.get_running_loop()
    come = loop.create_future()

    def wake() -> None:
        if not come.done():
            come.set_result(None)

    def done(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile, and nobody waits
            loop.call_soon_threadsafe(wake)

    # Neither `wrap_future`, which complains of a closed loop, nor `wait_for`, which may lose a cancellation.
    future.add_done_callback(done)
    await asyncio.wait({come}, timeout=timeout_s)
    return future.done()
