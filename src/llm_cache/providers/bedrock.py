"""Amazon Bedrock's formats: converse and invoke, plain and as binary event streams. It must not sign anything.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and …_InvokeModel.html.
Converse is one format for all models. Invoke carries each model family's own; `bedrock_families.py` knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from llm_cache.core.eventstream import FrameSplitter
from llm_cache.core.model import Head, Reader, Reading, Step, Usage
from llm_cache.core.sse import Event
from llm_cache.providers import bedrock_families
from llm_cache.providers.bedrock_families import METRICS, inner
from llm_cache.providers.format import OUTSIDE, Format, MakeReader, always, at, has_messages, never
from llm_cache.providers.parse import Json, Malformed, mapping, maybe, sequence, string, tokens, whole
from llm_cache.providers.reading import Told, is_failure, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import bedrock_usage

_SILENT = frozenset({"reasoningContent"})  # blocks that are no answer


def _ends(event: Event) -> Step:
    return Step.COMPLETE if event.name == b"metadata" else Step.MORE


def judge_converse(body: Json) -> Reading:
    """The answer of converse, which Nova's models give to invoke as well."""
    message = mapping(maybe(body.get("output")).get("message"))
    if not message:
        raise Malformed
    blocks = [mapping(block) for block in sequence(message.get("content"))]
    return _reading(blocks, string(body.get("stopReason")), bedrock_usage(body.get("usage"), body.get("serviceTier")))


def judge_events(events: Sequence[Told]) -> Reading:
    """The events of converse, likewise."""
    blocks: dict[int, Json] = {}
    text: dict[int, list[str]] = {}
    reason, usage = "", None
    for kind, data in events:
        if kind == "messageStop":
            reason = string(data.get("stopReason"))
        elif kind == "metadata":
            usage = bedrock_usage(data.get("usage"), data.get("serviceTier"))
        elif kind in {"contentBlockStart", "contentBlockDelta"}:
            place = whole(data.get("contentBlockIndex"))
            piece = mapping(data.get("start") or data.get("delta"))
            blocks.setdefault(place, {}).update(piece)
            text.setdefault(place, []).append(string(piece.get("text")))
    if not events:
        raise Malformed
    whole_blocks = [
        {**block, "text": "".join(text[place])} if any(text[place]) else block
        for place, block in sorted(blocks.items())
    ]
    reading = _reading(whole_blocks, reason, usage)
    return reading if reason else replace(reading, flaw="cut_off")


def _reading(blocks: Sequence[Json], reason: str, usage: Usage | None) -> Reading:
    said = [string(block.get("text")) for block in blocks]
    called = any(block.keys() - _SILENT - {"text"} for block in blocks)
    return Reading(
        flaw="failed" if is_failure(reason) else None,
        traits=traits(empty=not (called or any(said)), reasons=[reason]),
        usage=usage,
        text="".join(said),
    )


# Invoke


def _ends_invoke(event: Event) -> Step:
    try:
        return Step.COMPLETE if METRICS in inner(event).data else Step.MORE
    except Malformed:
        return Step.MORE


def _ended_invoke(events: Sequence[Told], count: int) -> bool:  # noqa: ARG001 - there is one result
    # A prompt that a guardrail blocks never reaches a model, so it has no metrics.
    return bool(events) and events[-1].data.get("totalOutputTextTokenCount") is not None


class _Counted:
    """Makes readers that take the tokens from the head where the body does not tell them."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    def __call__(self, head: Head, *, stream: bool, count: int) -> Reader:
        reader = self._replies(head, stream=stream, count=count)
        asked, said = (tokens(_number(head.header(f"x-amzn-bedrock-{way}-token-count"))) for way in ("input", "output"))
        if asked is None and said is None:
            return reader
        return _Told(reader, Usage(input_tokens=asked, output_tokens=said))


class _Told:
    """A reader with a usage for a reply that tells none."""

    __slots__ = ("_reader", "_usage", "feed")

    def __init__(self, reader: Reader, usage: Usage) -> None:
        self._reader = reader
        self._usage = usage
        self.feed: Callable[[bytes], Step] = reader.feed

    def finish(self) -> Reading:
        reading = self._reader.finish()
        return replace(reading, usage=reading.usage or self._usage)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None


def _format(way: str, accepts: Callable[[Json], bool], reader: MakeReader, streams: Callable[[Json], bool]) -> Format:
    return Format("bedrock", at(f"/model/(?P<model>[^/]+)/{way}"), accepts, reader, OUTSIDE, streams=streams)


_JUDGES = bedrock_families.Judges(judge_converse, judge_events)
_CONVERSE = Replies(judge_converse, _ends, judge_events, framing=FrameSplitter)
_INVOKE = _Counted(
    Replies(_JUDGES.body, _ends_invoke, _JUDGES.stream, ended=_ended_invoke, framing=FrameSplitter, told=inner)
)

FORMATS = (
    _format("converse", has_messages, _CONVERSE, never),
    _format("converse-stream", has_messages, _CONVERSE, always),
    _format("invoke", always, _INVOKE, never),
    _format("invoke-with-response-stream", always, _INVOKE, always),
)
