"""Exported lines without anything that somebody wrote, for showing them to others. In doubt it takes out.

What stays: what the call was (provider, model, endpoint, namespace), when, how long, how many tokens, what it cost, and
the shape of request and answer: the fields that providers have, and their values where these come from a short list.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

_NAMES = frozenset(
    {
        "annotations",
        "arguments",
        "audio",
        "choices",
        "completion_tokens",
        "content",
        "contents",
        "created",
        "data",
        "delta",
        "description",
        "documents",
        "embedding",
        "encoding_format",
        "finish_reason",
        "frequency_penalty",
        "function",
        "functionCall",
        "generationConfig",
        "id",
        "image_url",
        "index",
        "input",
        "input_tokens",
        "instructions",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "message",
        "messages",
        "model",
        "n",
        "name",
        "object",
        "output",
        "output_tokens",
        "parallel_tool_calls",
        "parameters",
        "parts",
        "presence_penalty",
        "prompt",
        "prompt_tokens",
        "reasoning",
        "reasoning_effort",
        "refusal",
        "response_format",
        "role",
        "seed",
        "service_tier",
        "stop",
        "stop_reason",
        "stop_sequence",
        "store",
        "stream",
        "stream_options",
        "system",
        "temperature",
        "text",
        "tool_calls",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "total_tokens",
        "type",
        "url",
        "usage",
    }
)
_WORDS = frozenset(
    {
        "assistant",
        "auto",
        "chat.completion",
        "chat.completion.chunk",
        "default",
        "developer",
        "document",
        "embedding",
        "end_turn",
        "flex",
        "float",
        "function",
        "image",
        "image_url",
        "input_text",
        "json_object",
        "json_schema",
        "length",
        "list",
        "max_tokens",
        "message",
        "model",
        "none",
        "output_text",
        "priority",
        "required",
        "stop",
        "system",
        "text",
        "text_completion",
        "thinking",
        "tool",
        "tool_calls",
        "tool_result",
        "tool_use",
        "user",
    }
)
_KEPT = (
    "kind",
    "provider",
    "model",
    "endpoint",
    "namespace",
    "created_at",
    "expires_at",
    "last_hit_at",
    "hits",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_ms",
    "stream",
    "status",
    "answered_model",
    "usage",
)
_DEEPEST = 50


def redacted(record: dict[str, Any], salt: bytes) -> dict[str, Any]:
    """The record for others. Its key is made anew with the salt: the real one would confirm a guessed prompt."""
    key = hmac.new(salt, record["key"].encode(), hashlib.sha256).hexdigest()
    kept = {"key": key, **{name: record[name] for name in _KEPT}}
    if record["kind"] == "call":
        # A function's module and name are its author's.
        kept["endpoint"] = "(redacted)"
    return kept | {
        "request": _shape(record["request"]),
        "response": _shape(record["response"]),
        "text": _shape(record["text"]),
        "redacted": True,
    }


def _shape(value: object, depth: int = 0) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if value in _WORDS else f"[{len(value)} characters]"
    if isinstance(value, (int, float)):
        return "[a number]"
    if depth >= _DEEPEST:
        return "[more]"
    if isinstance(value, dict):
        shaped = {}
        for number, (name, inner) in enumerate(value.items()):
            known = isinstance(name, str) and name in _NAMES
            shaped[name if known else f"[field {number + 1}]"] = _shape(inner, depth + 1)
        return shaped
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value):
            return f"[{len(value)} numbers]"  # tokens or an embedding, of which the text can be found again
        return [_shape(item, depth + 1) for item in value]
    return "[a value]"
