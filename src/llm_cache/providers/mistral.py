"""Mistral's endpoints beside OpenAI's: fill-in-the-middle, agents, OCR, classifiers, conversations that it forgets.

https://docs.mistral.ai/api. A conversation that the server keeps (`store` is not false) grows with every call, so equal
requests have different answers: it is not cached, nor is what is added to one. It must not know other vendors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from llm_cache.core.model import Reading, Step
from llm_cache.core.sse import Event
from llm_cache.providers import openai_chat
from llm_cache.providers.format import OUTSIDE, Format, MakeReader, after_v1, has, has_messages
from llm_cache.providers.parse import Json, Malformed, mapping, model_name, sequence, string
from llm_cache.providers.reading import Told, kind_of, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import openai_usage


def _judge_pages(body: Json) -> Reading:
    if not isinstance(body.get("pages"), list):
        raise Malformed
    said = [string(mapping(page).get("markdown")) for page in body["pages"]]
    # A page may be blank: that there are pages is the answer. They are billed by page, not by token.
    return Reading(
        traits=traits(empty=not said, reasons=()), model=model_name(body.get("model")), text="\n\n".join(said)
    )


def _judge_results(body: Json) -> Reading:
    if not isinstance(body.get("results"), list):
        raise Malformed
    return Reading(
        traits=traits(empty=not body["results"], reasons=()),
        model=model_name(body.get("model")),
        usage=openai_usage(body.get("usage")),
    )


def _said(content: object) -> str:
    """The text of a message or of a piece of one; null for what has none."""
    if isinstance(content, str):
        return content
    parts = [mapping(part) for part in ([content] if isinstance(content, dict) else sequence(content))]
    return "".join(string(part.get("text")) for part in parts)


def _judge_conversation(body: Json) -> Reading:
    if not isinstance(body.get("outputs"), list):
        raise Malformed
    outputs = [mapping(item) for item in body["outputs"]]
    said = [_said(item.get("content")) for item in outputs if item.get("type", "message.output") == "message.output"]
    return _conversed("".join(said), [string(item.get("type")) for item in outputs], outputs, body.get("usage"))


def _ends(event: Event) -> Step:
    if b"conversation.response.done" in event.data or event.name == b"conversation.response.done":
        return Step.COMPLETE if kind_of(event) == "conversation.response.done" else Step.MORE
    return Step.MORE


def _judge_conversation_stream(events: Sequence[Told]) -> Reading:
    if not events:
        raise Malformed
    said = [_said(data.get("content")) for kind, data in events if kind == "message.output.delta"]
    datas = [data for _, data in events]
    reading = _conversed("".join(said), [kind for kind, _ in events], datas, datas[-1].get("usage"))
    failed = any(kind == "conversation.response.error" for kind, _ in events)
    return replace(reading, flaw="error") if failed else reading


def _conversed(text: str, kinds: Sequence[str], told: Sequence[Json], usage: object) -> Reading:
    models = [name for each in told if (name := model_name(each.get("model")))]
    called = any(kind.startswith(("function.call", "agent.handoff", "tool.execution")) for kind in kinds)
    return Reading(
        traits=traits(empty=not (text or called), reasons=()),
        model=models[0] if models else None,
        usage=openai_usage(usage),
        text=text,
    )


def _kept_there(body: Json) -> str | None:
    return None if body.get("store") is False else "conversation"


def _format(
    ending: str,
    accepts: Callable[[Json], bool],
    reader: MakeReader,
    uncacheable: Callable[[Json], str | None] | None = None,
) -> Format:
    return Format("mistral", after_v1(ending), accepts, reader, OUTSIDE, uncacheable=uncacheable)


FORMATS = (
    _format("/fim/completions", has("prompt"), openai_chat.REPLIES),
    _format("/agents/completions", has_messages, openai_chat.REPLIES),
    _format("/ocr", has("document"), Replies(_judge_pages)),
    _format("/chat/classifications", has("input"), Replies(_judge_results)),
    _format("/classifications", has("input"), Replies(_judge_results)),
    _format("/chat/moderations", has("input"), Replies(_judge_results)),
    _format(
        "/conversations",
        has("inputs"),
        Replies(_judge_conversation, _ends, _judge_conversation_stream),
        _kept_there,
    ),
)
