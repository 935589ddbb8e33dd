"""Writes of one connection's replies: a head leaves with the first of its body if both are here. It must not copy much.

Two writes wake the client twice; the second mostly follows in the same turn of the loop.
"""

from __future__ import annotations

import asyncio


class Corked:
    """A transport as `RequestResponseCycle` uses it, for all replies of a connection, one after the other."""

    __slots__ = ("_fresh", "_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._fresh = True
        self._held = b""

    def write(self, data: bytes) -> None:
        """Write, or hold what begins a reply until the turn of the loop ends."""
        if self._transport.is_closing():
            return  # it is refused or let go while an answer is under way, which the cycle hears of a little later
        if self._fresh:
            self._fresh = False
            self._held = data
            self._loop.call_soon(self._flush)
        elif self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._transport.write(data)

    def over(self) -> None:
        """A reply is whole: what is written next begins another."""
        self._flush()
        self._fresh = True

    def close(self) -> None:
        """Write what is held, and close."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)
