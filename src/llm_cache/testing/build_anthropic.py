"""Builds Anthropic's messages as they go over the wire. It must not judge whether they make sense.

https://docs.anthropic.com/en/api/messages and …/messages-streaming; spellings as in recorded traffic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from llm_cache.testing.build_errors import anthropic_error_event
from llm_cache.testing.build_openai import SSE, ToolCall, arguments_text, halves
from llm_cache.testing.noise import new_id, noise_headers
from llm_cache.testing.reply import Reply


def anthropic_message(
    text: str | None = "Hello!",
    *,
    model: str = "claude-sonnet-5",
    usage: Mapping[str, object] | None = None,
    tool_calls: Sequence[ToolCall] | None = None,
    stop_reason: str | None = None,
) -> Reply:
    """A message; `stop_reason` is `end_turn`, or `tool_use` where there are tool calls, unless it is given."""
    content: list[dict[str, object]] = [{"type": "text", "text": text}] if text is not None else []
    content += [_tool_use(call) for call in tool_calls or ()]
    body = {
        **_message_head(model),
        "content": content,
        "stop_reason": stop_reason or ("tool_use" if tool_calls else "end_turn"),
        "usage": dict(usage) if usage is not None else _usage(_words(text or "")),
    }
    return Reply(json=body, headers=noise_headers("anthropic"))


def anthropic_stream(
    pieces: Iterable[str] = ("Hel", "lo!"),
    *,
    model: str = "claude-sonnet-5",
    usage: Mapping[str, object] | None = None,
    tool_calls: Sequence[ToolCall] | None = None,
    stop_reason: str | None = None,
    ping: bool = True,
    done: bool = True,
    error_after: int | None = None,
) -> Reply:
    """The same as a stream, one chunk per event, with a `ping` after the first block began.

    Without `done` it stops before `message_stop`. With `error_after=n` an error event takes the place of all that
    follows the n-th piece.
    """
    texts = list(pieces)
    opening = {**_message_head(model), "content": [], "stop_reason": None, "usage": _usage(1)}
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": opening},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    if ping:
        events.append({"type": "ping"})
    deltas_from = len(events)
    events += [_delta(0, {"type": "text_delta", "text": text}) for text in texts]
    events.append({"type": "content_block_stop", "index": 0})
    for index, call in enumerate(tool_calls or (), start=1):
        events += _tool_use_events(index, call)
    reason = stop_reason or ("tool_use" if tool_calls else "end_turn")
    spent = dict(usage) if usage is not None else {"output_tokens": _words("".join(texts))}
    events.append({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": spent})
    if done:
        events.append({"type": "message_stop"})
    chunks = [_event(event) for event in events]
    if error_after is not None:
        chunks[deltas_from + error_after :] = [anthropic_error_event()]
    return Reply(chunks=chunks, headers=(SSE, ("cache-control", "no-cache"), *noise_headers("anthropic")))


def _event(body: dict[str, object]) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return f"event: {body['type']}\ndata: {text}\n\n".encode()


def _message_head(model: str) -> dict[str, object]:
    return {
        "id": new_id("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_sequence": None,
    }


def _delta(index: int, delta: dict[str, object]) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _tool_use(call: ToolCall) -> dict[str, object]:
    name, arguments = call
    return {"type": "tool_use", "id": new_id("toolu_01", 22), "name": name, "input": arguments}


def _tool_use_events(index: int, call: ToolCall) -> list[dict[str, object]]:
    opening = {**_tool_use(call), "input": {}}
    pieces = ("", *halves(arguments_text(call[1])))
    return [
        {"type": "content_block_start", "index": index, "content_block": opening},
        *(_delta(index, {"type": "input_json_delta", "partial_json": piece}) for piece in pieces),
        {"type": "content_block_stop", "index": index},
    ]


def _usage(output_tokens: int) -> dict[str, object]:
    return {
        "input_tokens": 11,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _words(text: str) -> int:
    return max(1, len(text.split()))
