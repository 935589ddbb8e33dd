"""Hugging Face's own tasks: text in, and out a list, vectors, a picture or a sound. It must not know a task by name.

https://huggingface.co/docs/inference-providers/tasks. There are dozens of tasks and each answers with JSON of its own,
or with the bytes of a picture or a sound; what they have in common is that an answer is not empty and no error. Chats
are in OpenAI's words. What is sent as bytes (a picture to classify) is no JSON and passes.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_cache.core.model import Head, Reader, Reading, Step
from llm_cache.core.sse import Event
from llm_cache.providers.format import OUTSIDE, Format, at, has
from llm_cache.providers.openai_audio import Sounds
from llm_cache.providers.parse import Json, Malformed, mapping, parse, string
from llm_cache.providers.reading import Told, is_error, told_by, traits, written
from llm_cache.providers.replies import Replies, Unread

_TEXTS = ("generated_text", "summary_text", "translation_text", "answer", "text")


def _text(answer: object) -> str:
    found = answer if isinstance(answer, list) else [answer]
    said = [
        item[name] for item in found if isinstance(item, dict) for name in _TEXTS if isinstance(item.get(name), str)
    ]
    return "\n".join(said)


def _empty(answer: object) -> bool:
    """Whether there is nothing in it: no item, no member, or only a text of none of a task that writes."""
    if isinstance(answer, list):
        return all(isinstance(item, (dict, list, str)) and _empty(item) for item in answer)
    if isinstance(answer, dict):
        return not any(value != "" for value in answer.values())
    return not answer


class _Answer:
    """Reads one JSON value, an array or an object."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> Step:
        self._chunks.append(data)
        return Step.MORE

    def finish(self) -> Reading:
        try:
            answer = parse(b"".join(self._chunks))
        except Malformed:
            return Reading(flaw="malformed")
        if isinstance(answer, dict) and is_error(answer):
            return Reading(flaw="error")
        if not isinstance(answer, (list, dict)):
            return Reading(flaw="malformed")
        return written(Reading(traits=traits(empty=_empty(answer), reasons=()), text=_text(answer), plain=True))


def _ends(event: Event) -> Step:
    # The last token comes with the whole text, those before it with null in its place.
    if b"generated_text" not in event.data:
        return Step.MORE
    try:
        return Step.COMPLETE if isinstance(told_by(event).data.get("generated_text"), str) else Step.MORE
    except Malformed:
        return Step.MORE


def _judge_tokens(events: Sequence[Told]) -> Reading:
    if not events:
        raise Malformed
    last = events[-1].data
    said = last.get("generated_text")
    if not isinstance(said, str):
        said = "".join(string(mapping(data.get("token")).get("text")) for _, data in events)
    details = mapping(last.get("details"))
    return Reading(traits=traits(empty=not said, reasons=[string(details.get("finish_reason"))]), text=said)


def _judge_body(body: Json) -> Reading:  # noqa: ARG001 - none is good
    # A body is no stream of tokens; `_answers` has its reader.
    raise Malformed


_TOKENS = Replies(_judge_body, _ends, _judge_tokens)


def _answers(head: Head, *, stream: bool, count: int) -> Reader:
    if head.status != 200:
        return Unread(f"status_{head.status}")
    content_type = (head.header("content-type") or "").lower()
    return _TOKENS(head, stream=stream, count=count) if "json" not in content_type and stream else _Answer()


FORMATS = (
    Format(
        "huggingface",
        at("/hf-inference/models/(?P<model>[^/]+(?:/[^/]+)?)(?:/pipeline/[^/]+)?"),
        has("inputs"),
        Sounds(_answers),
        OUTSIDE,
    ),
)
