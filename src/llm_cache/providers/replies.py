"""The readers that every API shares: of one JSON body, and of a stream in any of four framings. They know no vendor.

A flaw is one short word, so that it can be counted: `status_404`, `error` (an error event, or an
error in a 200 body), `cut_off` (the stream ended without its terminal event), `failed`,
`cancelled`, `unfinished` (queued or in progress) and `malformed` (not the JSON that this API sends).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from llm_cache.core.eventstream import FrameSplitter
from llm_cache.core.lines import LineSplitter
from llm_cache.core.model import Head, Reader, Reading, Step
from llm_cache.core.sse import Event, EventSplitter
from llm_cache.providers.parse import Malformed, model_name, parse
from llm_cache.providers.reading import BodyJudge, Ended, Ends, StreamJudge, Told, is_error, told_by, written


class Splitter(Protocol):
    """Cuts a stream into events, in one of the framings that vendors use."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        ...

    def rest(self) -> list[Event]:
        """The events that the end of the body would complete here."""
        ...

    @property
    def pending(self) -> Event | None:
        """What some consumers take for an event before it is one."""
        ...

    @property
    def remainder(self) -> bool:
        """Whether bytes have come that would be lost if the body ended here."""
        ...

    @property
    def broken(self) -> bool:
        """Whether what came is not in this framing."""
        ...


_FRAMINGS: dict[str, Callable[[], Splitter]] = {
    "text/event-stream": EventSplitter,
    "application/x-ndjson": LineSplitter,
    "application/ndjson": LineSplitter,
    "application/jsonl": LineSplitter,
    "application/stream+json": LineSplitter,  # Cohere v1
    "application/vnd.amazon.eventstream": FrameSplitter,
}


class Unread:
    """The reader of a reply that is not kept whatever it holds."""

    __slots__ = ("_reading",)

    def __init__(self, flaw: str) -> None:
        self._reading = Reading(flaw=flaw)

    def feed(self, data: bytes) -> Step:
        return Step.MORE

    def finish(self) -> Reading:
        return self._reading


class BodyReader:
    """Reads one JSON body. It is whole at its end, which only the transport sees.

    With `replies` that come as arrays, a stream may be one: Gemini sends the chunks of an answer as
    the items of an array, piece by piece, and only its last bracket says that it is whole.
    """

    __slots__ = ("_chunks", "_count", "_replies")

    def __init__(self, replies: Replies, count: int = 1) -> None:
        self._replies = replies
        self._count = count
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> Step:
        self._chunks.append(data)
        return Step.MORE

    def finish(self) -> Reading:
        try:
            body = parse(b"".join(self._chunks))
            if isinstance(body, list) and self._replies.arrays:
                return self._array(body)
            if not isinstance(body, dict):
                return Reading(flaw="malformed")
            if is_error(body):
                return Reading(flaw="error", model=model_name(body.get("model")))
            # Where a stream may be an array, an object is none.
            return written(replace(self._replies.body(body), plain=self._replies.arrays))
        except Malformed:
            return Reading(flaw="malformed")

    def _array(self, items: list[object]) -> Reading:
        told = [Told("", item) for item in items if isinstance(item, dict)]
        if len(told) < len(items) or self._replies.events is None or self._replies.ended is None:
            raise Malformed
        reading = self._replies.events(told)
        if any(is_error(item.data) for item in told):
            return written(replace(reading, flaw="error"))
        if reading.flaw is None and not self._replies.ended(told, self._count):
            reading = replace(reading, flaw="cut_off")
        return written(reading)


