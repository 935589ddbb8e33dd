"""Cuts a byte stream into AWS's binary event messages, however its chunks were cut. It must not know what one means.

A message is twelve bytes of prelude (its length, the length of its headers, the CRC of both),
headers, a payload and the CRC of all before it, big-endian
(https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html).
"""

from __future__ import annotations

import struct
from zlib import crc32

from llm_cache.core.sse import Event

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LEAST = _PRELUDE.size + _CRC.size
_MOST = 24 * 1024 * 1024
"""What AWS allows: 16 MiB of payload and 128 KiB of headers, and some more. A longer one is garbage."""
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; types 6 and 7, bytes and text, have a length before them."""
_TEXT = 7


class FrameSplitter:
    """Fed with chunks in order; hands out each message when its last byte has arrived and both its sums are right.

    The name of an event is its `:event-type`; every message that is no event (an exception, an error)
    is named `error`, as vendors of server-sent events name theirs. After a wrong sum nothing more is
    handed out: where the next message begins can no longer be known.
    """

    __slots__ = ("_data", "_wanted", "broken")

    pending = None
    """Consumers check the sum, so nobody acts on a message before its end."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._wanted = _PRELUDE.size
        self.broken = False
        """Whether what came is no sequence of messages."""

    def feed(self, data: bytes) -> list[Event]:
        """The messages that these bytes complete."""
        if self.broken:
            return []
        self._data += data
        events: list[Event] = []
        at = 0
        while len(self._data) - at >= self._wanted:
            size = self._size(at)
            if size is None:
                self._data.clear()
                self.broken = True
                return events
            if len(self._data) - at < size:
                self._wanted = size
                break
            event = _message(bytes(memoryview(self._data)[at : at + size]))
            if event is None:
                self._data.clear()
                self.broken = True
                return events
            events.append(event)
            at += size
            self._wanted = _PRELUDE.size
        del self._data[:at]
        return events

    def rest(self) -> list[Event]:
        """The messages that the end of the body completes: none."""
        return []

    @property
    def remainder(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._data)

    def _size(self, at: int) -> int | None:
        """The length of the message whose prelude is there, or None if it is none."""
        size, headers, checksum = _PRELUDE.unpack_from(self._data, at)
        if crc32(self._data[at : at + _PRELUDE.size - _CRC.size]) != checksum:
            return None
        if not _LEAST + headers <= size <= _MOST:
            return None
        return int(size)


def _message(data: bytes) -> Event | None:
    """One whole message, or None if its sum or its headers are wrong."""
    (checksum,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if crc32(data[: -_CRC.size]) != checksum:
        return None
    length = _PRELUDE.unpack_from(data)[1]
    try:
        headers = _headers(data[_PRELUDE.size : _PRELUDE.size + length])
    except (IndexError, struct.error):
        return None
    kind = headers.get(b":message-type", b"event")
    name = headers.get(b":event-type", b"") if kind == b"event" else b"error"
    return Event(name, data[_PRELUDE.size + length : -_CRC.size])


def _headers(data: bytes) -> dict[bytes, bytes]:
    """The headers that hold text, by name.

    Raises:
        IndexError, struct.error: they are none.
    """
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        name, kind = data[at + 1 : end], data[end]
        at = end + 1
        size = _SIZES.get(kind)
        if size is None:
            if kind not in {6, _TEXT}:
                raise IndexError(kind)
            (size,) = struct.unpack_from(">H", data, at)
            at += 2
        if at + size > len(data):
            raise IndexError(at)
        if kind == _TEXT:
            found[name] = data[at : at + size]
        at += size
    return found
