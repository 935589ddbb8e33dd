"""Builds OpenAI's Responses as they go over the wire. It must not judge whether they make sense.

https://platform.openai.com/docs/api-reference/responses and …/responses-streaming; spellings as in recorded traffic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from llm_cache.testing.build_openai import CREATED, SSE, ToolCall, arguments_text, halves
from llm_cache.testing.noise import new_id, noise_headers
from llm_cache.testing.reply import Reply

_UNSAID: Final[dict[str, object]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_ERROR: Final = {"code": "server_error", "message": "The model failed to generate a response."}


def openai_responses(
    text: str | None = "Hello!",
    *,
    model: str = "gpt-4o-mini",
    usage: Mapping[str, object] | None = None,
    tool_calls: Sequence[ToolCall] | None = None,
    status: str = "completed",
) -> Reply:
    """A response; `status` may be `incomplete` (cut by length), `failed`, `queued`, `in_progress` or `cancelled`."""
    output = [_message(text)] if text is not None else []
    output += [_function_call(call) for call in tool_calls or ()]
    spent = dict(usage) if usage is not None else _usage(text or "")
    return Reply(json=_response(new_id("resp_", 48), model, status, output, spent), headers=noise_headers("openai"))


def openai_responses_stream(
    pieces: Iterable[str] = ("Hel", "lo!"),
    *,
    model: str = "gpt-4o-mini",
    usage: Mapping[str, object] | None = None,
    tool_calls: Sequence[ToolCall] | None = None,
    status: str = "completed",
    done: bool = True,
    error_after: int | None = None,
) -> Reply:
    """The same as a stream, one chunk per event; the last is `response.<status>`.

    Without `done` it stops before that one. With `error_after=n` an `error` event takes the place of all that follows
    the n-th piece.
    """
    texts = list(pieces)
    name = new_id("resp_", 48)
    message = _message("".join(texts))
    begun = _response(name, model, "in_progress", [], None)
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *_message_opening(message),
    ]
    deltas_from = len(events)
    place: dict[str, object] = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    events += [
        {"type": "response.output_text.delta", **place, "delta": text, "logprobs": [], "obfuscation": new_id("", 8)}
        for text in texts
    ]
    events += _message_closing(message)
    output = [message]
    for index, call in enumerate(tool_calls or (), start=1):
        item = _function_call(call)
        output.append(item)
        events += _function_call_events(index, item)
    if error_after is not None:
        error: dict[str, object] = {
            "type": "error",
            "code": "server_error",
            "message": "The server is overloaded.",
            "param": None,
        }
        events[deltas_from + error_after :] = [error]
    elif done:
        spent = dict(usage) if usage is not None else _usage("".join(texts))
        events.append({"type": f"response.{status}", "response": _response(name, model, status, output, spent)})
    chunks = [_event({**event, "sequence_number": number}) for number, event in enumerate(events)]
    return Reply(chunks=chunks, headers=(SSE, *noise_headers("openai")))


def _event(body: dict[str, object]) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return f"event: {body['type']}\ndata: {text}\n\n".encode()


def _response(
    name: str, model: str, status: str, output: Sequence[object], usage: Mapping[str, object] | None
) -> dict[str, object]:
    return {
        "id": name,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": status == "queued",
        "error": _ERROR if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": model,
        "output": [] if status in ("failed", "queued") else list(output),
        "usage": usage if status in ("completed", "incomplete") else None,
        **_UNSAID,
    }


def _message(text: str) -> dict[str, object]:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {
        "id": new_id("msg_", 48),
        "type": "message",
        "status": "completed",
        "content": [part],
        "role": "assistant",
    }


def _message_opening(message: dict[str, object]) -> list[dict[str, object]]:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    return [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress", "content": []},
        },
        {
            "type": "response.content_part.added",
            "item_id": message["id"],
            "output_index": 0,
            "content_index": 0,
            "part": part,
        },
    ]


def _message_closing(message: dict[str, object]) -> list[dict[str, object]]:
    content = message["content"]
    part = content[0] if isinstance(content, list) else None
    text = part["text"] if isinstance(part, dict) else ""
    place: dict[str, object] = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    return [
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
    ]


def _function_call(call: ToolCall) -> dict[str, object]:
    name, arguments = call
    return {
        "id": new_id("fc_", 48),
        "type": "function_call",
        "status": "completed",
        "arguments": arguments_text(arguments),
        "call_id": new_id("call_"),
        "name": name,
    }


def _function_call_events(index: int, item: dict[str, object]) -> list[dict[str, object]]:
    place: dict[str, object] = {"item_id": item["id"], "output_index": index}
    text = str(item["arguments"])
    opening = {**item, "status": "in_progress", "arguments": ""}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": opening},
        *({"type": "response.function_call_arguments.delta", **place, "delta": piece} for piece in halves(text)),
        {"type": "response.function_call_arguments.done", **place, "name": item["name"], "arguments": text},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _usage(text: str) -> dict[str, object]:
    words = max(1, len(text.split()))
    return {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": words,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 9 + words,
    }
