"""Cohere's formats: chat of versions 1 and 2, and what surrounds it. It must not know other vendors.

https://docs.cohere.com/reference/chat and https://docs.cohere.com/v2/docs/streaming for the events.
Version 1 streams lines of JSON (or the same as server-sent events), version 2 server-sent events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llm_cache.core.lines import LineSplitter
from llm_cache.core.model import Reading, Step
from llm_cache.core.sse import Event
from llm_cache.providers.format import OUTSIDE, Format, after_v1, at, has, has_messages
from llm_cache.providers.parse import Json, Malformed, mapping, model_name, sequence, string
from llm_cache.providers.reading import Told, is_failure, kind_of, told_by, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import FREE, cohere_usage, embedding_usage

_SILENT = frozenset({"thinking"})  # parts of a content list that are no answer


# Version 2


def _ends_chat(event: Event) -> Step:
    if b"message-end" in event.data or event.name == b"message-end":
        return Step.COMPLETE if kind_of(event) == "message-end" else Step.MORE
    return Step.MORE


def _judge_chat(body: Json) -> Reading:
    message = mapping(body.get("message"))
    if "message" not in body:
        raise Malformed
    parts = [mapping(part) for part in sequence(message.get("content"))]
    return _reading(parts, bool(message.get("tool_calls")), string(body.get("finish_reason")), body)


def _judge_chat_stream(events: Sequence[Told]) -> Reading:
    parts: list[Json] = []
    called = False
    end: Json = {}
    for kind, data in events:
        delta = mapping(data.get("delta"))
        if kind == "message-end":
            end = delta
        elif kind == "tool-call-start":
            called = True
        elif kind in {"content-start", "content-delta"}:
            content = mapping(mapping(delta.get("message")).get("content"))
            parts.append({"type": "thinking"} if content.get("thinking") else content)
    if not events:
        raise Malformed
    return _reading(parts, called, string(end.get("finish_reason")), end)


def _reading(parts: Sequence[Json], called: bool, reason: str, told: Json) -> Reading:
    said = [string(part.get("text")) for part in parts if part.get("type") not in _SILENT]
    return Reading(
        flaw="failed" if is_failure(reason) or told.get("error") else None,
        traits=traits(empty=not (called or any(said)), reasons=[reason]),
        usage=cohere_usage(told.get("usage")),
        text="".join(said),
    )


# Version 1


def _is_end(data: Json) -> bool:
    return data.get("event_type") == "stream-end" or data.get("is_finished") is True


def _ends_lines(event: Event) -> Step:
    if b"stream-end" not in event.data and b"is_finished" not in event.data:
        return Step.MORE
    try:
        return Step.COMPLETE if _is_end(told_by(event).data) else Step.MORE
    except Malformed:
        return Step.MORE


def _judge_text(body: Json) -> Reading:
    """A chat's answer, or a summary: one text."""
    name = "text" if "text" in body else "summary"
    if name not in body:
        raise Malformed
    said, reason = string(body[name]), string(body.get("finish_reason"))
    return Reading(
        flaw="failed" if is_failure(reason) else None,
        # `search_queries_only` answers with queries in place of a text.
        traits=traits(empty=not (said or body.get("tool_calls") or body.get("search_queries")), reasons=[reason]),
        usage=cohere_usage(body.get("meta")),
        text=said,
    )


def _judge_generations(body: Json) -> Reading:
    if not isinstance(body.get("generations"), list):
        raise Malformed
    found = [mapping(item) for item in body["generations"]]
    said = [string(item.get("text")) for item in found]
    reasons = [string(item.get("finish_reason")) for item in found]
    return Reading(
        flaw="failed" if any(is_failure(reason) for reason in reasons) else None,
        traits=traits(empty=not any(said), reasons=reasons),
        usage=cohere_usage(body.get("meta")),
        text="\n".join(text for text in said if text),
    )


def _judge_lines(events: Sequence[Told]) -> Reading:
    """A stream of chat or of generate: its last event has the whole response again."""
    ends = [data for _, data in events if _is_end(data)]
    if not events:
        raise Malformed
    if not ends:
        return Reading(text="".join(string(data.get("text")) for _, data in events))
    response = {**mapping(ends[-1].get("response"))}
    reason = string(ends[-1].get("finish_reason")) or string(response.get("finish_reason"))
    if "generations" in response:
        return _judge_generations(response)
    return _judge_text({"text": "", **response, "finish_reason": reason})


# Everything else


def judge_embed(body: Json) -> Reading:
    """Vectors, here or on another vendor's platform."""
    found = body.get("embeddings")
    if not isinstance(found, (list, dict)):
        raise Malformed
    # A list of vectors, or, where types were asked for, such a list by each type.
    kinds = list(found.values()) if isinstance(found, dict) else [found]
    return Reading(traits=traits(empty=not any(kinds), reasons=()), usage=cohere_usage(body.get("meta")))


def _judge_rerank(body: Json) -> Reading:
    results = body.get("results", body.get("data"))  # Voyage says data
    if not isinstance(results, list):
        raise Malformed
    return Reading(
        traits=traits(empty=not results, reasons=()),
        model=model_name(body.get("model")),
        usage=cohere_usage(body.get("meta")) or embedding_usage(body.get("usage")),
    )


def _judge_classes(body: Json) -> Reading:
    if not isinstance(body.get("classifications"), list):
        raise Malformed
    return Reading(traits=traits(empty=not body["classifications"], reasons=()), usage=cohere_usage(body.get("meta")))


def _judge_tokens(body: Json) -> Reading:
    if not isinstance(body.get("tokens"), list) and not isinstance(body.get("text"), str):
        raise Malformed
    return Reading(usage=FREE)


def _conversation(body: Json) -> str | None:
    """A conversation on the server grows with every call: equal requests have different answers."""
    return "conversation" if body.get("conversation_id") is not None else None


def _format(
    ending: str,
    accepts: Callable[[Json], bool],
    replies: Replies,
    uncacheable: Callable[[Json], str | None] | None = None,
) -> Format:
    return Format("cohere", at(ending), accepts, replies, OUTSIDE, uncacheable=uncacheable)


def _ranks(body: Json) -> bool:
    return "query" in body and "documents" in body


FORMATS = (
    _format("/v2/chat", has_messages, Replies(_judge_chat, _ends_chat, _judge_chat_stream)),
    _format(
        "/v1/chat",
        has("message"),
        Replies(_judge_text, _ends_lines, _judge_lines, framing=LineSplitter),
        uncacheable=_conversation,
    ),
    _format(
        "/v1/generate", has("prompt"), Replies(_judge_generations, _ends_lines, _judge_lines, framing=LineSplitter)
    ),
    _format("/v[12]/embed", has("texts", "images", "inputs"), Replies(judge_embed)),
    _format("/v2/rerank", _ranks, Replies(_judge_rerank)),
    # Many vendors have this one, with and without the version.
    Format("cohere", after_v1("/rerank"), _ranks, Replies(_judge_rerank), OUTSIDE),
    _format("/v1/classify", has("inputs"), Replies(_judge_classes)),
    _format("/v1/summarize", has("text"), Replies(_judge_text)),
    _format("/v1/tokenize", has("text"), Replies(_judge_tokens)),
    _format("/v1/detokenize", has("tokens"), Replies(_judge_tokens)),
)
