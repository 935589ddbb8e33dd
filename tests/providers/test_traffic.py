"""Every recorded exchange of the endpoints that are built: recognised, judged, and read the same however it was cut."""

from __future__ import annotations

import base64
import json

import pytest

from llm_cache.core.eventstream import FrameSplitter
from llm_cache.core.lines import LineSplitter
from llm_cache.core.model import Head, Step
from llm_cache.core.sse import Event, EventSplitter
from llm_cache.testing.traffic import Exchange

from .provider_samples import (
    LINES,
    OURS,
    TRAFFIC,
    cut,
    each,
    endpoint_of,
    head_of,
    needs_traffic,
    objects,
    read,
    whole,
)

pytestmark = needs_traffic

# Recorded as a success, and yet an error event inside a 200 stream (OpenRouter: "Token limit reached").
SPOILT = {"acd3514db8ae": "error"}
# Recorded as a success, and yet taken by a filter: prompt or answer (Model Armor, Bedrock's guardrails).
FILTERED = {
    "11683a97b12f": {"content_filter", "empty"},
    "162081ec1169": {"content_filter", "empty"},
    "0e5b5bb1e91d": {"content_filter"},
    "9c4efcd86407": {"content_filter"},
}
BLOCKED_BEFORE_THE_MODEL = "9c4efcd86407"  # its stream is one event that no metrics follow
STREAMS = [exchange for exchange in OURS if exchange.stream]
KEPT = [exchange for exchange in OURS if exchange.ok and exchange.id not in SPOILT]
NATIVE = ("/model/", "/v1beta", "/api/", "/v1/chat", "/v2/", "/v1/generate", "/v1/rerank", "/v1/tokenize")
OPENAI_OR_ANTHROPIC = [
    exchange
    for exchange in KEPT
    if "/openai/" in exchange.path
    or not exchange.path.startswith(NATIVE)
    or exchange.path.endswith(("/completions", "/responses"))
]
TERMINALS = {"message_stop", "response.completed", "response.incomplete", "message-end"}


def ends_with_its_body(exchange: Exchange) -> bool:
    """Whether no event tells the end of such a stream."""
    return "streamGenerateContent" in exchange.path


def splitter_for(exchange: Exchange):
    kind = exchange.content_type or ""
    if kind.startswith("application/vnd.amazon.eventstream"):
        return FrameSplitter()
    return LineSplitter() if kind.startswith(LINES) else EventSplitter()


def is_end(event: Event) -> bool:
    """Whether it is a terminal event, by the plainest means."""
    if event.data == b"[DONE]" or event.name == b"metadata":
        return True
    data = json.loads(event.data)
    if "bytes" in data:
        return b"amazon-bedrock-invocationMetrics" in base64.b64decode(data["bytes"])
    return data.get("type") in TERMINALS or data.get("done") is True or data.get("is_finished") is True


WITH_TERMINALS = [
    exchange for exchange in STREAMS if not ends_with_its_body(exchange) and exchange.id != BLOCKED_BEFORE_THE_MODEL
]


def test_the_recordings_are_all_there():
    assert len(OURS) >= 205
    assert len(STREAMS) >= 80


@each(OURS)
def test_what_was_good_is_kept_and_nothing_else(exchange: Exchange):
    endpoint = endpoint_of(exchange)
    _, reading = read(endpoint, head_of(exchange), exchange.response)
    expected = SPOILT.get(exchange.id) if exchange.ok else f"status_{exchange.status}"
    assert reading.flaw == expected
    assert endpoint.uncacheable is None
    asked = json.loads(exchange.request).get("stream") is True or "-stream" in exchange.path
    assert endpoint.stream == (exchange.stream or asked)
    if exchange.id in FILTERED:
        assert reading.traits == FILTERED[exchange.id]
    elif expected is None:
        assert reading.traits <= {"length"}


