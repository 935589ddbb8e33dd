"""Chat completions and text completions, plain and streamed: what is kept, what is empty, what is flawed."""

from __future__ import annotations

import pytest

from llm_cache.core.model import Head, Request, Step
from llm_cache.providers.registry import recognise

from .provider_samples import JSON, SSE, asking, events, read, whole

CHAT = asking("/v1/chat/completions", {"model": "m", "messages": []})
STREAM = asking("/v1/chat/completions", {"model": "m", "messages": [], "stream": True})
TEXT = asking("/v1/completions", {"model": "m", "prompt": "?"})


def body(*messages: dict, finish: object = "stop", **more: object) -> dict:
    choices = [{"index": i, "message": message, "finish_reason": finish} for i, message in enumerate(messages)]
    return {"model": "m-1", "choices": choices, **more}


def chunk(index: int = 0, finish: object = None, **delta: object) -> dict:
    return {"model": "m-1", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("message", "empty"),
    [
        ({"content": "yes"}, False),
        ({"content": " "}, False),
        ({"content": ""}, True),
        ({"content": None}, True),
        ({}, True),
        ({"content": None, "reasoning": "hm", "reasoning_content": "hm"}, True),
        ({"content": [{"type": "text", "text": "yes"}]}, False),
        ({"content": [{"type": "text", "text": ""}]}, True),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, True),
        ({"content": [{"type": "image_url", "image_url": {"url": "data:"}}]}, False),
        ({"content": ["yes"]}, False),
        ({"content": "", "tool_calls": []}, True),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, False),
        ({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, False),
        ({"content": None, "function_call": None}, True),
        ({"content": None, "audio": {"id": "a", "data": "AA=="}}, False),
        ({"content": None, "images": [{"type": "image_url"}]}, False),
        ({"content": None, "refusal": "no"}, False),
    ],
)
def test_what_is_empty(message, empty):
    for reading in (
        whole(CHAT, JSON, body(message)),
        whole(STREAM, SSE, events(chunk(**message), chunk(finish="stop"), done=True)),
    ):
        assert reading.flaw is None
        assert ("empty" in reading.traits) == empty


@pytest.mark.parametrize(
    ("finish", "traits"),
    [
        ("stop", set()),
        ("eos", set()),
        ("tool_calls", set()),
        (None, set()),
        ("length", {"length"}),
        ("model_length", {"length"}),
        ("max_tokens", {"length"}),
        ("content_filter", {"content_filter"}),
        ("content_filter: SAFETY", {"content_filter"}),
        ("sensitive", {"content_filter"}),
        ("CONTENT_FILTER", {"content_filter"}),
    ],
)
def test_why_it_ended(finish, traits):
    plain = whole(CHAT, JSON, body({"content": "a"}, finish=finish))
    streamed = whole(STREAM, SSE, events(chunk(content="a"), chunk(finish=finish), done=True))
    assert plain.flaw is streamed.flaw is None
    assert plain.traits == streamed.traits == traits


@pytest.mark.parametrize("finish", ["error", "abort", "cancelled", "insufficient_system_resource", "network_error"])
def test_a_model_that_was_not_let_finish_has_failed(finish):
    assert whole(CHAT, JSON, body({"content": "a"}, finish=finish)).flaw == "failed"
    assert whole(STREAM, SSE, events(chunk(content="a"), chunk(finish=finish), done=True)).flaw == "failed"


def test_cut_and_empty_is_both():
    assert whole(CHAT, JSON, body({"content": None}, finish="length")).traits == {"length", "empty"}


def test_one_filtered_choice_filters_all_and_one_full_choice_fills_all():
    filtered = body({"content": "a"}, {"content": ""})
    filtered["choices"][1]["finish_reason"] = "content_filter"
    reading = whole(CHAT, JSON, filtered)
    assert reading.traits == {"content_filter"}
    assert whole(CHAT, JSON, body({"content": ""}, {"content": ""})).traits == {"empty"}
    assert whole(CHAT, JSON, body()).traits == {"empty"}


