"""Messages, token counts and text completions of Anthropic's format."""

from __future__ import annotations

import pytest

from llm_cache.core.model import Step, Usage

from .provider_samples import JSON, SSE, asking, events, read, whole

BODY = {"model": "c", "max_tokens": 9, "messages": []}
PLAIN = asking("/v1/messages", BODY)
STREAM = asking("/v1/messages", {**BODY, "stream": True})
COUNT = asking("/v1/messages/count_tokens", BODY)
COMPLETE = asking("/v1/complete", {"prompt": "?", "max_tokens_to_sample": 9})

TEXT = {"type": "text", "text": "yes"}


def message(*content: object, stop: object = "end_turn", **more: object) -> dict:
    return {
        "type": "message",
        "role": "assistant",
        "model": "c-1",
        "content": list(content),
        "stop_reason": stop,
        **more,
    }


def start(**usage: object) -> dict:
    return {"type": "message_start", "message": {**message(stop=None), "usage": usage}}


def block(index: int, content: dict, *deltas: dict) -> list[dict]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(index: int, *pieces: str) -> list[dict]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def delta(stop: object = "end_turn", **usage: object) -> dict:
    return {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage}


STOP = {"type": "message_stop"}
PING = {"type": "ping"}


@pytest.mark.parametrize(
    ("blocks", "said", "empty"),
    [
        ([TEXT], "yes", False),
        ([TEXT, TEXT], "yesyes", False),
        ([{"type": "text", "text": ""}], None, True),
        ([], None, True),
        ([{"type": "thinking", "thinking": "hm", "signature": "s"}], None, True),
        ([{"type": "redacted_thinking", "data": "x"}], None, True),
        ([{"type": "thinking", "thinking": "hm"}, TEXT], "yes", False),
        ([{"type": "tool_use", "id": "t", "name": "f", "input": {}}], None, False),
        ([{"type": "web_search_tool_result", "content": []}], None, False),
        ([{"type": "something_new"}], None, False),
    ],
)
def test_what_was_said(blocks, said, empty):
    parts = [event for i, content in enumerate(blocks) for event in block(i, content)]
    for reading in (
        whole(PLAIN, JSON, message(*blocks)),
        whole(STREAM, SSE, events(start(), *parts, delta(), STOP)),
    ):
        assert (reading.flaw, reading.text, reading.model) == (None, said, "c-1")
        assert ("empty" in reading.traits) == empty


@pytest.mark.parametrize(
    ("stop", "traits"),
    [
        ("end_turn", set()),
        ("tool_use", set()),
        ("stop_sequence", set()),
        ("pause_turn", set()),
        ("max_tokens", {"length"}),
        ("model_context_window_exceeded", {"length"}),
        ("refusal", {"refusal"}),
        ("guardrail_intervened", {"content_filter"}),
        (None, set()),
    ],
)
def test_why_it_stopped(stop, traits):
    assert whole(PLAIN, JSON, message(TEXT, stop=stop)).traits == traits
    assert whole(STREAM, SSE, events(start(), *text(0, "a"), delta(stop), STOP)).traits == traits


def test_the_event_at_which_some_stop_reading_is_held_until_the_end():
    before = [events(start()), events(PING), events(*text(0, "a"))]
    last = [events(delta()), b"event: mess", b"age_stop\n", b'data: {"type":"message_stop"}\n\n', b""]
    steps, reading = read(STREAM, SSE, *before, *last)
    assert steps == [*[Step.MORE] * 3, Step.HOLD, Step.HOLD, Step.HOLD, Step.COMPLETE, Step.COMPLETE]
    assert reading.flaw is None


def test_it_is_held_by_its_line_and_let_go_if_it_was_not_the_end():
    line, blank = events(delta())[:-1], b"\n"
    steps, _ = read(STREAM, SSE, events(start()), line, blank, events(PING), events(delta(stop=None)))
    assert steps == [Step.MORE, Step.HOLD, Step.HOLD, Step.MORE, Step.MORE]


def test_words_in_a_text_end_nothing():
    said = text(0, 'message_stop {"stop_reason": "end_turn"} "type":"message_delta"')
    steps, reading = read(STREAM, SSE, *(events(event) for event in (start(), *said)))
    assert set(steps) == {Step.MORE}
    assert reading.flaw == "cut_off"


