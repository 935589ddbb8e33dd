"""Whatever an upstream sends: no reader raises, none takes garbage for a whole answer, and chunks never matter."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from llm_cache.core.model import Reading, Step

from .provider_samples import JSON as JSON_HEAD, SSE, asking, read

MESSAGES = {"model": "m", "messages": [], "max_tokens": 1}
ENDPOINTS = [
    asking(path, {**body, "stream": True})
    for path, body in (
        ("/v1/chat/completions", MESSAGES),
        ("/v1/completions", {"prompt": "?"}),
        ("/v1/responses", {"input": "?"}),
        ("/v1/embeddings", {"input": "?"}),
        ("/v1/moderations", {"input": "?"}),
        ("/v1/images/generations", {"prompt": "?"}),
        ("/v1/messages", MESSAGES),
        ("/v1/messages/count_tokens", MESSAGES),
        ("/v1/complete", {"prompt": "?", "max_tokens_to_sample": 1}),
    )
]
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)

WORDS = [
    "choices",
    "delta",
    "message",
    "content",
    "text",
    "finish_reason",
    "index",
    "usage",
    "model",
    "error",
    "type",
    "object",
    "output",
    "response",
    "status",
    "role",
    "refusal",
    "tool_calls",
    "audio",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "cached_tokens",
    "x_groq",
    "incomplete_details",
    "reason",
    "item",
    "content_block",
    "stop_reason",
    "input_tokens",
    "output_tokens",
    "completion",
    "data",
    "results",
    "embedding",
    "b64_json",
]
KINDS = [
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.output_item.done",
    "response.output_text.delta",
    "message_start",
    "message_delta",
    "message_stop",
    "content_block_start",
    "content_block_delta",
    "ping",
    "error",
    "completion",
    "text",
    "image_generation.completed",
    "message",
    "reasoning",
    "stop",
    "length",
    "content_filter",
    "completed",
    "in_progress",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**40, -1, 0, 1])
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6)


def judged(endpoint, head, *chunks: bytes) -> tuple[list[Step], Reading]:
    steps, reading = read(endpoint, head, *chunks)
    if reading.text is not None:
        reading.text.encode()
    if reading.model is not None:
        assert len(reading.model.encode()) <= 1024
    for count in (reading.usage and (reading.usage.input_tokens, reading.usage.output_tokens)) or ():
        assert count is None or (type(count) is int and 0 <= count < 2**60)
    return steps, reading


@every_endpoint
@given(body=st.binary(max_size=300))
def test_garbage_is_never_complete_and_never_whole(endpoint, body):
    for head in (SSE, JSON_HEAD):
        steps, reading = judged(endpoint, head, body)
        assert Step.COMPLETE not in steps or b"[DONE]" in body
        assert reading.flaw in {"cut_off", "malformed"}


@every_endpoint
@given(value=OBJECTS)
def test_a_body_of_any_types_is_judged(endpoint, value):
    judged(endpoint, JSON_HEAD, json.dumps(value).encode("utf-8", "surrogatepass"))


@every_endpoint
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    values=st.lists(st.tuples(st.sampled_from(["", *KINDS]), OBJECTS), max_size=5),
    done=st.booleans(),
    cuts=st.lists(st.integers(0, 2000)),
)
def test_events_of_any_types_are_judged_and_chunks_do_not_matter(endpoint, values, done, cuts):
    stream = "".join(f"event: {name}\ndata: {json.dumps(value)}\n\n" for name, value in values).encode()
    stream += b"data: [DONE]\n\n" if done else b""
    steps, reading = judged(endpoint, SSE, stream)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    again, same = judged(endpoint, SSE, *chunks)
    assert same == reading
    assert (Step.COMPLETE in again) == (Step.COMPLETE in steps)
    if reading.flaw is None and endpoint.path not in {"/v1/embeddings", "/v1/moderations", "/v1/messages/count_tokens"}:
        assert Step.COMPLETE in steps


DEEP = 200_000


@every_endpoint
@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b'{"choices":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"content":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"choices":[{"message":{"content":"a"},"index":' + b"9" * 5000 + b"}]}",
        b'{"input_tokens":' + b"9" * 5000 + b"}",
        b'{"choices":[{"message":{"content":"' + b"\xed\xa0\x80" + b'"}}]}',
        b'{"model":"' + b"m" * 100_000 + b'","choices":[{"message":{"content":"a"}}]}',
        b'{"choices":[' + b"{}," * 50_000 + b"{}]}",
    ],
)
def test_the_worst_bodies(endpoint, body):
    judged(endpoint, JSON_HEAD, body)
    judged(endpoint, SSE, b"data: " + body + b"\n\ndata: [DONE]\n\n")


def test_a_terminal_line_in_small_pieces_is_looked_at_once():
    endpoint = ENDPOINTS[6]
    reader = endpoint.reader(SSE)
    looked = []
    ends = reader._ends
    reader._ends = lambda event: looked.append(event) or ends(event)
    reader.feed(b'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}\n')
    assert all(reader.feed(b"x") is Step.HOLD for _ in range(1000))
    assert len(looked) == 1