def test_a_refusal_is_a_trait_and_readable():
    for reading in (
        whole(CHAT, JSON, body({"content": None, "refusal": "I cannot."})),
        whole(STREAM, SSE, events(chunk(refusal="I can"), chunk(refusal="not."), chunk(finish="stop"), done=True)),
    ):
        assert reading.flaw is None
        assert reading.traits == {"refusal"}
        assert reading.text == "I cannot."


def test_the_model_is_the_first_that_is_named():
    named = {**chunk(content="a"), "model": "m-1"}, {**chunk(content="b"), "model": "m-2"}
    reading = whole(STREAM, SSE, events({"choices": [], "model": ""}, *named, done=True))
    assert reading.model == "m-1"  # as in the SDK's own accumulator


def test_choices_stay_apart_whatever_their_order():
    stream = events(
        chunk(1, content="b1"), chunk(0, content="a1"), chunk(1, content="b2"), chunk(0, content="a2"),
        chunk(0, finish="stop"), chunk(1, finish="stop"), done=True,
    )  # fmt: skip
    assert whole(STREAM, SSE, stream).text == "a1a2\nb1b2"


def test_text_completions_are_read_alike():
    plain = whole(TEXT, JSON, {"choices": [{"text": "a", "index": 0}, {"text": "b", "index": 1}]})
    assert (plain.flaw, plain.traits, plain.text) == (None, set(), "a\nb")
    assert whole(TEXT, JSON, {"choices": [{"text": ""}]}).traits == {"empty"}
    stream = events({"choices": [{"text": "a"}]}, {"choices": [{"text": "b", "finish_reason": "length"}]}, done=True)
    reading = whole(TEXT, SSE, stream)
    assert (reading.flaw, reading.traits, reading.text) == (None, {"length"}, "ab")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"error": {"message": "overloaded"}},
        {"error": "overloaded"},
        {"error": {"message": "m"}, **body({"content": "a"})},
        {"object": "error", "message": "m", "code": 400},
        {"type": "error", "message": "m"},
        {"choices": [{"error": {"code": 502}, "message": {"content": "a"}, "delta": {"content": "a"}}]},
    ],
)
def test_an_error_in_a_200(spoilt):
    assert whole(CHAT, JSON, spoilt).flaw == "error"
    assert whole(STREAM, SSE, events(chunk(content="a"), spoilt, done=True)).flaw == "error"
    assert whole(STREAM, SSE, events(chunk(content="a"), spoilt)).flaw in {"error", "cut_off"}


def test_an_error_event_is_known_by_its_name_too():
    stream = events(chunk(content="a")) + b"event: error\ndata: oops\n\n" + events(done=True)
    assert whole(STREAM, SSE, stream).flaw == "error"


@pytest.mark.parametrize("nothing", [None, False, {}, ""])
def test_an_error_field_that_says_nothing_is_none(nothing):
    assert whole(CHAT, JSON, body({"content": "a"}, error=nothing)).flaw is None


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": {}},
        {"choices": "a"},
        {"choices": [1]},
        {"choices": [{"message": "a", "delta": "a"}]},
        {"choices": [{"message": {"content": 1}, "delta": {"content": 1}}]},
        {"choices": [{"message": {"content": {}}, "delta": {"content": {}}}]},
        {"choices": [{"message": {"tool_calls": "x"}, "delta": {"tool_calls": "x"}}]},
        {"choices": [{"index": "0", "message": {"content": "a"}, "delta": {"content": "a"}}]},
        {"choices": [{"finish_reason": 7, "message": {"content": "a"}, "delta": {"content": "a"}}]},
        {"detail": "not found"},
    ],
)
def test_another_shape_is_malformed(odd):
    assert whole(CHAT, JSON, odd).flaw == "malformed"
    assert whole(STREAM, SSE, events(odd, done=True)).flaw == "malformed"


@pytest.mark.parametrize("text", ["", "[]", "1", "null", "{", "<html>", '{"choices":[]', b"\xff{}", b'{"choices":[]}x'])
def test_what_is_no_json_object_is_malformed(text):
    assert whole(CHAT, JSON, text).flaw == "malformed"


