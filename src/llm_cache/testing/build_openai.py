"""Builds OpenAI's chat completions and embeddings as they go over the wire. It must not judge whether they make sense.

https://platform.openai.com/docs/api-reference/chat and …/embeddings; spellings as in recorded traffic.
"""

from __future__ import annotations

import array
import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from llm_cache.testing.build_errors import openai_error_event
from llm_cache.testing.noise import new_id, noise_headers
from llm_cache.testing.reply import Reply

ToolCall: TypeAlias = tuple[str, object]
"""The function's name, and its arguments as a JSON value."""

CREATED: Final = 1_764_000_000
"""Every built answer was made at this second: equal arguments differ only in identifiers."""
DONE: Final = b"data: [DONE]\n\n"
SSE: Final = ("content-type", "text/event-stream; charset=utf-8")


def openai_chat(
    text: str | None = "Hello!",
    *,
    model: str = "gpt-4o-mini",
    usage: Mapping[str, object] | None = None,
    tool_calls: Sequence[ToolCall] | None = None,
    finish_reason: str | None = None,
    refusal: str | None = None,
) -> Reply:
    """A chat completion; `finish_reason` is `stop`, or `tool_calls` where there are any, unless it is given."""
    message: dict[str, object] = {"role": "assistant", "content": text, "refusal": refusal, "annotations": []}
    if tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason or ("tool_calls" if tool_calls else "stop"),
    }
    body = {
        "id": new_id("chatcmpl-", 29),
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [choice],
        "usage": dict(usage) if usage is not None else chat_usage(text or ""),
        "service_tier": "default",
        "system_fingerprint": "fp_cbf1785567",
    }
    return Reply(json=body, headers=noise_headers("openai"))


def openai_chat_stream(
    pieces: Iterable[str] = ("Hel", "lo!"),
    *,
    model: str = "gpt-4o-mini",
    usage: Mapping[str, object] | None = None,
    include_usage: bool = False,
    tool_calls: Sequence[ToolCall] | None = None,
    finish_reason: str | None = None,
    done: bool = True,
    error_after: int | None = None,
) -> Reply:
    """The same as a stream, one chunk per event: role, pieces, tool calls, finish, usage if asked for, `[DONE]`.

    Without `done` it stops before the terminator. With `error_after=n` an error event takes the place of all that
    follows the n-th piece.
    """
    texts = list(pieces)
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": text} for text in texts]
    for index, call in enumerate(tool_calls or ()):
        deltas += _tool_call_deltas(index, call)
    finish = finish_reason or ("tool_calls" if tool_calls else "stop")
    choices: list[list[dict[str, object]]] = [[_choice(delta, None)] for delta in deltas]
    choices.append([_choice({}, finish)])
    head = {
        "id": new_id("chatcmpl-", 29),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_cbf1785567",
    }
    # With `include_usage` every chunk has the field, null but in the last, which has no choices.
    asked: dict[str, object] = {"usage": None} if include_usage else {}
    events = [data_event({**head, "choices": choice, **asked}) for choice in choices]
    if include_usage:
        spent = dict(usage) if usage is not None else chat_usage("".join(texts))
        events.append(data_event({**head, "choices": [], "usage": spent}))
    if error_after is not None:
        events[1 + error_after :] = [openai_error_event()]
    elif done:
        events.append(DONE)
    return Reply(chunks=events, headers=(SSE, *noise_headers("openai")))


def openai_embeddings(
    n: int = 1, dims: int = 8, *, model: str = "text-embedding-3-small", encoding: str = "float"
) -> Reply:
    """`n` unit vectors of `dims` numbers; `encoding="base64"` is what OpenAI's SDK asks for unless told otherwise."""
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(_vector(index, dims), encoding)}
        for index in range(n)
    ]
    usage = {"prompt_tokens": 5 * n, "total_tokens": 5 * n}
    return Reply(json={"object": "list", "data": data, "model": model, "usage": usage}, headers=noise_headers("openai"))


def data_event(body: object) -> bytes:
    """An SSE event that is data alone."""
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def chat_usage(text: str) -> dict[str, object]:
    """Plausible usage for an answer of this text: nine tokens in, one per word out."""
    words = max(1, len(text.split()))
    return {
        "prompt_tokens": 9,
        "completion_tokens": words,
        "total_tokens": 9 + words,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def arguments_text(arguments: object) -> str:
    """Arguments of a tool call as the JSON text that providers send."""
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def halves(text: str) -> tuple[str, str]:
    """A text in two, for deltas."""
    return text[: len(text) // 2], text[len(text) // 2 :]


def _tool_call(call: ToolCall) -> dict[str, object]:
    name, arguments = call
    function = {"name": name, "arguments": arguments_text(arguments)}
    return {"id": new_id("call_"), "type": "function", "function": function}


def _tool_call_deltas(index: int, call: ToolCall) -> list[dict[str, object]]:
    name, arguments = call
    opening = {"index": index, "id": new_id("call_"), "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = halves(arguments_text(arguments))
    more = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
    return [{"tool_calls": [delta]} for delta in (opening, *more)]


def _choice(delta: dict[str, object], finish_reason: str | None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _vector(index: int, dims: int) -> list[float]:
    raw = [math.sin(1 + index * dims + place) for place in range(dims)]
    norm = math.hypot(*raw)
    # As single precision, so that both encodings are the same vector.
    return array.array("f", (number / norm for number in raw)).tolist()


def _encoded(vector: list[float], encoding: str) -> object:
    if encoding == "float":
        return vector
    packed = array.array("f", vector)
    return base64.b64encode(packed.tobytes()).decode()
