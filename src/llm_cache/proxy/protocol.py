"""uvicorn's HTTP connection with the limits that it lacks: size of the head, silence of a client, odd targets.

It must not know what is asked; what it refuses politely it leaves in the scope for the application to say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from llm_cache.proxy.corked import Corked
from llm_cache.proxy.incoming import TARGET
from llm_cache.proxy.refusal import Refusal, early_reply
from llm_cache.proxy.shortcut import MOST_REQUEST, WHOLE

if TYPE_CHECKING:
    from llm_cache.proxy.shortcut import Shortcut

SILENCE_S = 60.0
"""How long a client may be silent in the middle of a request."""
HEAD_S = 60.0
"""How long a head may take, however often a few bytes of it come."""
_CONNECTION = frozenset({b"connection", b"proxy-connection"})
"""The fields in which the parser looks for an offer."""


class Connection(HttpToolsProtocol):
    """One client's connection. `limited` makes it a limit of its own."""

    header_bytes = 64 * 1024
    shortcut: Shortcut | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._in_request = False
        self._head_began = False
        self._refused = False
        self._offers = False
        self._head_bytes = 0
        self._head_until = 0.0
        self._piece = 0
        self._seen = 0
        self._silence: asyncio.TimerHandle | None = None
        self._begun = 0
        self._whole = b""
        self._held = b""
        self._used_at = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._corked = Corked(transport, self.loop)
        self._listen()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_listening()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._silence is not None:
            self._stop_listening()
        shortcut, held = self.shortcut, self._held
        if shortcut is None or not (held or self._idle):
            self._follow(data)
            return
        if held:
            data, self._held = held + data, b""
        if (reply := shortcut.reply(data, self.loop)) is not None:
            self.server_state.total_requests += 1
            self._used_at = self.loop.time()
            self.transport.write(reply)
        elif not held and shortcut.begins(data):
            # Most clients send head and body apart.
            self._held = data
            self._listen()
        else:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        """Take bytes that begin a request, and notice if it is one request and nothing else."""
        begun = self._begun
        self._feed(data)
        alone = self._begun == begun + 1 and not self._refused and not self._in_head
        self._whole = data if alone and len(data) <= MOST_REQUEST else b""
        self._note()

    def _follow(self, data: bytes) -> None:
        """Take bytes that go on with a request."""
        begun = self._begun
        self._feed(data)
        if self._whole:
            alone = self._begun == begun and not self._refused
            self._whole = self._whole + data if alone and len(self._whole) + len(data) <= MOST_REQUEST else b""
            self._note()

    def _note(self) -> None:
        """Leave a whole request to the application, which reads it once it has answered."""
        if self._whole and not self._in_request:
            # A client that waits to be told to go on is told so in the long way only.
            if self.cycle.keep_alive and not self.expect_100_continue:
                cast("dict[str, Any]", self.scope)[WHOLE] = self._whole
            self._whole = b""

    @property
    def _idle(self) -> bool:
        """Whether nothing is under way here, so that the next byte begins a request and its reply may leave at once."""
        cycle: RequestResponseCycle | None = self.cycle
        return not (
            self._in_request
            or self.pipeline
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or self.transport.is_closing()
        )

    def timeout_keep_alive_handler(self) -> None:
        left_s = self._used_at + self.timeout_keep_alive - self.loop.time()
        if left_s > 0 and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(left_s, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _feed(self, data: bytes) -> None:
        self._piece = len(data)
        if self._in_head:
            self._seen += self._piece
        self._parse(data)
        if self._in_head:
            # Fields are counted when the head is whole; until then the parser holds them, however long. Bytes before
            # this head may have come in the same piece, so the first one does not count.
            self._head_bytes += 0 if self._head_began else len(data)
            self._head_began = False
            if self._head_bytes > self.header_bytes:
                self._refuse(self._too_large())
                return
        if self._in_request or self._idle:
            # Blank lines between requests begin none, but have ended the wait for one.
            self._listen()

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")
        except httptools.HttpParserUpgrade as offer:
            if self._offers:
                self._decline(data[offer.args[0] :])

    def _decline(self, rest: bytes) -> None:
        """Take a request that offers another protocol as if it had not (RFC 9110, 7.8).

        The parser ends such a request with its head, and would have us pass on the length of a body that never comes.
        """
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            # Whatever the parser could take for the offer goes: it must not see one a second time.
            kept = _without_offer(value) if name in _CONNECTION else value
            lines.append(b"%b: %b" % (name, kept))
        self.parser = httptools.HttpRequestParser(self)
        self._offers = False
        self._parse(b"\r\n".join([*lines, b"", b""]) + rest)

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            self._refuse(
                Refusal(400, "bad_request", "The request is not HTTP that could be understood in one way only.")
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun += 1
        self._in_head = self._in_request = self._head_began = True
        self._head_bytes = 0
        self._head_until = self.loop.time() + HEAD_S
        self._seen = self._piece

    def on_headers_complete(self) -> None:
        # Nearly every head comes with fewer bytes, whatever else came with it, and need not be counted.
        if self._seen > self.header_bytes and self._fields() > self.header_bytes:
            self._refuse(self._too_large())
            raise ValueError("the head is too large")
        self._offers = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offers:
            return
        self._in_head = False
        if not self.url.startswith(b"/"):
            # uvicorn would use the path of a whole URL, as if its host had not been there.
            cast("dict[str, Any]", self.scope)[TARGET] = self.url.decode("latin-1")
        before: RequestResponseCycle | None = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = cast("asyncio.Transport", self._corked)

    def on_response_complete(self) -> None:
        self._corked.over()
        super().on_response_complete()

    def _too_large(self) -> Refusal:
        return Refusal(
            431,
            "head_too_large",
            f"The request's head is over {self.header_bytes / 1024:g} KB, which proxy_max_header_kb"
            " (LLMCACHE_PROXY_MAX_HEADER_KB) allows.",
        )

    def _fields(self) -> int:
        """How many bytes the target and the header fields take."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])

    def on_message_complete(self) -> None:
        if self._offers:
            return
        self._in_request = False
        super().on_message_complete()

    def _listen(self) -> None:
        wait_s = min(SILENCE_S, self._head_until - self.loop.time()) if self._in_head else SILENCE_S
        self._silence = self.loop.call_later(wait_s, self._heard_nothing)

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

    def _refuse(self, refusal: Refusal) -> None:
        self._refused = True
        cycle: RequestResponseCycle | None = self.cycle
        # What is written while the one before is being answered would be taken for a part of that answer.
        alone = cycle is None or cycle.response_complete
        if not alone and self._in_request and not self._in_head:
            alone = cycle is not None and not cycle.response_started  # it is this one's body that is wrong
        if not alone:
            self.transport.close()
        elif not self.transport.is_closing():
            target = getattr(self, "url", b"")  # nothing has begun yet if not even a method was understood
            self.transport.write(early_reply(target, getattr(self, "headers", ()), refusal))
            self.transport.close()


def _without_offer(options: bytes) -> bytes:
    return b",".join([option for option in options.split(b",") if b"upgrade" not in option.lower()])


def limited(header_bytes: int, shortcut: Shortcut | None = None) -> type[asyncio.Protocol]:
    """The protocol class for requests whose head has at most so many bytes, with the short way of a server's hits."""
    return type("Connection", (Connection,), {"header_bytes": header_bytes, "shortcut": shortcut})