def test_fields_that_nobody_knows_and_fields_that_are_missing_spoil_nothing():
    sparse = {"choices": [{"message": {"content": "a"}}]}
    rich = body(
        {"content": "a", "role": "x", "channel": [1]}, object=7, id=[], created="now", usage="?", x_new={"a": 1}
    )
    for reply in (sparse, rich):
        reading = whole(CHAT, JSON, reply)
        assert (reading.flaw, reading.text, reading.usage) == (None, "a", None)
    stream = (
        b": ping\n\n" + events({"choices": []}, {"choices": [{"delta": {"content": "a"}}]}, {"x": 1}) + b"data: \n\n"
    )
    assert whole(STREAM, SSE, stream + b"data:[DONE]\n\n").text == "a"


def test_a_stream_is_complete_with_done_alone():
    answer, end = events(chunk(content="a")), events(chunk(finish="stop"))
    steps, reading = read(STREAM, SSE, answer, end, b"data: [DONE]", b"\n", b"\n", b": bye\n\n")
    # The line of the terminal event is enough for consumers that go by lines: it is held until it is stored.
    assert steps == [Step.MORE, Step.MORE, Step.MORE, Step.HOLD, Step.COMPLETE, Step.COMPLETE]
    assert reading.flaw is None
    known = recognise(Request("POST", "https://api.openai.com/v1/chat/completions"), {"messages": [], "stream": True})
    assert known is not None
    for end in (b"", b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE] \n", b"data: done\n\n"):
        steps, reading = read(known, SSE, events(chunk(content="a"), chunk(finish="stop")) + end)
        assert steps != [Step.COMPLETE]
        assert reading.flaw == "cut_off"


def test_a_text_that_says_done_ends_nothing():
    steps, reading = read(STREAM, SSE, events(chunk(content="[DONE]"), chunk(content="data: [DONE]\n\n")))
    assert steps == [Step.MORE]
    assert reading.flaw == "cut_off"


def test_a_stream_that_was_cut_still_tells_its_usage():
    reading = whole(STREAM, SSE, events({**chunk(content="a"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}}))
    assert (reading.flaw, reading.text) == ("cut_off", "a")
    assert reading.usage.input_tokens == 3


@pytest.mark.parametrize("text", ["data: {\n\n", "data: [1]\n\n", "data: 5\n\n", 'data: "a"\n\n'])
def test_an_event_that_no_sdk_would_take_is_malformed(text):
    stream = events(chunk(content="a")) + text.encode() + b"data: [DONE]\n\n"
    assert whole(STREAM, SSE, stream).flaw == "malformed"


def test_halves_of_a_character_are_joined():
    stream = rb'data: {"choices":[{"delta":{"content":"\ud83d"}}]}' + b"\n\n"
    stream += rb'data: {"choices":[{"delta":{"content":"\ude00 \ud83d"}}]}' + b"\n\n"
    assert whole(STREAM, SSE, stream + b"data: [DONE]\n\n").text == "😀 \ufffd"


@pytest.mark.parametrize(
    ("content_type", "endpoint", "is_stream"),
    [
        ("text/event-stream", CHAT, True),
        ("Text/Event-Stream;charset=UTF-8", CHAT, True),
        ("application/json", STREAM, False),
        ("application/json; charset=utf-8", STREAM, False),
        ("application/problem+json", STREAM, False),
        ("text/plain", STREAM, True),
        ("text/plain", CHAT, False),
        (None, STREAM, True),
        (None, CHAT, False),
    ],
)
def test_the_content_type_decides_and_the_request_where_it_says_nothing(content_type, endpoint, is_stream):
    head = Head(200, () if content_type is None else (("content-type", content_type),))
    assert (whole(endpoint, head, events(chunk(content="a"), done=True)).flaw is None) == is_stream
    assert (whole(endpoint, head, body({"content": "a"})).flaw is None) != is_stream


@pytest.mark.parametrize("status", [201, 204, 301, 400, 429, 500])
def test_only_a_200_is_kept(status):
    for endpoint, reply in ((CHAT, body({"content": "a"})), (STREAM, events(chunk(content="a"), done=True))):
        steps, reading = read(endpoint, Head(status, SSE.headers), str(reply).encode())
        assert steps == [Step.MORE]
        assert reading.flaw == f"status_{status}"
