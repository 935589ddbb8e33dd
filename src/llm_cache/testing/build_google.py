"""Gemini's answers, made by hand: a body, server-sent events, or an array in pieces. It must not read what it makes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from llm_cache.testing.noise import new_id
from llm_cache.testing.reply import Reply


def google_content(
    text: str = "Hello!", *, model: str = "gemini-2.5-flash", finish: str = "STOP", usage: tuple[int, int] = (9, 2)
) -> Reply:
    """A plain answer of `:generateContent`; `usage` is tokens in and out."""
    headers = {"content-type": "application/json; charset=UTF-8", "server-timing": "gfet4t7; dur=412"}
    return Reply(json=_chunk(text, model, finish, usage, new_id("", 22)), headers=headers)


def google_stream(
    pieces: Iterable[str] = ("Hel", "lo!"),
    *,
    model: str = "gemini-2.5-flash",
    finish: str = "STOP",
    usage: tuple[int, int] = (9, 2),
    array: bool = False,
) -> Reply:
    """A streamed answer of `:streamGenerateContent`: with `alt=sse`, or, as an `array`, without."""
    said, name = list(pieces), new_id("", 22)
    ends = [""] * (len(said) - 1) + [finish]
    chunks = [_json(_chunk(text, model, end, usage, name)) for text, end in zip(said, ends, strict=True)]
    if array:
        sent = [("[" if number == 0 else ",\r\n") + chunk for number, chunk in enumerate(chunks)]
        headers = {"content-type": "application/json; charset=UTF-8"}
        return Reply(chunks=[*sent, "]"], headers=headers)
    return Reply(chunks=[f"data: {chunk}\r\n\r\n" for chunk in chunks], headers={"content-type": "text/event-stream"})


def _chunk(text: str, model: str, finish: str, usage: tuple[int, int], name: str) -> dict[str, object]:
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    counts = {"promptTokenCount": usage[0], "candidatesTokenCount": usage[1], "totalTokenCount": sum(usage)}
    return {
        "candidates": [{**candidate, "finishReason": finish} if finish else candidate],
        "usageMetadata": counts,
        "modelVersion": model,
        "responseId": name,
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
