"""Performs one reply: head, pieces, pauses, faults. It must not know sockets."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Protocol

from llm_cache.testing import wire
from llm_cache.testing.split import is_stream_type, pieces

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from llm_cache.testing.journal import Ticket
    from llm_cache.testing.reply import GatePoint, Headers, Received, Reply, Transfer
    from llm_cache.testing.stage import Stage

_LARGE: Final = 16_384
"""What is longer may not fit into the kernel's buffers at once."""
_REST: Final = 3
"""The last byte of a body and the end of its chunk."""


class Line(Protocol):
    """Where the bytes go."""

    def write(self, data: bytes) -> None:
        """Send bytes, soon and apart from those of other calls."""

    async def drain(self) -> None:
        """Return when they are sent."""

    def close(self) -> None:
        """End the connection after them."""

    async def sever(self, *, reset: bool) -> None:
        """End the connection as a fault: with RST if so asked."""


class Performance:
    """One reply to one request. The steps and their order are in the docstring of `Reply`."""

    def __init__(self, stage: Stage, line: Line, received: Received, ticket: Ticket) -> None:
        self._stage = stage
        self._line = line
        self._received = received
        self._ticket = ticket
        self.body_out = False
        """Is the last byte of the body written? A client that leaves after it has broken nothing off."""

    async def run(self, reply: Reply, *, keep_alive: bool) -> None:
        """Perform it. `keep_alive`: may the connection be used again, if nothing in the reply is against it?"""
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        await self._pass_gate(reply, "head")
        if reply.hang:
            await _forever()
        if reply.no_head or (reply.reset and not reply.breaks):
            await self._break(reply)
            return
        rng = self._stage.rng(self._received)
        parts = pieces(reply, self._stage.split, rng)
        transfer = self._transfer(reply, rng)
        fields: Headers = (("transfer-encoding", "chunked"),) if transfer == "chunked" else ()
        if transfer == "length":
            parts = list(parts)
            length = sum(map(len, parts)) if reply.declared_length is None else reply.declared_length
            fields = (("content-length", str(length)),)
        # After a wrong length nobody knows where the next answer would begin.
        closes = not keep_alive or transfer == "close" or reply.declared_length is not None
        self._line.write(wire.head_bytes(reply.status, _fields(reply, closes=closes) + fields))
        if wire.has_body(self._received.method, reply.status):
            if not await self._send_body(reply, parts, transfer):
                await self._break(reply)
                return
            if transfer == "chunked":
                self._line.write(wire.LAST_CHUNK)
        self._ticket.end()
        if closes or (reply.header("connection") or "").lower() == "close":
            self._line.close()

    async def _send_body(self, reply: Reply, parts: Iterable[bytes], transfer: Transfer) -> bool:
        """Write the body up to, but not including, its end; False if the reply is to break here."""
        left = reply.break_after_bytes
        source = iter(parts)
        part, number = next(source, None), 0
        self.body_out = part is None
        await self._line.drain()
        while part is not None and number != reply.break_after_chunks:
            following = next(source, None)
            if number and reply.chunk_delay_s:
                await asyncio.sleep(reply.chunk_delay_s)
            await self._pass_gate(reply, number)
            if left is not None:
                part = part[:left]
                left -= len(part)
            data = wire.chunk(part) if part and transfer == "chunked" else part
            if following is None:
                await self._send_last(data, reply)
            elif data:
                self._line.write(data)
                await self._line.drain()
            if left == 0:
                return False
            part, number = following, number + 1
        if reply.breaks:
            return False
        await self._pass_gate(reply, "end")
        if reply.never_end:
            await _forever()
        return True

    async def _send_last(self, data: bytes, reply: Reply) -> None:
        """Write the last piece, and count the reply as over: neither too early nor after the client knows."""
        if len(data) > _LARGE:
            # This may take its time, and the client may leave meanwhile.
            self._line.write(data[:-_REST])
            await self._line.drain()
            data = data[-_REST:]
        self.body_out = True
        if not _lingers(reply):
            # A client that has the whole body must find nothing in flight.
            self._ticket.end()
        if data:
            self._line.write(data)
            await self._line.drain()

    async def _pass_gate(self, reply: Reply, point: GatePoint) -> None:
        gate = reply.gates.get(point) if reply.gates else None
        if gate is None or gate.is_set():
            return
        self._stage.journal.hold(+1)
        try:
            await self._stage.gates.wait(gate)
        finally:
            self._stage.journal.hold(-1)

    async def _break(self, reply: Reply) -> None:
        self._ticket.end()
        await self._line.sever(reset=reply.reset)

    def _transfer(self, reply: Reply, rng: random.Random) -> Transfer:
        if reply.declared_length is not None:
            return "length"
        if reply.transfer is not None:
            return reply.transfer
        stream = reply.chunks is not None or is_stream_type(reply.content_type)
        # Some providers send plain JSON chunked as well; with a seed, so do we, now and then.
        chunked = stream or (self._stage.seed is not None and rng.random() < 0.5)
        if not chunked:
            return "length"
        # HTTP/1.0 knows no chunks: RFC 9112 7.1.
        return "chunked" if self._received.version == "1.1" else "close"


def _fields(reply: Reply, *, closes: bool) -> Headers:
    """The given headers first, then what every answer has."""
    fields = reply.header_pairs
    if reply.header("content-type") is None and reply.content_type is not None:
        fields = (("content-type", reply.content_type), *fields)
    if reply.header("date") is None:
        fields = (*fields, ("date", formatdate(usegmt=True)))
    if reply.gzip:
        fields = (*fields, ("content-encoding", "gzip"))
    return (*fields, ("connection", "close")) if closes and reply.header("connection") is None else fields


def _lingers(reply: Reply) -> bool:
    """Does something happen between the last byte of the body and the end of it?"""
    return reply.breaks or reply.never_end or bool(reply.gates and "end" in reply.gates)


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()
