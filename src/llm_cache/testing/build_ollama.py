"""Ollama's answers, made by hand: a body, or lines of JSON. It must not read what it makes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from llm_cache.testing.reply import Reply


def ollama_chat(
    text: str = "Hello!", *, model: str = "llama3", reason: str = "stop", usage: tuple[int, int] = (9, 2)
) -> Reply:
    """A plain answer of `/api/chat`, as `"stream": false` gets it; `usage` is tokens in and out."""
    body = {**_line(text, model), **_end(reason, usage)}
    return Reply(json=body, headers={"content-type": "application/json; charset=utf-8"})


def ollama_chat_stream(
    pieces: Iterable[str] = ("Hel", "lo!"),
    *,
    model: str = "llama3",
    reason: str = "stop",
    usage: tuple[int, int] = (9, 2),
) -> Reply:
    """A streamed answer of `/api/chat`, which is what it sends unless it is told not to."""
    lines = [{**_line(text, model), "done": False} for text in pieces]
    lines.append({**_line("", model), **_end(reason, usage)})
    sent = [json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines]
    return Reply(chunks=sent, headers={"content-type": "application/x-ndjson"})


def _line(text: str, model: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    return {"model": model, "created_at": "2026-11-23T17:41:00.123456Z", "message": message}


def _end(reason: str, usage: tuple[int, int]) -> dict[str, object]:
    times = {"total_duration": 1078043917, "load_duration": 109557375, "eval_duration": 814595750}
    return {"done_reason": reason, "done": True, "prompt_eval_count": usage[0], "eval_count": usage[1], **times}
