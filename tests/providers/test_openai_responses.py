"""Responses, plain and streamed: the state that they tell of themselves decides."""

from __future__ import annotations

import json

import pytest

from llm_cache.core.model import Step

from .provider_samples import JSON, SSE, asking, events, read, whole

PLAIN = asking("/v1/responses", {"model": "m", "input": "?"})
STREAM = asking("/v1/responses", {"model": "m", "input": "?", "stream": True})


def message(*parts: dict) -> dict:
    return {"type": "message", "role": "assistant", "content": list(parts)}


TEXT = message({"type": "output_text", "text": "yes", "annotations": []})


def response(*output: object, status: object = "completed", **more: object) -> dict:
    return {"object": "response", "model": "m-1", "status": status, "error": None, "output": list(output), **more}


def stream(end: str, last: dict, *before: dict) -> bytes:
    start = {"type": "response.created", "response": response(status="in_progress")}
    return events(start, *before, {"type": end, "response": last})


@pytest.mark.parametrize(
    ("output", "text", "traits"),
    [
        ([TEXT], "yes", set()),
        ([TEXT, TEXT], "yesyes", set()),
        ([message({"type": "output_text", "text": ""})], None, {"empty"}),
        ([], None, {"empty"}),
        (
            [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}],
            None,
            {"empty"},
        ),
        ([{"type": "mcp_list_tools", "tools": []}], None, {"empty"}),
        ([{"type": "function_call", "name": "f", "arguments": "{}"}], None, set()),
        ([{"type": "image_generation_call", "result": "AA=="}], None, set()),
        ([{"type": "custom_new_call"}], None, set()),
        ([message({"type": "refusal", "refusal": "no"})], "no", {"refusal"}),
        ([message({"type": "output_audio", "data": "AA=="})], None, set()),
        ([{"type": "message", "content": "yes"}], "yes", set()),
        ([{"content": [{"text": "yes"}]}], "yes", set()),
    ],
)
def test_what_was_said(output, text, traits):
    for reading in (
        whole(PLAIN, JSON, response(*output)),
        whole(STREAM, SSE, stream("response.completed", response(*output))),
    ):
        assert (reading.flaw, reading.text, reading.traits, reading.model) == (None, text, traits, "m-1")


@pytest.mark.parametrize(
    ("status", "flaw"),
    [
        ("completed", None),
        (None, None),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("queued", "unfinished"),
        ("in_progress", "unfinished"),
        ("something_new", "unfinished"),
        (7, "malformed"),
    ],
)
def test_only_what_is_done_is_kept(status, flaw):
    assert whole(PLAIN, JSON, response(TEXT, status=status)).flaw == flaw


@pytest.mark.parametrize(
    ("details", "traits"),
    [
        ({"reason": "max_output_tokens"}, {"length"}),
        ({"reason": "content_filter"}, {"content_filter"}),
        ({"reason": "max_messages"}, set()),
        (None, set()),
        ("odd", set()),
    ],
)
def test_an_incomplete_response_was_asked_for(details, traits):
    last = response(TEXT, status="incomplete", incomplete_details=details)
    steps, reading = read(STREAM, SSE, stream("response.incomplete", last))
    assert steps == [Step.COMPLETE]
    for found in (reading, whole(PLAIN, JSON, last)):
        assert (found.flaw, found.traits) == (None, traits)
    nothing = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert whole(PLAIN, JSON, nothing).traits == {"length", "empty"}


@pytest.mark.parametrize(
    ("end", "last", "flaw"),
    [
        ("response.failed", response(status="failed", error={"code": "server_error"}), "failed"),
        ("response.cancelled", response(status="cancelled"), "cancelled"),
        ("response.queued", response(status="queued"), "cut_off"),
        ("response.in_progress", response(TEXT, status="in_progress"), "cut_off"),
        ("response.completed", response(TEXT, status="failed"), "failed"),
        ("response.done", response(TEXT), "cut_off"),
    ],
)
def test_how_a_stream_may_not_end(end, last, flaw):
    assert whole(STREAM, SSE, stream(end, last)).flaw == flaw


def test_an_error_event_is_a_flaw_wherever_it_comes():
    error = {"type": "error", "code": "server_error", "message": "m"}
    for body in (
        events(error),
        stream("response.completed", response(TEXT), error),
        stream("response.completed", response(TEXT)) + events(error),
        b"event: error\ndata: {}\n\n" + stream("response.completed", response(TEXT)),
    ):
        assert whole(STREAM, SSE, body).flaw == "error"
    assert whole(PLAIN, JSON, response(TEXT, error={"code": "x"})).flaw == "error"


def test_the_type_may_be_in_the_data_or_in_the_name():
    last = response(TEXT)
    named = f"event: response.completed\ndata: {json.dumps({'response': last})}\n\n".encode()
    typed = events({"type": "response.completed", "response": last}).split(b"\n", 1)[1]
    for body in (named, typed):
        steps, reading = read(STREAM, SSE, body)
        assert (steps, reading.flaw, reading.text) == ([Step.COMPLETE], None, "yes")


def test_words_in_a_text_end_nothing():
    said = {"type": "response.output_text.delta", "delta": 'a "type": "response.completed" b'}
    steps, reading = read(STREAM, SSE, events(said, said), b"event: response.completed\n", b"data: {\n\n")
    assert set(steps) == {Step.MORE}
    assert reading.flaw == "cut_off"


def test_bytes_may_follow_the_end():
    whole_stream = stream("response.completed", response(TEXT))
    steps, reading = read(STREAM, SSE, whole_stream, b"data: [DONE]\n\n")
    assert steps == [Step.COMPLETE, Step.COMPLETE]
    assert reading.flaw is None


def test_an_output_that_the_last_event_leaves_out_is_found_before():
    item = {"type": "response.output_item.done", "item": TEXT}
    call = {"type": "response.output_item.done", "item": {"type": "function_call", "name": "f"}}
    delta = {"type": "response.output_text.delta", "delta": "yes"}
    for before, text in (([item], "yes"), ([call], None), ([delta], "yes")):
        reading = whole(STREAM, SSE, stream("response.completed", response(), *before))
        assert (reading.flaw, reading.traits, reading.text) == (None, set(), text)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"output": None},
        {"output": "a"},
        {"output": [1]},
        {"output": [{"type": 1}]},
        {"output": [{"type": "message", "content": 1}]},
        {"output": [{"type": "message", "content": [1]}]},
        {"output": [{"type": "message", "content": [{"text": 1}]}]},
        {"object": "response", "status": "completed"},
    ],
)
def test_another_shape_is_malformed(odd):
    assert whole(PLAIN, JSON, odd).flaw == "malformed"


@pytest.mark.parametrize("odd", [[], {"response": None, "type": "response.completed"}, {"type": 7}])
def test_a_stream_of_another_shape_is_malformed_or_cut(odd):
    assert whole(STREAM, SSE, events(odd)).flaw in {"malformed", "cut_off"}