class StreamReader:
    """Reads a stream of events: looks at each only as far as its end needs, and parses them all once, in `finish`."""

    __slots__ = ("_count", "_ends", "_events", "_judge", "_missing", "_pending", "_replies", "_splitter", "_step")

    def __init__(self, replies: Replies, judge: StreamJudge, splitter: Splitter, count: int) -> None:
        self._replies = replies
        self._ends = replies.ends
        self._judge = judge
        self._count = count
        self._missing = count if replies.each else 1
        self._splitter = splitter
        self._events: list[Event] = []
        self._step = Step.MORE
        self._pending: tuple[bytes, Step] = (b"", Step.MORE)

    def feed(self, data: bytes) -> Step:
        events = self._splitter.feed(data)
        self._events += events
        if self._step is Step.COMPLETE or self._ends is None:
            return self._step
        for event in events:
            self._step = self._ends(event)
            if self._step is Step.COMPLETE:
                self._missing -= 1
                if self._missing == 0:
                    return Step.COMPLETE
                self._step = Step.MORE
        return self._nearly(self._ends) if self._step is Step.MORE else self._step

    def finish(self) -> Reading:
        rest = self._splitter.rest()
        events = [*self._events, *rest]
        told: list[Told] = []
        malformed = self._splitter.broken
        reading = Reading()
        try:
            told.extend(self._replies.told(event) for event in events if event.data.strip() not in {b"", b"[DONE]"})
        except Malformed:
            malformed = True
        if any(is_error(data, kind) for kind, data in told) or any(event.name == b"error" for event in events):
            reading = Reading(flaw="error")
        try:
            judged = self._judge(told)
            reading = replace(judged, flaw=reading.flaw or judged.flaw)
        except Malformed:
            malformed = True
        flaw = reading.flaw
        if flaw is None and not self._complete(told, rest, malformed=malformed):
            flaw = "cut_off"
        elif flaw is None and malformed:
            flaw = "malformed"
        return written(replace(reading, flaw=flaw))

    def _complete(self, told: Sequence[Told], rest: Sequence[Event], *, malformed: bool) -> bool:
        """Whether the reply is whole if its body ends here."""
        if self._step is Step.COMPLETE:
            return True
        if self._ends is not None:
            over = sum(self._ends(event) is Step.COMPLETE for event in rest)
            if over and over >= self._missing:
                return True
        if self._replies.ended is None or malformed or self._splitter.remainder:
            return False
        try:
            return self._replies.ended(told, self._count)
        except Malformed:
            return False

    def _nearly(self, ends: Ends) -> Step:
        """HOLD if the line of the terminal event has come, for consumers that do not wait for its blank line."""
        pending = self._splitter.pending
        if pending is None:
            return Step.MORE
        if pending.data is not self._pending[0]:  # looked at once, however small the chunks
            self._pending = (pending.data, ends(pending))
        return Step.MORE if self._pending[1] is Step.MORE else Step.HOLD


@dataclass(frozen=True)
class Replies:
    """How the replies of one call are read: as a body, and, for a call that has them, as streams.

    Attributes:
        body: judges a body.
        ends: finds the terminal event of a stream; None if the API has none.
        events: judges a stream; None if the call has none.
        each: the stream has a terminal event for every result that was asked for.
        ended: for streams without a terminal event.
        framing: of a stream whose content type does not tell.
        arrays: a stream may come as one JSON array.
        told: parses an event.
    """

    body: BodyJudge
    ends: Ends | None = None
    events: StreamJudge | None = None
    each: bool = False
    ended: Ended | None = None
    framing: Callable[[], Splitter] = EventSplitter
    arrays: bool = False
    told: Callable[[Event], Told] = told_by

    def __call__(self, head: Head, *, stream: bool, count: int) -> Reader:
        """The reader of a reply with this head."""
        if head.status != 200:
            return Unread(f"status_{head.status}")
        splitter = self._splitter(head, asked=stream)
        if self.events is None or splitter is None:
            return BodyReader(self, count)
        return StreamReader(self, self.events, splitter, count)

    def _splitter(self, head: Head, *, asked: bool) -> Splitter | None:
        """What cuts the reply if it is a stream: as its content type says, else as was asked for."""
        content_type = (head.header("content-type") or "").partition(";")[0].strip().lower()
        known = _FRAMINGS.get(content_type)
        if known is not None:
            return known()
        if content_type == "application/json" or content_type.endswith("+json"):
            return None
        return self.framing() if asked else None
