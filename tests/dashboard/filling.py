"""Entries for the dashboard's tests, made without calling anybody. No tests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from llm_cache.core.model import Entry, Frame, Head, Request, Usage

NOW = 1_760_000_000.0
JSON = (("content-type", "application/json"),)
SSE = (("content-type", "text/event-stream"),)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

LONG = "long line " * 110_000
"""More than a megabyte without a line end."""
HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "image": "<img src=x onerror='window.hacked = 2'>",
    "closing": "</pre></main><iframe srcdoc='<script>parent.hacked=3</script>'></iframe>",
    "escape": "\x1b[31mred\x1b[0m\x07\x00 \x9b2J",
    "turned": "safe \u202egnp.exe\u202c \u2066x\u2069",
    "style": "<style>*{display:none}</style><link rel=stylesheet href=//evil.example.com/x.css><svg onload=hacked=5>",
    "markdown": "[x](javascript:hacked=6) ![y](https://evil.example.com/y.png) `z{background:url(//evil.example.com)}`",
    "data": "data:text/html;base64,PHNjcmlwdD5oYWNrZWQ9Nzwvc2NyaXB0Pg==",
    "template": "${hacked} {{constructor.constructor('hacked=4')()}}",
}


def key_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def chat(text="Hello!", **more):
    """A chat completion's body."""
    message = {"role": "assistant", "content": text, **more}
    return {"id": "x", "model": "gpt-4o", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


def made(name: str, **more) -> Entry:
    """An entry; `request` and `response` are bodies, `chunks` a stream's pieces."""
    request = more.pop("request", {"model": "gpt-4o", "messages": [{"role": "user", "content": f"Question {name}"}]})
    chunks = more.pop("chunks", None)
    body = more.pop("response", chat(f"Answer {name}"))
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    frames = [Frame(raw, 1500)] if chunks is None else [Frame(each, 1000 * (at + 1)) for at, each in enumerate(chunks)]
    path = more.pop("path", "/v1/chat/completions")
    entry = Entry(
        key=key_of(name),
        kind="http",
        provider="openai",
        model="gpt-4o",
        endpoint=path,
        namespace="default",
        head=Head(200, JSON if chunks is None else SSE),
        frames=tuple(frames),
        stream=chunks is not None,
        created_at=NOW,
        expires_at=None,
        asked=Request("POST", f"https://api.example.com{path}", JSON, json.dumps(request).encode()),
        usage=Usage(1000, 500),
        latency_ms=1234.5,
    )
    return replace(entry, **more)


def keep(engine, *entries: Entry) -> None:
    for entry in entries:
        engine.store.put(engine.codec.encode(entry))


def events(*datas: object) -> list[bytes]:
    return [b"data: %b\n\n" % (each if isinstance(each, bytes) else json.dumps(each).encode()) for each in datas]


STREAM = events(
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "It "}}]},
    {"choices": [{"index": 0, "delta": {"content": "streams."}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "look"}}]}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"at": '}}]}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    b"[DONE]",
)
TALK = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be brief."}],
    "tools": [{"name": "read_file", "description": "Reads.", "input_schema": {"type": "object"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is in it?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {"type": "image", "source": {"type": "url", "url": "https://tracker.example.com/pixel.png"}},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read_file", "input": {"p": "a"}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "no such file", "is_error": True}],
        },
    ],
}
"""A conversation with everything that a message may have."""
SAID = {
    "role": "assistant",
    "stop_reason": "end_turn",
    "content": [{"type": "thinking", "thinking": "Hmm."}, {"type": "text", "text": "Nothing is in it."}],
}


def month(engine, days: int = 5) -> None:
    """Sums of some days, straight into the account."""
    from datetime import datetime, timedelta, timezone

    today = datetime.now(timezone.utc).date()
    deltas = {}
    for age in range(days):
        day = (today - timedelta(days=age)).isoformat()
        deltas["calls", day, "openai", "gpt-4o", "default"] = {
            "hits": 10 + age,
            "misses": 5,
            "miss:absent": 4,
            "miss:expired": 1,
            "bypasses": 1,
            "bypass:no_store": 1,
            "dropped": 1,
            "drop:cut_off": 1,
            "saved_pico": 1_234_567_890_123 * (age + 1),
            "spent_pico": 500_000_000_000,
            "tokens_saved": 1000,
            "time_saved_us": 2_500_000,
        }
    deltas["calls", today.isoformat(), "anthropic", "claude-sonnet-4-5", "agents"] = {
        "hits": 1,
        "misses": 2,
        "miss:absent": 2,
        "unpriced_spent": 2,
        "saved_pico": 1,
    }
    engine.store.add(deltas)