@each(OURS)
def test_the_vendor_is_known_by_its_host(exchange: Exchange):
    known = {
        "azure-openai": "azure",
        "bedrock-openai": "bedrock",
        "google-gemini": "google",
        "google-vertex": "vertex",
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


@each(WITH_TERMINALS)
def test_the_end_is_seen_with_the_terminal_event_and_not_before(exchange: Exchange):
    reader = endpoint_of(exchange).reader(head_of(exchange))
    splitter = splitter_for(exchange)
    over = False
    for i in range(len(exchange.response)):
        byte = exchange.response[i : i + 1]
        over = any(is_end(event) for event in splitter.feed(byte)) or over
        assert (reader.feed(byte) is Step.COMPLETE) == over
    assert over


@each(WITH_TERMINALS)
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


@each([exchange for exchange in STREAMS if ends_with_its_body(exchange)])
def test_a_stream_without_a_terminal_event_is_whole_with_its_last_event(exchange: Exchange):
    endpoint, head = endpoint_of(exchange), head_of(exchange)
    body = exchange.response
    assert body.endswith(b"}\r\n\r\n"), "real ones end their lines so"
    reader = endpoint.reader(head)
    for i in range(0, len(body) - 60, max(1, len(body) // 500)):
        assert read(endpoint, head, body[:i])[1].flaw == "cut_off"
    for i in range(len(body) - 60, len(body)):
        whole = body[:i].endswith(b"}\r\n\r")  # an event ends with the first character of its blank line's end
        assert (read(endpoint, head, body[:i])[1].flaw is None) == whole
    assert all(reader.feed(chunk) is Step.MORE for chunk in cut(body, 3)), "the end of the body is what waits"
    assert reader.finish().flaw is None


@each([exchange for exchange in STREAMS if ends_with_its_body(exchange)])
def test_a_stream_of_gemini_is_the_same_as_one_array(exchange: Exchange):
    """Without `alt=sse` the same objects come as the items of a JSON array, sent in pieces."""
    endpoint, expected = endpoint_of(exchange), read(endpoint_of(exchange), head_of(exchange), exchange.response)[1]
    head = Head(200, (("content-type", "application/json; charset=UTF-8"),))
    body = json.dumps(objects(exchange), indent=1).encode()
    for seed in range(5):
        assert read(endpoint, head, *cut(body, seed))[1] == expected
    for i in range(0, len(body), max(1, len(body) // 500)):
        assert read(endpoint, head, body[:i])[1].flaw == "malformed"
    assert read(endpoint, head, json.dumps(objects(exchange)[:-1]).encode())[1].flaw in {"cut_off", "malformed"}
    spoilt = [*objects(exchange), {"error": {"code": 503, "message": "overloaded"}}]
    assert read(endpoint, head, json.dumps(spoilt).encode())[1].flaw == "error"


@each([exchange for exchange in KEPT if not exchange.stream])
def test_a_body_that_was_cut_is_not_kept(exchange: Exchange):
    endpoint, head = endpoint_of(exchange), head_of(exchange)
    body = exchange.response.rstrip()
    for size in (0, 1, len(body) // 2, len(body) - 1):
        assert read(endpoint, head, body[:size])[1].flaw == "malformed"


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


@each(OPENAI_OR_ANTHROPIC)
def test_the_text_is_all_that_was_said(exchange: Exchange):
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    assert (reading.text or "") == plain_text(objects(exchange))


@each(OPENAI_OR_ANTHROPIC)
def test_the_model_is_the_one_that_answered(exchange: Exchange):
    told = []
    for item in objects(exchange):
        for place in (item, item.get("response") or {}, item.get("message") or {}):
            told += [place["model"]] if place.get("model") else []
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    assert reading.model == (told[0] if told else None)
    assert len(set(told)) <= 1


@each(OPENAI_OR_ANTHROPIC)
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


def test_nothing_that_is_recorded_passes_through_unread():
    assert [exchange.name for exchange in TRAFFIC if exchange not in OURS] == []
    print(f"\n{len(OURS)} recorded exchanges of {len({exchange.provider for exchange in OURS})} vendors are read")


PRICED_OTHERWISE = {
    "cohere": "their reading passes over what was answered",
    "openrouter": "the reply tells its own price",
    "google": "thoughts that the compatible endpoint counts in the total alone",
}
"""Where genai-prices' own reading of a reply comes to another price, and why ours is what was billed."""
AT = 1_795_500_000.0


def test_plain_replies_have_the_price_that_genai_prices_reads_from_them_itself():
    """An independent check: their readers of usage against ours, with the same prices."""
    from datetime import datetime, timezone

    genai_prices = pytest.importorskip("genai_prices")
    from llm_cache.ledger.prices import Prices, to_usd
    from llm_cache.providers.compatible import price_name

    prices, same, other = Prices({}), 0, {}
    for exchange in KEPT:
        if exchange.stream or not (exchange.content_type or "").startswith("application/json"):
            continue
        endpoint = endpoint_of(exchange)
        reading = whole(endpoint, head_of(exchange), exchange.response)
        models = [name for name in (reading.model, endpoint.model) if name]
        ours = prices.cost(endpoint.provider, models, reading.usage, AT)
        for flavor in ("default", "chat", "responses", "embeddings"):
            try:
                told = genai_prices.extract_usage(
                    json.loads(exchange.response), provider_id=price_name(endpoint.provider), api_flavor=flavor
                )
                theirs = told.calc_price(genai_request_timestamp=datetime.fromtimestamp(AT, timezone.utc)).total_price
            except (ValueError, LookupError):
                continue
            assert ours is not None, exchange.id
            if to_usd(ours) == theirs:
                same += 1
            else:
                other[exchange.id] = endpoint.provider
            break
    assert same >= 30
    assert set(other.values()) <= set(PRICED_OTHERWISE), other
