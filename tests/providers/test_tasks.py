"""Hugging Face's own tasks, and Mistral's conversations: what is kept, what is not, and what it says."""

from __future__ import annotations

import json

import pytest

from llm_cache.core.model import Head, Request, Step, Usage
from llm_cache.providers.registry import recognise
from llm_cache.providers.upstreams import base_of, join, route

from .provider_samples import JSON, SSE, asking, cut, events, read, whole

MODEL = "/hf-inference/models/sentence-transformers/all-MiniLM-L6-v2"
TASK = {"inputs": "Hi"}


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (MODEL, "sentence-transformers/all-MiniLM-L6-v2"),
        (f"{MODEL}/pipeline/feature-extraction", "sentence-transformers/all-MiniLM-L6-v2"),
        ("/hf-inference/models/gpt2", "gpt2"),
    ],
)
def test_a_task_is_known_by_its_path(path, model):
    request = Request("POST", f"https://router.huggingface.co{path}")
    endpoint = recognise(request, TASK)
    assert (endpoint.provider, endpoint.upstream, endpoint.path, endpoint.model) == (
        "huggingface",
        "huggingface",
        path,
        model,
    )
    assert recognise(request, {"messages": []}) is None
    assert recognise(Request("POST", "https://router.huggingface.co/models/a/b"), TASK) is None


def test_a_task_has_its_own_address_behind_the_proxy():
    for path, headers in ((f"/huggingface{MODEL}", ()), (MODEL, ())):
        name, rest = route(path, "", headers, {"huggingface"})
        assert join(base_of(name, rest), rest) == f"https://router.huggingface.co{MODEL}"
    name, rest = route("/huggingface/chat/completions", "", (), {"huggingface"})
    assert join(base_of(name, rest), rest) == "https://router.huggingface.co/v1/chat/completions"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ([{"generated_text": "Hello"}], "Hello"),
        ([{"summary_text": "Short"}], "Short"),
        ([[0.1, 0.2], [0.3]], None),
        ([[{"label": "POSITIVE", "score": 0.9}]], None),
        ({"answer": "Zug", "score": 0.5, "start": 1, "end": 4}, "Zug"),
        ([0.1, 0.0], None),
        ({"labels": ["a"], "scores": [1]}, None),
    ],
)
def test_answers_are_kept(answer, text):
    reading = whole(asking(MODEL, TASK), JSON, answer)
    assert (reading.flaw, reading.traits, reading.text) == (None, frozenset(), text)
    body = json.dumps(answer).encode()
    for size in range(len(body)):
        assert whole(asking(MODEL, TASK), JSON, body[:size]).flaw == "malformed"


@pytest.mark.parametrize("answer", [[], {}, [[]], [{"generated_text": ""}], [""], [{}]])
def test_what_is_empty_says_so(answer):
    assert whole(asking(MODEL, TASK), JSON, answer).traits == {"empty"}


def test_errors_and_garbage():
    assert whole(asking(MODEL, TASK), JSON, {"error": "Model is loading", "estimated_time": 20}).flaw == "error"
    assert whole(asking(MODEL, TASK), Head(503, JSON.headers), {"error": "loading"}).flaw == "status_503"
    for body in (b"", b"0", b"null", b'"x"', b"<html>", b"[1"):
        assert whole(asking(MODEL, TASK), JSON, body).flaw == "malformed"


def test_a_picture_is_whole_if_its_length_says_so():
    told = Head(200, (("content-type", "image/jpeg"), ("content-length", "3")))
    assert whole(asking(MODEL, TASK), told, b"\xff\xd8\xff").flaw is None
    untold = Head(200, (("content-type", "image/jpeg"), ("connection", "close")))
    assert whole(asking(MODEL, TASK), untold, b"\xff\xd8\xff").flaw == "cut_off"
    assert whole(asking(MODEL, TASK), told, b"").traits == {"empty"}


