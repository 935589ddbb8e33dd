"""Lets coroutines wait for `threading.Event`s without a thread for each. It must not set or clear them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import threading

_PERIOD_S: Final = 0.001


class Gates:
    """One poller for each event, however many replies wait for it: two hundred held replies cost as much as one.

    Polled, because an Event tells nobody that it was set, and a test should need no special kind of event. Belongs to
    one event loop.
    """

    def __init__(self) -> None:
        self._pollers: dict[threading.Event, asyncio.Task[None]] = {}

    async def wait(self, gate: threading.Event) -> None:
        """Return when the event is set, at most a millisecond later."""
        if gate.is_set():
            return
        poller = self._pollers.get(gate)
        if poller is None:
            poller = self._pollers[gate] = asyncio.ensure_future(self._poll(gate))
        # Shielded: a client that goes away must not open the gate for the others.
        await asyncio.shield(poller)

    async def _poll(self, gate: threading.Event) -> None:
        try:
            # An asyncio.Event would have to be set on this loop, by a test that knows which loop that is.
            while not gate.is_set():  # noqa: ASYNC110
                await asyncio.sleep(_PERIOD_S)
        finally:
            del self._pollers[gate]
