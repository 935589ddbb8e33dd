"""Waits on an event loop for what the background thread saves. It must not hold the loop up, nor outlive it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_cache.core.model import Entry
    from llm_cache.runtime.access import Access


async def save(access: Access, entry: Entry, loop: asyncio.AbstractEventLoop | None) -> bool:
    """Keep an entry without holding up the loop; False if that did not work in time."""
    if loop is None:
        return access.save(entry)
    future = access.saving(entry)
    if future is None:
        return False
    saved = loop.create_future()

    def wake() -> None:
        if not saved.done():
            saved.set_result(None)

    def done(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile, and nobody waits
            loop.call_soon_threadsafe(wake)

    # Neither `wrap_future`, which complains of a closed loop, nor `wait_for`, which may lose a cancellation.
    future.add_done_callback(done)
    await asyncio.wait({saved}, timeout=access.write_timeout_s)
    return future.result() if future.done() else access.overdue(entry)
