"""What the model families on Bedrock answer to invoke: each its own JSON. It must not know how it is carried.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html. Families are told apart by
their replies and not by the names of models, which a customer may give.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from llm_cache.core.model import Reading, Usage
from llm_cache.core.sse import Event
from llm_cache.providers import anthropic, cohere, openai_chat
from llm_cache.providers.parse import Json, Malformed, mapping, maybe, parse, sequence, string, tokens
from llm_cache.providers.reading import BodyJudge, StreamJudge, Told, is_failure, told_by, traits
from llm_cache.providers.usage import bedrock_usage, total

METRICS = "amazon-bedrock-invocationMetrics"
"""In the last chunk of every family."""
_TEXTS = ("outputText", "generation", "text", "completion")
_REASONS = ("completionReason", "stop_reason", "finish_reason", "stopReason", "finishReason")
_LISTS = ("results", "outputs", "generations", "completions")
_OTHERS = ("embedding", "embeddings", "embeddingsByType", "images", "artifacts", "videos", "audio")
_INPUTS = ("inputTextTokenCount", "prompt_token_count")
_OUTPUTS = ("totalOutputTextTokenCount", "generation_token_count")


def inner(event: Event) -> Told:
    """What a chunk of a model's own stream carries.

    Raises:
        Malformed: it is no chunk of JSON.
    """
    told = told_by(event)
    if event.name != b"chunk" or "bytes" not in told.data:
        return told
    try:
        data = parse(base64.b64decode(string(told.data["bytes"]), validate=True))
    except (binascii.Error, ValueError) as error:
        raise Malformed from error
    data = mapping(data)
    kind = data.get("type")
    return Told(kind if isinstance(kind, str) else "", data)


class Judges:
    """Judges the replies of all families.

    Args:
        converse: judges a body that is as converse has it.
        events: judges events that are as converse has them.
    """

    def __init__(self, converse: BodyJudge, events: StreamJudge) -> None:
        self._converse = converse
        self._events = events

    def body(self, body: Json) -> Reading:
        """The reply of a family."""
        if isinstance(body.get("content"), list):
            reading = anthropic.MESSAGE.body(body)
        elif isinstance(body.get("output"), dict):
            reading = self._converse(body)
        elif isinstance(body.get("choices"), list):
            reading = openai_chat.REPLIES.body(body)
        elif isinstance(body.get("embeddings"), (list, dict)):
            reading = cohere.judge_embed(body)
        else:
            reading = _plain([body])
        return _guarded(reading, [body])

    def stream(self, events: Sequence[Told]) -> Reading:
        """The chunks of a family's stream."""
        chunks = [data for _, data in events]
        if not chunks:
            raise Malformed
        if any(kind == "message_start" for kind, _ in events):
            reading = anthropic.MESSAGE.events(events)  # type: ignore[misc]
        elif any("choices" in chunk for chunk in chunks):
            reading = openai_chat.REPLIES.events(events)  # type: ignore[misc]
        elif any(chunk.keys() & {"messageStart", "contentBlockDelta"} for chunk in chunks):
            named = [Told(name, value) for chunk in chunks for name, value in chunk.items() if isinstance(value, dict)]
            reading = self._events(named)
        else:
            reading = _plain(chunks)
        if reading.usage is None:
            metrics = next((maybe(chunk[METRICS]) for chunk in reversed(chunks) if METRICS in chunk), {})
            reading = replace(reading, usage=bedrock_usage(metrics))
        return _guarded(reading, chunks)


def _plain(chunks: Sequence[Json]) -> Reading:
    """Of the families that answer with a text in a field of their own, or with something else than text."""
    if not all(chunks):
        raise Malformed
    said: list[str] = []
    reasons: list[str] = []
    known = other = False
    for item in _items(chunks):
        said += [string(item.get(name)) for name in _TEXTS if name in item]
        known = known or any(name in item for name in _TEXTS)
        reasons += [reason for name in _REASONS if isinstance(reason := item.get(name), str)]
        other = other or "relevance_score" in item or any(item.get(name) for name in _OTHERS)
        known = known or any(name in item for name in (*_LISTS, *_OTHERS))
    return Reading(
        flaw="failed" if any(is_failure(reason) for reason in reasons) else None,
        # A family that nobody has heard of: that there is an answer is all that can be said.
        traits=traits(empty=known and not (other or any(said)), reasons=reasons),
        usage=_counts(chunks),
        text="".join(said),
    )


def _items(chunks: Sequence[Json]) -> Iterator[Json]:
    """The objects that may hold an answer: the chunks, and those in their lists."""
    for chunk in chunks:
        yield chunk
        for name in _LISTS:
            for item in sequence(chunk.get(name)):
                told = mapping(item)
                yield told
                if isinstance(told.get("data"), dict):  # AI21's older models
                    yield {**told["data"], "finishReason": maybe(told.get("finishReason")).get("reason")}


def _counts(chunks: Sequence[Json]) -> Usage | None:
    asked = [count for chunk in chunks for name in _INPUTS if (count := tokens(chunk.get(name))) is not None]
    said = [count for chunk in chunks for name in _OUTPUTS if (count := tokens(chunk.get(name))) is not None]
    if not said:
        results = [mapping(item) for chunk in chunks for item in sequence(chunk.get("results"))]
        written = total(item.get("tokenCount") for item in results)
        said = [] if written is None else [written.input_tokens or 0]
    if not asked and not said:
        return None
    return Usage(input_tokens=asked[0] if asked else None, output_tokens=said[-1] if said else None)


def _guarded(reading: Reading, chunks: Sequence[Json]) -> Reading:
    """With what a guardrail did: one that only masks a name leaves a whole answer, one that blocks does not."""
    if not any(chunk.get("amazon-bedrock-guardrailAction") == "INTERVENED" for chunk in chunks):
        return reading
    traces = [chunk["amazon-bedrock-trace"] for chunk in chunks if chunk.get("amazon-bedrock-trace")]
    if traces and not any(_blocks(trace) for trace in traces):
        return reading
    return replace(reading, traits=reading.traits | {"content_filter"})


def _blocks(trace: Any) -> bool:
    left = [trace]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if value.get("action") == "BLOCKED":
                return True
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return False