def test_a_stream_without_its_last_event_is_cut_off():
    said = (start(), *text(0, "a"))
    for stream in (events(start()), events(*said, delta()), events(*said, delta(), STOP)[:-1]):
        assert whole(STREAM, SSE, stream).flaw == "cut_off"


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"type": "error", "message": "m"},
        {"type": "ping", "error": {"type": "x"}},
    ],
)
def test_an_error_in_a_200(error):
    assert whole(PLAIN, JSON, error).flaw == "error"
    assert whole(STREAM, SSE, events(start(), *text(0, "a"), error)).flaw == "error"
    assert whole(STREAM, SSE, events(start(), *text(0, "a"), error, delta(), STOP)).flaw == "error"


def test_usage_is_cumulative_and_includes_what_the_prompt_cache_did():
    first = start(input_tokens=11, cache_creation_input_tokens=5, cache_read_input_tokens=4, output_tokens=1)
    reading = whole(STREAM, SSE, events(first, *text(0, "a"), delta(output_tokens=7, input_tokens=None), STOP))
    assert reading.usage == Usage(20, 7, cache_read_tokens=4, cache_write_tokens=5)
    told = {"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 6}}
    assert whole(PLAIN, JSON, message(TEXT, usage=told)).usage == Usage(3, 9, reasoning_tokens=6)
    cut = whole(STREAM, SSE, events(first))
    assert (cut.flaw, cut.usage.input_tokens, cut.usage.output_tokens) == ("cut_off", 20, 1)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"content": None},
        {"content": "yes"},
        {"content": ["yes"]},
        {"content": [{"type": 7}]},
        {"content": [{"type": "text", "text": 7}]},
        {"content": [TEXT], "stop_reason": 7},
        {"completion": "yes"},
    ],
)
def test_another_shape_is_malformed(odd):
    assert whole(PLAIN, JSON, odd).flaw == "malformed"


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "message_start", "message": "m"},
        {"type": "content_block_start", "index": "0", "content_block": {}},
        {"type": "content_block_delta", "index": 0, "delta": {"text": 7}},
        {"type": "content_block_delta", "index": 0, "delta": [1]},
        {"type": "message_delta", "delta": 7},
    ],
)
def test_an_event_of_another_shape_is_malformed(odd):
    assert whole(STREAM, SSE, events(start(), odd, delta(), STOP)).flaw == "malformed"
    assert whole(STREAM, SSE, events(odd, delta(), STOP)).flaw == "malformed"


def test_a_token_count_is_free_and_not_empty():
    reading = whole(COUNT, JSON, {"input_tokens": 14})
    assert (reading.flaw, reading.traits) == (None, set())
    assert reading.usage == Usage(input_tokens=0, output_tokens=0)
    for odd in ({}, {"input_tokens": "14"}, {"input_tokens": True}, [14]):
        assert whole(COUNT, JSON, odd).flaw == "malformed"


def completion(said: object, stop: object = None) -> dict:
    return {"type": "completion", "completion": said, "stop_reason": stop, "model": "c-1"}


def test_text_completions():
    reading = whole(COMPLETE, JSON, completion(" yes", "stop_sequence"))
    assert (reading.flaw, reading.traits, reading.text, reading.model) == (None, set(), " yes", "c-1")
    assert whole(COMPLETE, JSON, completion("", "stop_sequence")).traits == {"empty"}
    assert whole(COMPLETE, JSON, completion("a", "max_tokens")).traits == {"length"}
    assert whole(COMPLETE, JSON, completion(7)).flaw == "malformed"
    assert whole(COMPLETE, JSON, {"type": "completion"}).flaw == "malformed"


def test_a_stream_of_text_completions_ends_with_its_reason():
    pieces = [events(completion(" y")), events(PING), events(completion("es")), events(completion("", "stop_sequence"))]
    steps, reading = read(COMPLETE, SSE, *pieces)
    assert steps == [Step.MORE, Step.MORE, Step.MORE, Step.COMPLETE]
    assert (reading.flaw, reading.text) == (None, " yes")
    assert read(COMPLETE, SSE, *pieces[:3])[1].flaw == "cut_off"
    assert whole(COMPLETE, SSE, events(completion(' "stop_reason": "x"'))).flaw == "cut_off"
    old = events(completion("a", "max_tokens"), done=True)
    assert whole(COMPLETE, SSE, old).traits == {"length"}
