"""OpenAI's speech and transcription replies: sound, plain text, JSON and events. It must not know what a sound holds.

https://platform.openai.com/docs/api-reference/audio. Sound and plain text say nothing of their own
end: they are whole if the length of the body says so, or its transfer does.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_cache.core.model import Head, Reader, Reading, Step
from llm_cache.core.sse import Event
from llm_cache.providers.format import MakeReader
from llm_cache.providers.parse import Json, Malformed, model_name, string
from llm_cache.providers.reading import Told, kind_of, traits, written
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import openai_usage

_ENDS = {"speech.audio.done", "transcript.text.done"}


class _Bytes:
    """Reads a reply that is no JSON: its bytes are the answer."""

    __slots__ = ("_chunks", "_framed", "_text")

    def __init__(self, *, framed: bool, text: bool) -> None:
        self._framed = framed
        self._text = text
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> Step:
        self._chunks.append(data)
        return Step.MORE

    def finish(self) -> Reading:
        body = b"".join(self._chunks)
        said = body.decode(errors="replace") if self._text else None
        empty = not (body.strip() if self._text else body)
        return written(
            Reading(flaw=None if self._framed else "cut_off", traits=traits(empty=empty, reasons=()), text=said)
        )


class Sounds:
    """Makes the readers of calls whose replies may be something else than JSON.

    Args:
        replies: makes the readers of those that are JSON or events.
    """

    def __init__(self, replies: MakeReader) -> None:
        self._replies = replies

    def __call__(self, head: Head, *, stream: bool, count: int) -> Reader:
        content_type = (head.header("content-type") or "").partition(";")[0].strip().lower()
        if head.status != 200 or content_type.endswith("json") or content_type == "text/event-stream":
            return self._replies(head, stream=stream, count=count)
        # HTTP/1 without either ends a body by closing the connection, which is what a failure looks like too
        # (RFC 9112, 6.3). HTTP/2 needs neither and has no such header.
        framed = any(head.header(name) is not None for name in ("content-length", "transfer-encoding"))
        return _Bytes(
            framed=framed or (head.header("connection") or "").lower() != "close",
            text=content_type.startswith("text/") or content_type in {"", "application/x-subrip"},
        )


def _ends(event: Event) -> Step:
    if b".done" in event.data or event.name.endswith(b".done"):
        return Step.COMPLETE if kind_of(event) in _ENDS else Step.MORE
    return Step.MORE


def _judge_speech(body: Json) -> Reading:
    """Some vendors send the sound in JSON, in a field of their own."""
    found = any(isinstance(value, str) and len(value) > 100 for value in body.values())
    if not found:
        raise Malformed
    return Reading(model=model_name(body.get("model")), usage=openai_usage(body.get("usage")))


def _judge_text(body: Json) -> Reading:
    if "text" not in body:
        raise Malformed
    said = string(body["text"])
    return Reading(
        # Silence has no words, and an answer all the same.
        traits=traits(empty=not (said or body.get("segments") or "usage" in body), reasons=()),
        model=model_name(body.get("model")),
        usage=openai_usage(body.get("usage")),
        text=said,
    )


def _judge_events(events: Sequence[Told]) -> Reading:
    if not events:
        raise Malformed
    done = next((data for kind, data in reversed(events) if kind in _ENDS), {})
    sound = any(data.get("audio") for kind, data in events if kind == "speech.audio.delta")
    text = string(done.get("text")) or "".join(string(data.get("delta")) for _, data in events)
    return Reading(
        traits=traits(empty=not (sound or text), reasons=()), usage=openai_usage(done.get("usage")), text=text
    )


SPEECH = Sounds(Replies(_judge_speech, _ends, _judge_events))
TRANSCRIPT = Sounds(Replies(_judge_text, _ends, _judge_events))
