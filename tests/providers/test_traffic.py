"""Every recorded exchange of the endpoints that are built: recognised, judged, and read the same however it was cut."""

from __future__ import annotations

import json

from llm_cache.core.model import Step
from llm_cache.core.sse import EventSplitter
from llm_cache.providers.registry import recognise
from llm_cache.testing.traffic import Exchange, load_traffic

from .provider_samples import OURS, cut, each, endpoint_of, head_of, needs_traffic, read, request_of

pytestmark = needs_traffic

# Recorded as a success, and yet an error event inside a 200 stream (OpenRouter: "Token limit reached").
SPOILT = {"acd3514db8ae": "error"}
STREAMS = [exchange for exchange in OURS if exchange.stream]
KEPT = [exchange for exchange in OURS if exchange.ok and exchange.id not in SPOILT]
TERMINALS = {"[DONE]", "message_stop", "response.completed", "response.incomplete"}


def test_the_recordings_are_all_there():
    assert len(OURS) >= 115
    assert len(STREAMS) >= 50


@each(OURS)
def test_what_was_good_is_kept_and_nothing_else(exchange: Exchange):
    endpoint = endpoint_of(exchange)
    _, reading = read(endpoint, head_of(exchange), exchange.response)
    expected = SPOILT.get(exchange.id) if exchange.ok else f"status_{exchange.status}"
    assert reading.flaw == expected
    assert endpoint.uncacheable is None
    assert endpoint.stream == (json.loads(exchange.request).get("stream") is True)
    if expected is None:
        assert reading.traits <= {"length"}


@each(OURS)
def test_the_vendor_is_known_by_its_host(exchange: Exchange):
    known = {
        "azure-openai": "azure",
        "bedrock-openai": "bedrock",
        "google-gemini": "google",
        "vllm": "openai",  # on localhost:8000, like many a server: the path tells
    }
    assert endpoint_of(exchange).provider == known.get(exchange.provider, exchange.provider)


@each(OURS)
def test_chunks_do_not_matter(exchange: Exchange):
    endpoint, head = endpoint_of(exchange), head_of(exchange)
    _, expected = read(endpoint, head, exchange.response)
    for seed in range(5):
        assert read(endpoint, head, *cut(exchange.response, seed))[1] == expected
    by_bytes = (exchange.response[i : i + 1] for i in range(len(exchange.response)))
    assert read(endpoint, head, *by_bytes)[1] == expected


@each(STREAMS)
def test_the_end_is_seen_with_the_terminal_event_and_not_before(exchange: Exchange):
    reader = endpoint_of(exchange).reader(head_of(exchange))
    splitter = EventSplitter()
    over = False
    for i in range(len(exchange.response)):
        byte = exchange.response[i : i + 1]
        for event in splitter.feed(byte):
            kind = "[DONE]" if event.data == b"[DONE]" else json.loads(event.data).get("type")
            over = over or kind in TERMINALS
        assert (reader.feed(byte) is Step.COMPLETE) == over
    assert over


@each(STREAMS)
def test_a_prefix_without_the_terminal_event_is_cut_off(exchange: Exchange):
    endpoint, head = endpoint_of(exchange), head_of(exchange)
    reader = endpoint.reader(head)
    step = Step.MORE
    for chunk in cut(exchange.response, 7):
        step = reader.feed(chunk)
        reading = reader.finish()  # asked again and again
        if step is not Step.COMPLETE:
            assert reading.flaw in {"cut_off", "error"}
    assert step is Step.COMPLETE
    for seed in range(20):
        size = len(cut(exchange.response, seed)[0])
        assert read(endpoint, head, exchange.response[:size])[1].flaw in {"cut_off", "error"}


@each([exchange for exchange in KEPT if not exchange.stream])
def test_a_body_that_was_cut_is_not_kept(exchange: Exchange):
    endpoint, head = endpoint_of(exchange), head_of(exchange)
    body = exchange.response.rstrip()
    for size in (0, 1, len(body) // 2, len(body) - 1):
        assert read(endpoint, head, body[:size])[1].flaw == "malformed"


def objects(exchange: Exchange) -> list[dict]:
    """The JSON of a recording, by the plainest means."""
    text = exchange.response.decode()
    if not exchange.stream:
        return [json.loads(text)]
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def plain_text(found: list[dict]) -> str:
    pieces = []
    for item in found:
        for choice in item.get("choices") or []:
            said = choice.get("message") or choice.get("delta") or {}
            pieces.append(choice.get("text") or said.get("content") or "")
        pieces.append(item.get("completion") or "")
        pieces.extend(block.get("text", "") for block in item.get("content") or [])
        if item.get("type") == "content_block_delta":
            pieces.append(item["delta"].get("text", ""))
        response = item.get("response") if item.get("type") == "response.completed" else item
        for output in response.get("output") or []:
            if output["type"] == "message":
                pieces.extend(part["text"] for part in output["content"])
    return "".join(pieces)


@each(KEPT)
def test_the_text_is_all_that_was_said(exchange: Exchange):
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    assert (reading.text or "") == plain_text(objects(exchange))


@each(KEPT)
def test_the_model_is_the_one_that_answered(exchange: Exchange):
    told = []
    for item in objects(exchange):
        for place in (item, item.get("response") or {}, item.get("message") or {}):
            told += [place["model"]] if place.get("model") else []
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    assert reading.model == (told[0] if told else None)
    assert len(set(told)) <= 1


@each(KEPT)
def test_usage_is_what_was_billed(exchange: Exchange):
    told: dict = {}
    for item in objects(exchange):
        for place in (item, item.get("response") or {}, item.get("message") or {}, item.get("x_groq") or {}):
            told |= {name: value for name, value in (place.get("usage") or {}).items() if value is not None}
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    if exchange.path.partition("?")[0].endswith("count_tokens"):
        assert reading.usage is not None
        assert (reading.usage.input_tokens, reading.usage.output_tokens) == (0, 0)
        return
    if not told:
        assert reading.usage is None
        return
    assert reading.usage is not None
    asked = told.get("prompt_tokens", told.get("input_tokens", told.get("total_tokens")))
    asked += told.get("cache_creation_input_tokens", 0) + told.get("cache_read_input_tokens", 0)
    assert reading.usage.input_tokens == asked
    said = told.get("completion_tokens", told.get("output_tokens"))
    if exchange.provider == "google-gemini":
        said = told["total_tokens"] - asked  # its thoughts are in the total only
    assert reading.usage.output_tokens == said
    details = told.get("prompt_tokens_details") or told.get("input_tokens_details") or {}
    cached = details.get("cached_tokens", told.get("cache_read_input_tokens"))
    if cached is not None:
        assert reading.usage.cache_read_tokens == cached
    thought = told.get("completion_tokens_details") or told.get("output_tokens_details") or {}
    assert reading.usage.reasoning_tokens == thought.get("reasoning_tokens")


def test_native_formats_pass_through_until_they_are_built():
    native = ("cohere", "google-gemini", "google-vertex", "bedrock", "ollama", "voyage")
    for exchange in load_traffic():
        if exchange not in OURS:
            assert exchange.provider in native
            assert recognise(request_of(exchange), json.loads(exchange.request)) is None
