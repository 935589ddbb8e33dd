"""uvicorn's HTTP connection with the limits that it lacks: size of the head, silence of a client, odd targets.

It must not know what is asked; what it refuses politely it leaves in the scope for the application to say.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llm_cache.proxy.incoming import TARGET

SILENCE_S = 60.0
"""How long a client may be silent in the middle of a request."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 51\r\nconnection: close\r\n\r\nThe request's head is over proxy_max_header_kb here."
)


class Connection(HttpToolsProtocol):
    """One client's connection. `limited` makes it a limit of its own."""

    header_bytes = 64 * 1024

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._in_request = False
        self._head_began = False
        self._refused = False
        self._head_bytes = 0
        self._piece = 0
        self._seen = 0
        self._silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._listen()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_listening()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._silence is not None:
            self._stop_listening()
        self._piece = len(data)
        if self._in_head:
            self._seen += self._piece
        super().data_received(data)
        if self._in_head:
            # Fields are counted when the head is whole; until then the parser holds them, however long. Bytes before
            # this head may have come in the same piece, so the first one does not count.
            self._head_bytes += 0 if self._head_began else len(data)
            self._head_began = False
            if self._head_bytes > self.header_bytes:
                self._refuse()
                return
        if self._in_request:
            self._listen()

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_request = self._head_began = True
        self._head_bytes = 0
        self._seen = self._piece

    def on_headers_complete(self) -> None:
        self._in_head = False
        # Nearly every head comes with fewer bytes, whatever else came with it, and need not be counted.
        if self._seen > self.header_bytes and self._fields() > self.header_bytes:
            self._refuse()
            raise ValueError("the head is too large")
        if not self.url.startswith(b"/"):
            # uvicorn would use the path of a whole URL, as if its host had not been there.
            cast("dict[str, Any]", self.scope)[TARGET] = self.url.decode("latin-1")
        super().on_headers_complete()

    def _fields(self) -> int:
        """How many bytes the target and the header fields take."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])

    def on_message_complete(self) -> None:
        self._in_request = False
        super().on_message_complete()

    def _listen(self) -> None:
        self._silence = self.loop.call_later(SILENCE_S, self._heard_nothing)

    def _stop_listening(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _heard_nothing(self) -> None:
        self._silence = None
        if self.flow.read_paused:
            self._listen()  # we are the ones who do not listen: the upstream is slower than the client
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self) -> None:
        self._refused = True
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()


def limited(header_bytes: int) -> type[asyncio.Protocol]:
    """The protocol class for requests whose head has at most so many bytes."""
    return type("Connection", (Connection,), {"header_bytes": header_bytes})
