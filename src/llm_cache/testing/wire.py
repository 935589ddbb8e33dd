"""HTTP/1.1 between bytes and messages (RFC 9112). It must not do I/O.

Written by hand although h11 could parse: the answers must be allowed to be wrong, and users of `llm_cache.testing`
need nothing installed beyond the package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from llm_cache.testing.reply import Headers

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_REQUEST_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/(1\.[01])\Z")
_MOST_HEAD: Final = 1 << 20
_NO_BODY: Final = frozenset({204, 304})


class BadRequestError(ValueError):
    """What arrived is not HTTP/1.1; the message says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request, whole."""

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        """May the connection be used again?"""
        connection = _field(self.headers, "connection").lower()
        return "close" not in connection and (self.version == "1.1" or "keep-alive" in connection)

    @property
    def path_and_query(self) -> tuple[str, str]:
        """Both as they were sent; for a request that came as to a forward proxy, without its scheme and host."""
        target = self.target
        if not target.startswith("/"):
            parts = urlsplit(target)
            return parts.path or "/", parts.query
        path, _, query = target.partition("?")
        return path, query


class RequestParser:
    """Fed with what a connection receives, hands out requests when they are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[str, str, str, Headers] | None = None
        self._missing: int | None = None
        """Bytes of body to come; None when the body is chunked."""
        self._chunks = bytearray()
        self._continue_due = False

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes, return the requests that they complete. Raises BadRequestError."""
        self._buffer += data
        done = []
        while (message := self._next()) is not None:
            done.append(message)
        return done

    def take_continue(self) -> bool:
        """Does the client wait for `100 Continue` before it sends its body? True once per request."""
        due, self._continue_due = self._continue_due, False
        return due

    def _next(self) -> Message | None:
        if self._head is None and not self._parse_head():
            return None
        body = self._take_body()
        if body is None or self._head is None:
            return None
        method, target, version, headers = self._head
        self._head = None
        self._continue_due = False
        return Message(method, target, version, headers, body)

    def _parse_head(self) -> bool:
        # RFC 9112 2.2: empty lines before a request line are to be ignored.
        while self._buffer[:2] == b"\r\n":
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise BadRequestError("the request head does not end within 1 MiB")
            return False
        first, *rest = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        line = _REQUEST_LINE.match(first)
        if line is None:
            raise BadRequestError(f"not a request line: {first[:200]!r}")
        headers = tuple(_parse_field(text) for text in rest)
        self._head = (line[1], line[2], line[3], headers)
        coding = _field(headers, "transfer-encoding").lower()
        length = _field(headers, "content-length") or "0"
        if coding not in ("", "chunked") or not length.isascii() or not length.isdigit():
            raise BadRequestError(f"cannot tell where the body ends: {coding or length!r}")
        self._missing = None if coding else int(length)
        self._continue_due = _field(headers, "expect").lower() == "100-continue"
        return True

    def _take_body(self) -> bytes | None:
        if self._missing is None:
            return self._take_chunks()
        if len(self._buffer) < self._missing:
            return None
        body = bytes(self._buffer[: self._missing])
        del self._buffer[: self._missing]
        return body

    def _take_chunks(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size_text = bytes(self._buffer[:end]).split(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise BadRequestError(f"not a chunk size: {size_text[:20]!r}") from None
            if size == 0:
                return self._take_trailer(end)
            if len(self._buffer) < end + 2 + size + 2:
                return None
            self._chunks += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 2 + size + 2]
        return None

    def _take_trailer(self, end: int) -> bytes | None:
        # The last chunk's line, trailer fields if any, an empty line: together they end with a blank line.
        stop = self._buffer.find(b"\r\n\r\n", end)
        if stop < 0:
            return None
        del self._buffer[: stop + 4]
        body = bytes(self._chunks)
        self._chunks.clear()
        return body


def head_bytes(status: int, headers: Headers) -> bytes:
    """Status line and headers of an answer, with the blank line."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"


def has_body(method: str, status: int) -> bool:
    """May the answer to this carry a body at all (RFC 9112 6.3)?"""
    return method != "HEAD" and status >= HTTPStatus.OK and status not in _NO_BODY


def chunk(data: bytes) -> bytes:
    """Data as one chunk of the chunked coding; it must not be empty, which would be the end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"


def _parse_field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name or name != name.strip():
        raise BadRequestError(f"not a header: {text[:200]!r}")
    return name.lower(), value.strip()


def _field(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key == name), "")
