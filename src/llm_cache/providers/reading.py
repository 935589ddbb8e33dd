"""The readers that every API shares: of one JSON body, and of a stream of events. They know no vendor.

A flaw is one short word, so that it can be counted: `status_404`, `error` (an error event, or an
error in a 200 body), `cut_off` (the stream ended without its terminal event), `failed`,
`cancelled`, `unfinished` (queued or in progress) and `malformed` (not the JSON that this API sends).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from llm_cache.core.model import Head, Reader, Reading, Step
from llm_cache.core.sse import Event, EventSplitter
from llm_cache.providers.parse import Json, Malformed, clean, model_name, parse


class Told(NamedTuple):
    """One event of a stream, parsed: its `type` (or, without one, its name) and its data."""

    kind: str
    data: Json


BodyJudge = Callable[[Json], Reading]
"""Judges a whole body. May raise `Malformed`."""
StreamJudge = Callable[[Sequence[Told]], Reading]
"""Judges the events so far, complete or not; whether they are complete is not its business. May raise `Malformed`."""
Ends = Callable[[Event], Step]
"""What one event says of the stream's end. Called for every event as it passes: it rules out by bytes what it can."""


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
    """Reads one JSON body. It is whole at its end, which only the transport sees."""

    __slots__ = ("_chunks", "_judge")

    def __init__(self, judge: BodyJudge) -> None:
        self._judge = judge
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> Step:
        self._chunks.append(data)
        return Step.MORE

    def finish(self) -> Reading:
        try:
            body = parse(b"".join(self._chunks))
            if not isinstance(body, dict):
                return Reading(flaw="malformed")
            if is_error(body):
                return Reading(flaw="error", model=model_name(body.get("model")))
            return _written(self._judge(body))
        except Malformed:
            return Reading(flaw="malformed")


class StreamReader:
    """Reads server-sent events: looks at each only as far as its end needs, and parses them all once, in `finish`."""

    __slots__ = ("_ends", "_events", "_judge", "_missing", "_pending", "_splitter", "_step")

    def __init__(self, ends: Ends, judge: StreamJudge, terminals: int = 1) -> None:
        self._ends = ends
        self._judge = judge
        self._missing = terminals
        self._splitter = EventSplitter()
        self._events: list[Event] = []
        self._step = Step.MORE
        self._pending: tuple[bytes, Step] = (b"", Step.MORE)

    def feed(self, data: bytes) -> Step:
        events = self._splitter.feed(data)
        self._events += events
        if self._step is Step.COMPLETE:
            return Step.COMPLETE
        for event in events:
            self._step = self._ends(event)
            if self._step is Step.COMPLETE:
                self._missing -= 1
                if self._missing == 0:
                    return Step.COMPLETE
                self._step = Step.MORE
        return self._nearly() if self._step is Step.MORE else self._step

    def finish(self) -> Reading:
        told: list[Told] = []
        malformed = False
        reading = Reading()
        try:
            told.extend(told_by(event) for event in self._events if event.data.strip() not in {b"", b"[DONE]"})
        except Malformed:
            malformed = True
        if any(is_error(data, kind) for kind, data in told) or any(event.name == b"error" for event in self._events):
            reading = Reading(flaw="error")
        try:
            judged = self._judge(told)
            reading = replace(judged, flaw=reading.flaw or judged.flaw)
        except Malformed:
            malformed = True
        flaw = reading.flaw
        if flaw is None and self._step is not Step.COMPLETE:
            flaw = "cut_off"
        elif flaw is None and malformed:
            flaw = "malformed"
        return _written(replace(reading, flaw=flaw))

    def _nearly(self) -> Step:
        """HOLD if the line of the terminal event has come, for consumers that do not wait for its blank line."""
        pending = self._splitter.pending
        if pending is None:
            return Step.MORE
        if pending.data is not self._pending[0]:  # looked at once, however small the chunks
            self._pending = (pending.data, self._ends(pending))
        return Step.MORE if self._pending[1] is Step.MORE else Step.HOLD


def told_by(event: Event) -> Told:
    """The event, parsed.

    Raises:
        Malformed: its data is not a JSON object.
    """
    data = parse(event.data)
    if not isinstance(data, dict):
        raise Malformed
    kind = data.get("type")
    return Told(kind if isinstance(kind, str) else event.name.decode("latin-1"), data)


def kind_of(event: Event) -> str:
    """The type of an event, or "" if it has none or cannot be parsed."""
    try:
        return told_by(event).kind
    except Malformed:
        return ""


def is_error(data: Json, kind: str = "") -> bool:
    """Whether a body or event is the API's way of saying that something went wrong."""
    return bool(data.get("error")) or kind == "error" or data.get("type") == "error" or data.get("object") == "error"


@dataclass(frozen=True)
class Replies:
    """How the replies of one call are read: as a body, and, for a call that has them, as streams.

    `each`: the stream has a terminal event for every result that was asked for.
    """

    body: BodyJudge
    ends: Ends | None = None
    events: StreamJudge | None = None
    each: bool = False

    def __call__(self, head: Head, *, stream: bool, count: int) -> Reader:
        """The reader of a reply with this head."""
        if head.status != 200:
            return Unread(f"status_{head.status}")
        if self.ends is None or self.events is None or not streaming(head, asked=stream):
            return BodyReader(self.body)
        return StreamReader(self.ends, self.events, count if self.each else 1)


def streaming(head: Head, *, asked: bool) -> bool:
    """Whether the reply is a stream: as its content type says, else as was asked for."""
    content_type = (head.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type == "text/event-stream":
        return True
    if content_type == "application/json" or content_type.endswith("+json"):
        return False
    return asked


def traits(*, empty: bool, reasons: Sequence[str], refused: bool = False) -> frozenset[str]:
    """The traits of a reply with these reasons for its end (`finish_reason`, `stop_reason`, …)."""
    found = {_TRAITS.get(reason.partition(":")[0].strip().lower(), "") for reason in reasons} - {""}
    if refused:
        found.add("refusal")
    if empty:
        found.add("empty")
    return frozenset(found)


def is_failure(reason: str) -> bool:
    """Whether this reason for the end says that the model was not let finish."""
    return reason.lower() in _FAILURES


# Each word is documented by at least one vendor; Google's compatible endpoint writes `content_filter: SAFETY`.
_TRAITS = {
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",  # Z.ai
    "refusal": "refusal",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",
}
_FAILURES = frozenset(
    {
        "abort",  # vLLM
        "aborted",
        "canceled",
        "cancelled",
        "error",  # Mistral, OpenRouter
        "failed",
        "insufficient_system_resource",  # DeepSeek
        "network_error",  # Z.ai
    }
)


def _written(reading: Reading) -> Reading:
    """The reading with a text that can be stored, or none."""
    return replace(reading, text=clean(reading.text) if reading.text else None)
