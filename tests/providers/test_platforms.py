"""Claude on Bedrock and on Vertex counts what its prompt cache did as it does at home, whatever carries it."""

from __future__ import annotations

import json

import pytest

from llm_cache.core.model import Head, Usage
from llm_cache.testing.build_bedrock import EVENT_STREAM, bedrock_converse_stream, bedrock_invoke_stream, event_message

from .provider_samples import JSON, SSE, asking, events, read, whole

COUNTS = {"input_tokens": 11, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 4}
USAGE = Usage(20, 2, 4, 5)
ASK = {"messages": [], "max_tokens": 9}
PROJECT = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4@20250514"
MESSAGE = {
    "id": "msg_vrtx_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-20250514",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {**COUNTS, "output_tokens": 2},
}
EVENTS = (
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {**COUNTS, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 11, "outputTokenCount": 2}}
FRAMES = Head(200, (("content-type", EVENT_STREAM),))


@pytest.mark.parametrize("path", ["/model/anthropic.claude-sonnet-4/invoke", f"{PROJECT}:rawPredict"])
def test_a_message(path: str) -> None:
    reading = whole(asking(path, ASK), JSON, MESSAGE)
    assert (reading.flaw, reading.traits, reading.text, reading.usage) == (None, frozenset(), "Hello", USAGE)


def test_a_stream_on_vertex() -> None:
    reading = whole(asking(f"{PROJECT}:streamRawPredict", {**ASK, "stream": True}), SSE, events(*EVENTS))
    assert (reading.flaw, reading.text, reading.usage) == (None, "Hello", USAGE)


def test_a_stream_on_bedrock() -> None:
    """Its last event has metrics that leave the prompt cache out; what the model told before counts."""
    body = bedrock_invoke_stream([*EVENTS[:-1], {**EVENTS[-1], **METRICS}]).payload
    reading = whole(asking("/model/anthropic.claude-sonnet-4/invoke-with-response-stream", ASK), FRAMES, body)
    assert (reading.flaw, reading.text, reading.usage) == (None, "Hello", USAGE)


CONVERSED = {
    "inputTokens": 11,
    "outputTokens": 2,
    "totalTokens": 22,
    "cacheReadInputTokens": 4,
    "cacheWriteInputTokens": 5,
}


def test_converse() -> None:
    message = {"message": {"role": "assistant", "content": [{"text": "Hello"}]}}
    body = {"output": message, "stopReason": "end_turn", "usage": CONVERSED}
    assert whole(asking("/model/m/converse", ASK), JSON, body).usage == USAGE
    sent = list(bedrock_converse_stream(["Hello"]).chunks or ())
    sent[-1] = event_message("metadata", json.dumps({"usage": CONVERSED}).encode())
    assert read(asking("/model/m/converse-stream", ASK), FRAMES, *sent)[1].usage == USAGE


def test_tokens_are_counted_for_nothing() -> None:
    path = PROJECT.replace("claude-sonnet-4@20250514", "count-tokens")
    endpoint = asking(f"{path}:rawPredict", {"model": "claude-sonnet-4@20250514", "messages": []})
    reading = whole(endpoint, JSON, {"input_tokens": 12})
    assert (reading.flaw, reading.usage) == (None, Usage(0, 0))
    assert endpoint.model == "claude-sonnet-4@20250514"
    assert whole(endpoint, JSON, {"something": 1}).flaw == "malformed"
