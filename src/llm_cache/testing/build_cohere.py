"""Cohere's answers, made by hand, of versions 1 and 2. It must not read what it makes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from llm_cache.testing.noise import new_id
from llm_cache.testing.reply import Reply


def cohere_chat(
    text: str = "Hello!", *, version: int = 2, finish: str = "COMPLETE", usage: tuple[int, int] = (9, 2)
) -> Reply:
    """A plain answer of `/v2/chat`, or of `/v1/chat`; `usage` is billed tokens in and out."""
    if version == 1:
        return Reply(json=_first(text, finish, usage))
    body = {
        "id": new_id("", 36),
        "finish_reason": finish,
        "message": {"role": "assistant", "content": [{"type": "text", "text": text}]},
        "usage": _usage(usage),
    }
    return Reply(json=body)


def cohere_chat_stream(
    pieces: Iterable[str] = ("Hel", "lo!"),
    *,
    version: int = 2,
    finish: str = "COMPLETE",
    usage: tuple[int, int] = (9, 2),
) -> Reply:
    """A streamed answer: server-sent events of `/v2/chat`, or lines of JSON of `/v1/chat`."""
    said = list(pieces)
    if version == 1:
        return _lines(said, finish, usage)
    message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events: list[dict[str, object]] = [
        {"id": new_id("", 36), "type": "message-start", "delta": {"message": message}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        *({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}} for text in said),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": finish, "usage": _usage(usage)}},
    ]
    sent = [f"event: {event['type']}\ndata: {_json(event)}\n\n" for event in events]
    return Reply(chunks=[*sent, "data: [DONE]\n\n"], headers={"content-type": "text/event-stream"})


def _lines(said: list[str], finish: str, usage: tuple[int, int]) -> Reply:
    lines: list[dict[str, object]] = [
        {"is_finished": False, "event_type": "stream-start", "generation_id": new_id("", 36)},
        *({"is_finished": False, "event_type": "text-generation", "text": text} for text in said),
        {
            "is_finished": True,
            "event_type": "stream-end",
            "response": _first("".join(said), finish, usage),
            "finish_reason": finish,
        },
    ]
    return Reply(chunks=[_json(line) + "\n" for line in lines], headers={"content-type": "application/stream+json"})


def _first(text: str, finish: str, usage: tuple[int, int]) -> dict[str, object]:
    told = {"response_id": new_id("", 36), "text": text, "generation_id": new_id("", 36), "finish_reason": finish}
    return {**told, "meta": {"api_version": {"version": "1"}, **_usage(usage)}}


def _usage(usage: tuple[int, int]) -> dict[str, object]:
    counts = {"input_tokens": usage[0], "output_tokens": usage[1]}
    return {"billed_units": counts, "tokens": {"input_tokens": usage[0] + 60, "output_tokens": usage[1] + 1}}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
