"""Cuts a byte stream into lines of JSON, however its chunks were cut. It must not know what a line means.

What vendors call NDJSON, JSON lines or `application/stream+json`: one JSON text a line
(https://github.com/ndjson/ndjson-spec). Bytes are not decoded: whoever parses the line checks them.
"""

from __future__ import annotations

from llm_cache.core.sse import Event


class LineSplitter:
    """Fed with chunks in order; hands out each line that is not blank when its line feed has arrived.

    As `EventSplitter`: every byte is looked at once, and what is kept is the unfinished line.
    """

    __slots__ = ("_line",)

    broken = False
    """Nothing contradicts this framing: it is for whoever parses a line to say that it is none."""
    remainder = False
    """Nothing is lost at the end of the body: `rest` has it."""
    pending = None
    """Consumers go by lines, so nobody acts on one before its end."""

    def __init__(self) -> None:
        self._line: list[bytes] = []

    def feed(self, data: bytes) -> list[Event]:
        """The lines that these bytes complete."""
        first, *others = data.split(b"\n")
        if first:
            self._line.append(first)
        if not others:
            return []
        lines = [b"".join(self._line), *others[:-1]]
        self._line = [others[-1]] if others[-1] else []
        return [Event(b"", text) for line in lines if (text := line.strip())]

    def rest(self) -> list[Event]:
        """The line that the end of the body completes: readers take the last one without its line feed."""
        text = b"".join(self._line).strip()
        return [Event(b"", text)] if text else []
