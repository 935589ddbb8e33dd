"""The caller's side of an exchange: its body, and whether it is still there. It must not know what is answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LAST_S = 1.0
"""How long the end of an answer is waited for when all that counts of it is here."""


class Gone(ConnectionError):
    """The client went away before its request was whole."""


class TooLarge(Exception):
    """The body is over the limit."""


class Client:
    """Reads a request's body; then, if asked to, watches for the client's leaving.

    Made by the task that serves the exchange; that is the task which is cancelled when nobody waits for it any more.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._over = False
        self._sending = False
        self._patience_s = 0.0
        self._settled = False
        self._settling: asyncio.Event | None = None
        self.left = False
        """Whether the task was cancelled because the client had gone."""

    async def read(self, limit: int, length: int | None) -> bytes:
        """The whole body, whose declared length is `length`.

        Raises:
            TooLarge: it is over so many bytes as the limit says.
            Gone: it did not come to its end, or is not as long as declared, whatever the server took for its end.
        """
        if length is not None and length > limit:
            raise TooLarge
        message = await self._receive()
        data: bytes = message.get("body", b"")
        whole = message["type"] == "http.request" and not message.get("more_body")
        if whole and len(data) <= limit and length in {None, len(data)}:
            return data
        pieces, size = [], 0
        while message["type"] == "http.request":
            data = message.get("body", b"")
            size += len(data)
            if size > limit:
                raise TooLarge
            pieces.append(data)
            if not message.get("more_body"):
                if length not in {None, size}:
                    raise Gone
                return b"".join(pieces)
            message = await self._receive()
        raise Gone

    async def pieces(self, length: int | None) -> AsyncIterator[bytes]:
        """The body as it comes, never faster than it is taken; afterwards the watch begins, if it was asked for.

        Raises:
            Gone: it did not come to its end, or is not as long as declared. The upstream must not wait for the rest:
                it would take the next request on that connection for it, which may be anybody's.
        """
        self._sending = True
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Gone
            data = message.get("body", b"")
            size += len(data)
            if data:
                yield data
            if not message.get("more_body"):
                break
        if length not in {None, size}:
            raise Gone
        self._sending = False
        self._begin()

    def watch(self, patience_s: float, *, sending: bool = False) -> None:
        """Cancel the task so many seconds after the client has gone. A second call changes nothing.

        Args:
            patience_s: how many.
            sending: whether the body is still to be read with `pieces`; nobody else may listen meanwhile.
        """
        if self._watching is None:
            self._patience_s, self._sending = patience_s, sending
            self._begin()

    def settle(self) -> None:
        """All that counts of the answer is kept: once the client has gone, what still comes is hardly worth a wait."""
        self._settled = True
        if self._settling is not None:
            self._settling.set()

    def finish(self) -> None:
        """Watch no more."""
        self._over = True
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        if self._watching is None and not self._over and not self._sending:
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._patience_s:
            until = time.monotonic() + self._patience_s
            if not self._settled:
                self._settling = asyncio.Event()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._settling.wait(), self._patience_s)
            await asyncio.sleep(min(_LAST_S, until - time.monotonic()))
        if not self._over and self._task is not None:
            self.left = True
            self._task.cancel()
