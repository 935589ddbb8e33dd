"""Anthropic's formats: messages, token counts, and the old text completions. It must not know other vendors.

https://docs.anthropic.com/en/api/messages-streaming for the events.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_cache.core.model import Reading, Step
from llm_cache.core.sse import Event
from llm_cache.providers.anthropic_marks import unmark
from llm_cache.providers.format import OUTSIDE, Format, Match, after_v1, has, has_messages
from llm_cache.providers.parse import Json, Malformed, mapping, maybe, model_name, sequence, string, whole
from llm_cache.providers.reading import Told, is_failure, kind_of, told_by, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import FREE, anthropic_usage

_THREAD = re.compile("/threads/[^/]+/messages$")
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})


@dataclass
class _Block:
    """One block of an answer, as far as it has come."""

    kind: str
    text: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return self.kind in _THOUGHTS or (self.kind == "text" and not any(self.text))


def _ends(event: Event) -> Step:
    # By bytes first; a text that holds these words costs one parse.
    if event.name == b"message_stop" or b"message_stop" in event.data:
        return Step.COMPLETE if kind_of(event) == "message_stop" else Step.MORE
    if b"stop_reason" in event.data and kind_of(event) == "message_delta":
        # litellm stops reading here, before `message_stop`.
        delta = maybe(told_by(event).data.get("delta"))
        return Step.HOLD if delta.get("stop_reason") is not None else Step.MORE
    return Step.MORE


def _judge_body(body: Json) -> Reading:
    if not isinstance(body.get("content"), list):
        raise Malformed
    blocks = [_block(item) for item in body["content"]]
    return _reading(blocks, string(body.get("stop_reason")), body, maybe(body.get("usage")))


def _judge_stream(events: Sequence[Told]) -> Reading:
    message: Json | None = None
    usage: Json = {}
    blocks: dict[int, _Block] = {}
    reason = ""
    for kind, data in events:
        if kind == "message_start":
            message = mapping(data.get("message"))
            usage.update(maybe(message.get("usage")))
            for item in sequence(message.get("content")):
                blocks[len(blocks)] = _block(item)
        elif kind == "content_block_start":
            blocks[whole(data.get("index"))] = _block(data.get("content_block"))
        elif kind == "content_block_delta":
            block = blocks.setdefault(whole(data.get("index")), _Block("text"))
            block.text.append(string(mapping(data.get("delta")).get("text")))
        elif kind == "message_delta":
            reason = string(mapping(data.get("delta")).get("stop_reason")) or reason
            # Counts are cumulative; what a later event leaves out or null holds from before.
            usage.update((name, count) for name, count in maybe(data.get("usage")).items() if count is not None)
    if message is None:
        raise Malformed
    return _reading([block for _, block in sorted(blocks.items())], reason, message, usage)


def _block(value: object) -> _Block:
    told = mapping(value)
    return _Block(string(told.get("type")), [string(told.get("text"))] if told.get("type") == "text" else [])


def _reading(blocks: Sequence[_Block], reason: str, message: Json, usage: Json) -> Reading:
    return Reading(
        flaw="failed" if is_failure(reason) else None,
        traits=traits(empty=all(block.empty for block in blocks), reasons=[reason]),
        model=model_name(message.get("model")),
        usage=anthropic_usage(usage),
        text="".join(piece for block in blocks if block.kind == "text" for piece in block.text),
    )


def _ends_completion(event: Event) -> Step:
    if b"stop_reason" not in event.data:
        return Step.MORE
    try:
        data = told_by(event).data
    except Malformed:
        return Step.MORE
    return Step.COMPLETE if data.get("stop_reason") is not None and "completion" in data else Step.MORE


def _judge_completion(body: Json) -> Reading:
    if "completion" not in body:
        raise Malformed
    return _judge_completions([Told("completion", body)])


def _judge_completions(events: Sequence[Told]) -> Reading:
    pieces = [data for _, data in events if "completion" in data]
    text = "".join(string(data.get("completion")) for data in pieces)
    reasons = [string(data.get("stop_reason")) for data in pieces]
    models = [name for data in pieces if (name := model_name(data.get("model")))]
    return Reading(traits=traits(empty=not text, reasons=reasons), model=models[-1] if models else None, text=text)


def judge_count(body: Json) -> Reading:
    """A count of tokens, here or on another vendor's platform."""
    if "input_tokens" not in body:
        raise Malformed
    whole(body["input_tokens"])
    return Reading(usage=FREE)


def _at_messages(path: str) -> Match | None:
    """`/messages`, but not OpenAI's `/threads/{id}/messages`."""
    return None if _THREAD.search(path) else after_v1("/messages")(path)


MESSAGE = Replies(_judge_body, _ends, _judge_stream)
_COMPLETION = Replies(_judge_completion, _ends_completion, _judge_completions)
_VERSION = "anthropic-version"

FORMATS = (
    Format("anthropic", after_v1("/messages/count_tokens"), has_messages, Replies(judge_count), OUTSIDE, unmark),
    Format("anthropic", _at_messages, has_messages, MESSAGE, OUTSIDE, unmark, proof=("max_tokens", _VERSION)),
    Format(
        "anthropic",
        after_v1("/complete"),
        has("prompt"),
        _COMPLETION,
        OUTSIDE,
        proof=("max_tokens_to_sample", _VERSION),
    ),
)
