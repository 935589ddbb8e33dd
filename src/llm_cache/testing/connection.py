"""One connection to the fake upstream: requests in, answers out, one after the other. It must not choose them.

Over `asyncio.Protocol` and not over streams, because a protocol is told at once when its client goes away.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from llm_cache.testing import wire
from llm_cache.testing.build_errors import error_like
from llm_cache.testing.performance import Performance
from llm_cache.testing.reply import Handler, Received, Reply

if TYPE_CHECKING:
    from llm_cache.testing.stage import Stage

# A reset overtakes what the kernel has not delivered yet, so it comes a little later than the last byte.
_BEFORE_RESET_S: Final = 0.01
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """Reads requests and answers them one after the other."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._parser = wire.RequestParser()
        self._waiting: deque[wire.Message] = deque()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._number = 0
        self._left_by_client = False
        self._dropped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)
        # With a limit of 0, drained means that the kernel has all of it.
        self._transport.set_write_buffer_limits(high=0)
        self._writable.set()
        self._number = self._stage.journal.connected()
        self._stage.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            self._waiting.extend(self._parser.feed(data))
        except wire.BadRequestError as error:
            self.write(wire.head_bytes(400, (("connection", "close"), ("content-type", "text/plain"))))
            self.write(f"{error}\n".encode())
            self.close()
            return
        if self._parser.take_continue():
            self.write(wire.CONTINUE)
        self._begin_next()

    def eof_received(self) -> None:
        """Called by the loop. Nothing but a client that closed is seen as such, so half-closing counts as leaving."""
        if self._task is not None and self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        del exc
        self._left_by_client = not self._dropped
        self._writable.set()
        if self._task is None:
            self._forget()
        else:
            # After its end: who sees the connection gone must also see what became of the request.
            self._task.add_done_callback(lambda _: self._forget())
            self._task.cancel()

    def pause_writing(self) -> None:
        """Called by the loop."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._writable.set()

    def write(self, data: bytes) -> None:
        """Hand bytes to the kernel, or queue what it does not take."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Return when the kernel has all of it, and let others have a turn, so that writes stay apart."""
        await self._writable.wait()
        await asyncio.sleep(0)

    def close(self) -> None:
        """Send what is queued, then FIN."""
        self._dropped = True
        if self._transport is not None:
            self._transport.close()

    async def sever(self, *, reset: bool) -> None:
        """End the connection without a regular end: with RST if so asked."""
        await self.drain()
        if reset and self._transport is not None:
            await asyncio.sleep(_BEFORE_RESET_S)
            line: socket.socket = self._transport.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.close()

    def shut(self) -> None:
        """Drop the connection now, whatever it is doing."""
        self._dropped = True
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _forget(self) -> None:
        self._stage.journal.disconnected()
        self._stage.connections.discard(self)

    def _begin_next(self) -> None:
        if self._task is None and self._waiting and not self._dropped:
            self._task = asyncio.ensure_future(self._serve(self._waiting.popleft()))

    async def _serve(self, message: wire.Message) -> None:
        path, query = message.path_and_query
        received = Received(
            method=message.method,
            path=path,
            query=query,
            headers=message.headers,
            body=message.body,
            received_at=time.time(),
            connection=self._number,
            version=message.version,
        )
        ticket = self._stage.journal.begin(received)
        performance = Performance(self._stage, self, received, ticket)
        try:
            answer = self._stage.rules.choose(received)
            reply = answer if isinstance(answer, Reply) else await self._ask(answer, received)
            await performance.run(reply, keep_alive=message.keeps_alive)
        except Exception as error:
            # Chunks that raise, a header that is no text: the test is wrong, and is told so when it ends.
            self._stage.journal.handler_failed(error)
            self.shut()
        finally:
            ticket.end(aborted=self._left_by_client and not performance.body_out)
            self._task = None
        self._begin_next()

    async def _ask(self, handler: Handler, received: Received) -> Reply:
        """What the handler decides; it runs in a daemon thread, so it may block and nothing is kept from ending."""
        loop = asyncio.get_running_loop()
        decided: asyncio.Future[Reply] = loop.create_future()

        def settle(reply: Reply) -> None:
            if not decided.done():
                decided.set_result(reply)

        def run() -> None:
            try:
                reply = handler(received)
                if not isinstance(reply, Reply):
                    raise TypeError(f"a handler must return a Reply, not {type(reply).__name__}.")  # noqa: TRY301 - as if it came from the handler
            except Exception as error:
                self._stage.journal.handler_failed(error)
                reply = error_like(received, 500, f"the test's handler raised {error!r}")
            try:
                loop.call_soon_threadsafe(settle, reply)
            except RuntimeError:
                return

        threading.Thread(target=run, name="llm-cache-fake-upstream-handler", daemon=True).start()
        return await decided
