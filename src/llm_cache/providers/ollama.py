"""Ollama's own formats; it also speaks OpenAI's, which is not its file's business. It must not know other vendors.

https://docs.ollama.com/api. It streams lines of JSON, and it does so unless `"stream": false` is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llm_cache.core.lines import LineSplitter
from llm_cache.core.model import Reading, Step
from llm_cache.core.sse import Event
from llm_cache.providers.format import OUTSIDE, Format, at, has, has_messages
from llm_cache.providers.parse import Json, Malformed, mapping, model_name, sequence, string
from llm_cache.providers.reading import Told, told_by, traits
from llm_cache.providers.replies import Replies
from llm_cache.providers.usage import embedding_usage, ollama_usage

_NOTHING_SAID = frozenset({"load", "unload"})
"""Reasons for the end of a request that only brings a model into memory, or out of it."""


def _ends(event: Event) -> Step:
    if b'"done"' not in event.data:
        return Step.MORE
    try:
        return Step.COMPLETE if told_by(event).data.get("done") is True else Step.MORE
    except Malformed:
        return Step.MORE


def _judge_body(body: Json) -> Reading:
    reading = _judge_lines([Told("", body)])
    # A server that answers a plain request with a piece has not answered it.
    return reading if body.get("done", True) is True else Reading(flaw="unfinished", model=reading.model)


def _judge_lines(events: Sequence[Told]) -> Reading:
    text: list[str] = []
    called = False
    last: Json = {}
    for _, data in events:
        message = mapping(data.get("message"))
        text += (string(message.get("content")), string(data.get("response")))
        called = called or bool(sequence(message.get("tool_calls")) or message.get("images") or data.get("image"))
        last = data
    if not any(data.keys() & {"message", "response"} for _, data in events):
        raise Malformed
    reason = string(last.get("done_reason"))
    return Reading(
        traits=traits(empty=reason in _NOTHING_SAID or not (called or any(text)), reasons=[reason]),
        model=model_name(last.get("model")),
        usage=ollama_usage(last),
        text="".join(text),
    )


def _judge_embeddings(body: Json) -> Reading:
    name = next((name for name in ("embeddings", "embedding", "data") if name in body), "")
    if not isinstance(body.get(name), list):
        raise Malformed
    return Reading(
        traits=traits(empty=not body[name], reasons=()),
        model=model_name(body.get("model")),
        usage=ollama_usage(body) or embedding_usage(body.get("usage")),
    )


def _streams(body: Json) -> bool:
    return body.get("stream") is not False


def _asks(test: Callable[[Json], bool]) -> Callable[[Json], bool]:
    """Such a body that names a model: many a web application of other people's has an `/api/chat`."""
    return lambda body: isinstance(body.get("model"), str) and test(body)


_ANSWER = Replies(_judge_body, _ends, _judge_lines, framing=LineSplitter)


def _format(ending: str, accepts: Callable[[Json], bool], *, streams: bool = True) -> Format:
    if not streams:
        return Format("ollama", at(ending), _asks(accepts), Replies(_judge_embeddings), OUTSIDE)
    return Format("ollama", at(ending), _asks(accepts), _ANSWER, OUTSIDE, streams=_streams, stream_counts=True)


FORMATS = (
    _format("/api/chat", has_messages),
    _format("/api/generate", has("prompt")),
    _format("/api/embed", has("input"), streams=False),
    # With `input` it is asked in OpenAI's words, of a server whose base URL ends in `/api`.
    _format("/api/embeddings", has("prompt", "input"), streams=False),
)
