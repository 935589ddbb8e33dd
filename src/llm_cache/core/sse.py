"""Cuts a byte stream into server-sent events, however its chunks were cut. It must not know what an event means.

The format is section 9.2.6 of the HTML standard ("Interpreting an event stream",
https://html.spec.whatwg.org/multipage/server-sent-events.html). `id` and `retry` steer a browser's
reconnection and are passed over. Bytes are not decoded: whoever parses the data checks them.
"""

from __future__ import annotations

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One dispatched event.

    `name` is empty for an event without an `event` field; `data` are its data lines, joined by line feeds.
    """

    name: bytes
    data: bytes


class EventSplitter:
    """Fed with chunks in order; hands out each event when its blank line has arrived.

    Every byte is looked at once, and an unfinished line is kept as the pieces it came in: ten
    thousand small chunks cost ten thousand small steps. What is kept is the unfinished event only;
    whoever feeds it bounds the total.
    """

    __slots__ = ("_after_cr", "_begun", "_data", "_line", "_name")

    broken = False
    """Any bytes are an event stream, by the standard."""

    def __init__(self) -> None:
        self._begun = False
        self._after_cr = False
        self._line: list[bytes] = []
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if not self._begun:
            data = self._begin(data)
        if self._after_cr and data:
            # The CR has ended its line already; a LF right behind it belongs to it.
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if not data:
            return []
        self._after_cr = data[-1] == 13
        lines = data.splitlines()  # of bytes: at LF, CR and CRLF only, as the standard wants it
        rest = lines.pop() if data[-1] not in b"\r\n" else b""
        if lines and self._line:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line.clear()
        if rest:
            self._line.append(rest)
        events: list[Event] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(Event(self._name, b"\n".join(self._data)))
                    self._data = []
                self._name = b""
            else:
                self._take(line)
        return events

    @property
    def pending(self) -> Event | None:
        """The event whose one data line has come and whose blank line has not.

        Not an event yet, and never one if the stream ends here; but consumers that go by lines act on
        it. None for several data lines: no vendor's terminal event has them, and joining them on
        every call would not be linear.
        """
        return Event(self._name, self._data[0]) if len(self._data) == 1 else None

    def rest(self) -> list[Event]:
        """The events that the end of the body completes: none, what has no blank line is dropped."""
        return []

    @property
    def remainder(self) -> bool:
        """Whether bytes have come that belong to no dispatched event: if the stream ends here, they are lost."""
        return bool(self._line or self._data or self._name)

    def _begin(self, data: bytes) -> bytes:
        data = b"".join((*self._line, data))
        self._line.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            if data:
                self._line.append(data)
            return b""
        self._begun = True
        return data.removeprefix(_BOM)

    def _take(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            return
        name, _, value = line.partition(b":")
        if name == b"event":
            self._name = value.removeprefix(b" ")
        elif name == b"data":
            self._data.append(b"")
        # Everything else is a comment (it has no name), `id`, `retry`, or a field that nobody knows.