TOKENS = [
    {"index": 1, "token": {"id": 1, "text": "Hel", "special": False}, "generated_text": None, "details": None},
    {
        "index": 2,
        "token": {"id": 2, "text": "lo", "special": False},
        "generated_text": "Hello",
        "details": {"finish_reason": "length"},
    },
]


def test_a_stream_of_tokens_ends_with_the_whole_text():
    endpoint = asking(MODEL, {**TASK, "stream": True})
    body = b"".join(f"data:{json.dumps(token)}\n\n".encode() for token in TOKENS)
    for seed in range(5):
        steps, reading = read(endpoint, SSE, *cut(body, seed))
        assert steps[-1] is Step.COMPLETE
        assert (reading.flaw, reading.traits, reading.text) == (None, {"length"}, "Hello")
    half = body[: body.index(b"\n\n") + 2]
    assert read(endpoint, SSE, half)[1].flaw == "cut_off"
    assert read(endpoint, SSE, half, b'data:{"error":"overloaded","error_type":"x"}\n\n')[1].flaw == "error"


# --- Mistral's conversations -----------------------------------------------------------------------

START = {"inputs": "Hi", "model": "mistral-small-latest", "store": False}
ANSWER = {
    "object": "conversation.response",
    "conversation_id": "conv_1",
    "outputs": [
        {"type": "tool.execution", "name": "web_search"},
        {"type": "message.output", "model": "mistral-small-2506", "content": [{"type": "text", "text": "Hello"}]},
    ],
    "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
}
STREAM = [
    {"type": "conversation.response.started", "conversation_id": "conv_1"},
    {"type": "message.output.delta", "id": "1", "model": "mistral-small-2506", "content": "Hel"},
    {"type": "message.output.delta", "id": "1", "content": {"type": "text", "text": "lo"}},
    {"type": "conversation.response.done", "usage": ANSWER["usage"]},
]


def test_a_conversation_that_is_kept_there_is_not_kept_here():
    assert asking("/v1/conversations", START).uncacheable is None
    for store in ({}, {"store": True}, {"store": None}, {"store": 0}):
        body = {**{name: value for name, value in START.items() if name != "store"}, **store}
        assert asking("/v1/conversations", body).uncacheable == "conversation"
    for path in ("/v1/conversations/conv_1", "/v1/conversations/conv_1/restart"):
        assert recognise(Request("POST", f"https://api.mistral.ai{path}"), START) is None
    # OpenAI's, which begins an empty one.
    assert recognise(Request("POST", "https://api.openai.com/v1/conversations"), {"items": []}) is None


def test_a_conversation_that_is_forgotten_there_is_read():
    reading = whole(asking("/v1/conversations", START), JSON, ANSWER)
    assert (reading.flaw, reading.traits, reading.text) == (None, frozenset(), "Hello")
    assert (reading.model, reading.usage) == ("mistral-small-2506", Usage(4, 2))
    assert whole(asking("/v1/conversations", START), JSON, {**ANSWER, "outputs": []}).traits == {"empty"}
    called = [{"type": "function.call", "name": "f", "arguments": "{}"}]
    assert whole(asking("/v1/conversations", START), JSON, {**ANSWER, "outputs": called}).traits == frozenset()
    assert whole(asking("/v1/conversations", START), JSON, {"conversation_id": "x"}).flaw == "malformed"


def test_its_stream_ends_with_its_own_event():
    endpoint = asking("/v1/conversations", {**START, "stream": True})
    body = events(*STREAM)
    for seed in range(5):
        steps, reading = read(endpoint, SSE, *cut(body, seed))
        assert steps[-1] is Step.COMPLETE
        assert (reading.flaw, reading.text, reading.model, reading.usage) == (
            None,
            "Hello",
            "mistral-small-2506",
            Usage(4, 2),
        )
    assert read(endpoint, SSE, events(*STREAM[:-1]))[1].flaw == "cut_off"
    failed = {"type": "conversation.response.error", "message": "overloaded", "code": 3505}
    assert read(endpoint, SSE, events(*STREAM[:-1], failed, STREAM[-1]))[1].flaw == "error"
