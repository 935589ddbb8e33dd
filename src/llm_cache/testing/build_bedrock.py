"""Bedrock's answers, made by hand: binary event streams of converse and invoke. It must not read what it makes."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Mapping
from zlib import crc32

from llm_cache.testing.noise import new_id
from llm_cache.testing.reply import Reply

EVENT_STREAM = "application/vnd.amazon.eventstream"


def event_message(name: str, payload: bytes, *, kind: str = "event") -> bytes:
    """One message as AWS frames it; `kind` is `event` or `exception`.

    https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html
    """
    fields = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    headers = b"".join(_header(field, value) for field, value in fields.items())
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return body + struct.pack(">I", crc32(body))


def bedrock_converse(text: str = "Hello!", *, stop_reason: str = "end_turn", usage: tuple[int, int] = (9, 2)) -> Reply:
    """A plain answer of converse; `usage` is tokens in and out."""
    return Reply(
        json={
            "metrics": {"latencyMs": 412},
            "output": {"message": {"content": [{"text": text}], "role": "assistant"}},
            "stopReason": stop_reason,
            "usage": _usage(usage),
        },
        headers={"x-amzn-requestid": new_id("", 36)},
    )


def bedrock_converse_stream(
    pieces: Iterable[str] = ("Hel", "lo!"), *, stop_reason: str = "end_turn", usage: tuple[int, int] = (9, 2)
) -> Reply:
    """A streamed answer of converse, one message a chunk."""
    deltas = [
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}, "p": "abcdef"}) for piece in pieces
    ]
    events: list[tuple[str, Mapping[str, object]]] = [
        ("messageStart", {"p": "abc", "role": "assistant"}),
        *deltas,
        ("contentBlockStop", {"contentBlockIndex": 0, "p": "abcd"}),
        ("messageStop", {"p": "a", "stopReason": stop_reason}),
        ("metadata", {"metrics": {"latencyMs": 412}, "p": "ab", "usage": _usage(usage)}),
    ]
    return _stream(event_message(name, _json(data)) for name, data in events)


def bedrock_invoke_stream(chunks: Iterable[Mapping[str, object]]) -> Reply:
    """A streamed answer of a model family's own format: each of these objects is one message."""
    return _stream(
        event_message("chunk", _json({"bytes": base64.b64encode(_json(chunk)).decode(), "p": "abcdef"}))
        for chunk in chunks
    )


def _stream(messages: Iterable[bytes]) -> Reply:
    headers = {"content-type": EVENT_STREAM, "x-amzn-requestid": new_id("", 36)}
    return Reply(chunks=list(messages), headers=headers)


def _header(name: str, value: str) -> bytes:
    return (
        struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
    )


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    return {"inputTokens": usage[0], "outputTokens": usage[1], "totalTokens": sum(usage)}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
