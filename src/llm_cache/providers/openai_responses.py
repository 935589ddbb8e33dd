"""Reads the replies of `/responses`. It must not decide what is kept: a truncated answer is only named so.

A response tells its own state (`status`), in a body and in the events of a stream; the last event
carries the whole response again.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_cache.core.model import Reading, Step, Usage
from llm_cache.core.sse import Event
from llm_cache.providers.parse import Json, Malformed, mapping, maybe, model_name, sequence, string
from llm_cache.providers.reading import Told, kind_of, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.terms import openai_tools
from llm_cache.providers.usage import openai_usage

_WHOLE = frozenset({"response.completed", "response.incomplete"})
_FLAWS = {
    "completed": None,
    "incomplete": None,
    "": None,  # a vendor that leaves it out
    "failed": "failed",
    "cancelled": "cancelled",
}
_SILENT = frozenset({"reasoning", "mcp_list_tools", "compaction"})  # items that are no answer


def uncacheable(body: Json) -> str | None:
    """A conversation on the server grows with every call: equal requests have different answers."""
    return "conversation" if body.get("conversation") is not None else None


def _ends(event: Event) -> Step:
    # By bytes first: a text may hold these words, but few events do. The type may stand anywhere in
    # the data (Bedrock writes it last), and vendors differ in whether they name the event.
    for word in (b"response.completed", b"response.incomplete"):
        if word in event.data or event.name == word:
            return Step.COMPLETE if kind_of(event) in _WHOLE else Step.MORE
    return Step.MORE


def _judge_body(body: Json) -> Reading:
    if not isinstance(body.get("output"), list):
        raise Malformed
    return _reading(body, body["output"])


def _judge_stream(events: Sequence[Told]) -> Reading:
    last: Json = {}
    items: list[object] = []
    text: list[str] = []
    for kind, data in events:
        if isinstance(data.get("response"), dict):
            last = data["response"]
        if kind == "response.output_item.done":
            items.append(data.get("item"))
        elif kind == "response.output_text.delta":
            text.append(string(data.get("delta")))
    if not last:
        raise Malformed
    if events[-1].kind not in _WHOLE and string(last.get("status")) in {"queued", "in_progress"}:
        # The stream was cut: whether it had an answer nobody can tell.
        return Reading(model=model_name(last.get("model")), usage=_usage(last, items))
    reading = _reading(last, sequence(last.get("output")) or items)
    if "empty" in reading.traits and any(text):
        # A vendor whose last event leaves the output out.
        return Reading(reading.flaw, reading.traits - {"empty"}, reading.model, reading.usage, "".join(text))
    return reading


def _reading(response: Json, output: Sequence[object]) -> Reading:
    text: list[str] = []
    refusal: list[str] = []
    called = False
    for item in output:
        told = mapping(item)
        kind = string(told.get("type"))
        if kind not in {"message", ""}:
            called = called or kind not in _SILENT
            continue
        content = told.get("content")
        for part in [{"text": content}] if isinstance(content, str) else sequence(content):
            piece = mapping(part)
            if "refusal" in piece:
                refusal.append(string(piece["refusal"]))
            elif "text" in piece:
                text.append(string(piece["text"]))
            else:
                called = True
    reason = string(maybe(response.get("incomplete_details")).get("reason"))
    return Reading(
        flaw=_FLAWS.get(string(response.get("status")), "unfinished"),
        traits=traits(empty=not (called or any(text) or any(refusal)), reasons=[reason], refused=any(refusal)),
        model=model_name(response.get("model")),
        usage=_usage(response, output),
        text="".join(text) or "".join(refusal),
    )


def _usage(response: Json, output: Sequence[object]) -> Usage | None:
    return openai_tools(openai_usage(response.get("usage"), response.get("service_tier")), output)


REPLIES = Replies(_judge_body, _ends, _judge_stream)
