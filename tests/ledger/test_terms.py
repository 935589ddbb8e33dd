"""What is billed otherwise than by plain tokens at the standard price: as the provider bills it, or unknown.

Each case is a reply as the provider writes it, read by its own reader, and a figure that was worked out by hand from
the price lists: USD per million tokens, per thousand searches, per hour of audio.
"""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.metadata import version

import pytest

from llm_cache.core.model import Head, Request, Usage
from llm_cache.ledger.prices import Prices, to_pico
from llm_cache.ledger.sums import CALLS, Pending, pending_of
from llm_cache.ledger.table import Price, price_table
from llm_cache.providers.registry import recognise

AT = 1_795_500_000.0  # 24 November 2026
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com/v1"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/models/"
ASK = {"messages": [{"role": "user", "content": "hi"}]}
PRICES = tuple(int(part) for part in version("genai-prices").split(".")[:3])
new_prices = pytest.mark.skipif(PRICES < (0, 2, 3), reason="prices from before know fewer terms: then they are unknown")


def chat(model, usage, **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return f"{OPENAI}/chat/completions", {"model": model, **ASK}, {"choices": [choice], "usage": usage, **more}


def response(model, usage, *items, **more):
    said = {"type": "message", "content": [{"type": "output_text", "text": "yes"}]}
    told = {"status": "completed", "output": [*items, said], "usage": usage, **more}
    return f"{OPENAI}/responses", {"model": model, "input": "hi"}, told


def message(model, usage):
    told = {"content": [{"type": "text", "text": "yes"}], "stop_reason": "end_turn", "usage": usage}
    return f"{ANTHROPIC}/messages", {"model": model, "max_tokens": 9, **ASK}, told


def gemini(model, usage, **more):
    candidate = {"index": 0, "finishReason": "STOP", "content": {"parts": [{"text": "yes"}]}, **more}
    asked = {"contents": [{"parts": [{"text": "hi"}]}]}
    return f"{GOOGLE}{model}:generateContent", asked, {"candidates": [candidate], "usageMetadata": usage}


def converse(model, usage, **more):
    told = {"output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}}, "stopReason": "end_turn"}
    url = f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{model}/converse"
    return url, {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, {**told, "usage": usage, **more}


def read(url, asked, told):
    """Provider, models and usage, as every face of the cache would have them."""
    headers = (("content-type", "application/json"), ("anthropic-version", "2023-06-01"))
    endpoint = recognise(Request("POST", url, headers, json.dumps(asked).encode()), asked)
    reader = endpoint.reader(Head(200, headers))
    reader.feed(json.dumps(told).encode())
    reading = reader.finish()
    assert reading.flaw is None
    return endpoint.provider, (reading.model or endpoint.model,), reading.usage


def usd_of(exchange, prices=None, at=AT):
    return (prices or Prices({})).cost(*read(*exchange), at)


# 1,000 tokens in, of them 400 cached, and 500 out
USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 500,
    "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
}
NEWER = {"input_tokens": 1000, "output_tokens": 500, "input_tokens_details": {"cached_tokens": 400}}
CLAUDE = {"input_tokens": 100, "output_tokens": 50, "service_tier": "standard", "inference_geo": "global"}
GEMINI = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "thoughtsTokenCount": 400, "totalTokenCount": 1500}


@new_prices
@pytest.mark.parametrize(
    ("exchange", "usd"),
    [
        # gpt-5: 1.25 in, 0.125 cached, 10 out; flex is half of all three and priority twice
        (chat("gpt-5", USAGE, service_tier="default"), "0.0058"),  # 600*1.25 + 400*0.125 + 500*10
        (chat("gpt-5", USAGE), "0.0058"),
        (chat("gpt-5", USAGE, service_tier=None), "0.0058"),
        (chat("gpt-5", USAGE, service_tier="auto"), "0.0058"),
        (chat("gpt-5", USAGE, service_tier="flex"), "0.0029"),
        (chat("gpt-5", USAGE, service_tier="priority"), "0.0116"),
        (response("gpt-5", NEWER, service_tier="flex"), "0.0029"),
        (response("gpt-5", NEWER, service_tier="priority"), "0.0116"),
        # a search in the web is 10 a thousand, to open a page is nothing; one in files is 2.50 a thousand
        (
            response(
                "gpt-5",
                NEWER,
                {"type": "web_search_call", "action": {"type": "search"}},
                {"type": "web_search_call", "action": {"type": "open_page"}},
                {"type": "file_search_call"},
            ),
            "0.0183",  # 0.0058 + 0.01 + 0.0025
        ),
        # gpt-5.5: 5 in, 0.5 cached, 30 out; twice, twice and one and a half times beyond 272,000 tokens
        (chat("gpt-5.5", {"prompt_tokens": 272_000, "completion_tokens": 100}), "1.363"),  # 272*0.005 + 100*30e-6
        (chat("gpt-5.5", {"prompt_tokens": 272_001, "completion_tokens": 100}), "2.72451"),
        # sound: 2.5 in, 32 heard, 10 out, 64 spoken
        (
            chat(
                "gpt-audio",
                {
                    "prompt_tokens": 100,
                    "completion_tokens": 60,
                    "prompt_tokens_details": {"audio_tokens": 80, "text_tokens": 20},
                    "completion_tokens_details": {"audio_tokens": 50, "text_tokens": 10},
                },
            ),
            "0.00591",  # 20*2.5 + 80*32 + 10*10 + 50*64
        ),
        # claude-opus-5: 5 in, 0.5 read, 6.25 written, 10 written for an hour, 25 out
        (message("claude-opus-5", CLAUDE), "0.00175"),
        (
            message(
                "claude-opus-5",
                {
                    **CLAUDE,
                    "cache_read_input_tokens": 1000,
                    "cache_creation_input_tokens": 300,
                    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
                },
            ),
            "0.004875",  # 100*5 + 1000*0.5 + 100*6.25 + 200*10 + 50*25
        ),
        (message("claude-opus-5", {**CLAUDE, "server_tool_use": {"web_search_requests": 3}}), "0.03175"),
        (message("claude-opus-5", {**CLAUDE, "speed": "fast"}), "0.0035"),
        (message("claude-opus-5", {**CLAUDE, "service_tier": "batch"}), "0.000875"),
        # beyond 200,000 tokens, with what was cached: 6 in, 0.6 read, 22.5 out instead of 3, 0.3, 15
        (
            message("claude-sonnet-4-5", {"input_tokens": 1, "cache_read_input_tokens": 200_000, "output_tokens": 10}),
            "0.120231",  # 1*6 + 200000*0.6 + 10*22.5
        ),
        # gemini-2.5-flash: 0.3 in, 0.03 cached, 2.5 out with thoughts, 1 heard, 0.1 heard from the cache
        (gemini("gemini-2.5-flash", GEMINI), "0.00155"),
        (gemini("gemini-2.5-flash", {**GEMINI, "cachedContentTokenCount": 600}), "0.001388"),
        (
            gemini(
                "gemini-2.5-flash",
                {
                    **GEMINI,
                    "cachedContentTokenCount": 600,
                    "promptTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 700},
                        {"modality": "AUDIO", "tokenCount": 300},
                    ],
                    "cacheTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 500},
                        {"modality": "AUDIO", "tokenCount": 100},
                    ],
                },
            ),
            "0.001535",  # 200*0.3 + 200*1 + 500*0.03 + 100*0.1 + 500*2.5
        ),
        (gemini("gemini-2.5-flash", {**GEMINI, "serviceTier": "standard", "trafficType": "ON_DEMAND"}), "0.00155"),
        # gemini-3-pro-image-preview: 2 in, 12 out, 120 drawn
        (
            gemini(
                "gemini-3-pro-image-preview",
                {
                    "promptTokenCount": 10,
                    "candidatesTokenCount": 1200,
                    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
                },
            ),
            "0.13538",  # 10*2 + 80*12 + 1120*120
        ),
        (gemini("gemini-3.8-flash-lite-tts", {**GEMINI, "serviceTier": "flex"}), "0.00175"),  # 0.25 and 3
        (gemini("gemini-3.8-flash-lite-tts", {**GEMINI, "trafficType": "ON_DEMAND_PRIORITY"}), "0.0063"),
        # embeddings
        (
            (
                f"{OPENAI}/embeddings",
                {"model": "text-embedding-3-large", "input": "hi"},
                {"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 1000, "total_tokens": 1000}},
            ),
            "0.00013",
        ),
        (
            (
                "https://api.voyageai.com/v1/embeddings",
                {"model": "voyage-3-large", "input": "hi"},
                {"data": [{"embedding": [0.1]}], "model": "voyage-3-large", "usage": {"total_tokens": 1000}},
            ),
            "0.00018",
        ),
        (
            (
                "https://api.cohere.com/v2/embed",
                {"model": "embed-v4.0", "texts": ["hi"]},
                {"embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 1000}}},
            ),
            "0.00012",
        ),
        # groq's flex costs what its standard does: 0.15 and 0.6
        (
            (
                "https://api.groq.com/openai/v1/chat/completions",
                {"model": "openai/gpt-oss-120b", **ASK},
                chat("", {"prompt_tokens": 1000, "completion_tokens": 100}, service_tier="flex")[2],
            ),
            "0.00021",
        ),
        # by the bill in the reply
        (
            (
                "https://openrouter.ai/api/v1/chat/completions",
                {"model": "whoever/whatever", **ASK},
                chat("", {"prompt_tokens": 9, "completion_tokens": 9, "cost": 0.00014})[2],
            ),
            "0.00014",
        ),
        (
            (
                "https://api.perplexity.ai/chat/completions",
                {"model": "sonar", **ASK},
                chat("", {"prompt_tokens": 9, "completion_tokens": 9, "cost": {"total_cost": 0.005018}})[2],
            ),
            "0.005018",
        ),
        # by the minute: 0.006
        (
            (
                f"{OPENAI}/audio/transcriptions",
                {"model": "whisper-1", "file": "x"},
                {"text": "yes", "usage": {"type": "duration", "seconds": 90}},
            ),
            "0.009",
        ),
        # on Bedrock in one region, a tenth more than elsewhere: 3.3 in, 6.6 written for an hour, 16.5 out
        (
            converse(
                "anthropic.claude-sonnet-4-5-20250929-v1%3A0",
                {
                    "inputTokens": 10,
                    "outputTokens": 20,
                    "cacheWriteInputTokens": 100,
                    "cacheDetails": [{"ttl": "1h", "inputTokens": 100}],
                },
                serviceTier={"type": "default"},
            ),
            "0.001023",
        ),
    ],
)
def test_as_billed(exchange, usd):
    assert usd_of(exchange) == to_pico(Decimal(usd))


@pytest.mark.parametrize(
    "exchange",
    [
        chat("gpt-5", USAGE, service_tier="scale"),  # bought beforehand
        chat("gpt-4o", USAGE, service_tier="flex"),  # which it does not have
        chat("gpt-5", USAGE, service_tier="a word of next year"),
        response("gpt-5", NEWER, {"type": "code_interpreter_call"}),
        response("gpt-5", NEWER, {"type": "image_generation_call"}),
        chat("gpt-4o-search-preview", USAGE),  # searches, and does not say how often
        chat(
            "gpt-4o-audio-preview",
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"audio_tokens": 5}},
        ),
        message("claude-opus-5", {**CLAUDE, "inference_geo": "us"}),  # a tenth more
        message("claude-opus-5", {**CLAUDE, "service_tier": "priority"}),  # by contract
        message("claude-3-haiku-20240307", {**CLAUDE, "server_tool_use": {"web_search_requests": 1}}),
        gemini("gemini-2.5-flash", {**GEMINI, "trafficType": "PROVISIONED_THROUGHPUT"}),
        gemini("gemini-2.5-flash", GEMINI, groundingMetadata={"webSearchQueries": ["x"]}),  # so many a day are free
        gemini("gemini-2.5-pro", {**GEMINI, "serviceTier": "priority"}),
        converse("amazon.nova-lite-v1%3A0", {"inputTokens": 9, "outputTokens": 9}, serviceTier={"type": "priority"}),
        (
            "https://api.cohere.com/v2/rerank",
            {"model": "rerank-v3.5", "query": "x", "documents": ["y"]},
            {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 1}}},
        ),
        (
            "https://openrouter.ai/api/v1/chat/completions",
            {"model": "whoever/whatever", **ASK},
            chat("", {"prompt_tokens": 9, "completion_tokens": 9, "cost": 0, "is_byok": True})[2],
        ),
        (
            "https://api.perplexity.ai/chat/completions",
            {"model": "sonar", **ASK},
            chat("", {"prompt_tokens": 9, "completion_tokens": 9})[2],
        ),
    ],
)
def test_unknown_rather_than_wrong(exchange):
    assert usd_of(exchange) is None


@new_prices
def test_terms_have_dates_too():
    # They were written down on 12 October 2026: of a flex call before, nobody can say what it cost.
    assert usd_of(chat("gpt-5", USAGE, service_tier="flex"), at=1_760_000_000.0) is None
    assert usd_of(chat("gpt-5", USAGE), at=1_760_000_000.0) is not None


@pytest.mark.parametrize("model", ["gpt-5", "gpt-4.1", "o3"])
def test_prices_that_know_less_are_never_wrong(model):
    """Also where an older genai-prices is installed: the standard price is for the standard terms alone."""
    standard = usd_of(chat(model, {"prompt_tokens": 1000, "completion_tokens": 500}))
    for tier in ("flex", "priority", "scale"):
        other = usd_of(chat(model, {"prompt_tokens": 1000, "completion_tokens": 500}, service_tier=tier))
        assert other is None or other != standard


ROWS = {
    "openai": {
        "gpt-5": {"input": 1, "output": 2, "flex": 0.5},
        "sound": {"input": 1, "output": 2, "input_audio": 10, "output_audio": 20},
    },
    "anthropic": {
        "claude-opus-5": {"input": 1, "output": 2, "cached": 0.1, "cache_write": 1.25, "cache_write_1h": 2},
        "claude-haiku-4-5": {"input": 1, "output": 2, "web_searches": 7},
    },
    "cohere": {"rerank-v3.5": {"search_units": 2}},
}
RERANK = (
    "https://api.cohere.com/v2/rerank",
    {"model": "rerank-v3.5", "query": "x", "documents": ["y"]},
    {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 3}}},
)
SOUND = {
    "prompt_tokens": 100,
    "completion_tokens": 60,
    "prompt_tokens_details": {"audio_tokens": 80},
    "completion_tokens_details": {"audio_tokens": 50},
}
WRITTEN = {
    **CLAUDE,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
}


@pytest.mark.parametrize(
    ("exchange", "usd"),
    [
        (chat("gpt-5", USAGE), "2"),  # (1000*1 + 500*2) / 1000
        (chat("gpt-5", USAGE, service_tier="flex"), "1"),
        (chat("gpt-5", USAGE, service_tier="priority"), None),
        (chat("sound", SOUND), "1.84"),  # 20*1 + 80*10 + 10*2 + 50*20
        (chat("gpt-5", SOUND), None),
        (message("claude-opus-5", WRITTEN), "0.725"),  # 100*1 + 100*1.25 + 200*2 + 50*2
        (message("claude-haiku-4-5", WRITTEN), "0.5"),
        (message("claude-haiku-4-5", {**CLAUDE, "server_tool_use": {"web_search_requests": 2}}), "0.214"),
        (message("claude-opus-5", {**CLAUDE, "server_tool_use": {"web_search_requests": 2}}), None),
        (RERANK, "0.006"),
    ],
)
def test_rows_of_ones_own(exchange, usd):
    prices = Prices(price_table(ROWS, str))
    assert usd_of(exchange, prices) == (None if usd is None else to_pico(Decimal(usd)))
    assert not prices.loaded


def test_a_row_of_ones_own_goes_before_the_bill_in_the_reply():
    told = chat("", {"prompt_tokens": 9, "completion_tokens": 9, "cost": 0.5})[2]
    exchange = "https://openrouter.ai/api/v1/chat/completions", {"model": "a/b", **ASK}, told
    prices = Prices({"openrouter": {"a/b": Price(Decimal(1), Decimal(1))}})
    assert usd_of(exchange, prices) == to_pico(Decimal("0.018"))
    assert usd_of(exchange) == to_pico(Decimal("0.5"))


def test_a_bill_that_waits_for_its_price_keeps_all_of_it():
    usage = Usage(9, 8, cache_write_tokens=5, cache_write_1h_tokens=4, web_searches=1, billed_pico=7, terms="flex")
    for told in (usage, Usage(9, 8), Usage()):
        pending = Pending((CALLS, "2026-11-24", "openai", "gpt-5", "default"), "k", 1.5, ("gpt-5",), told)
        assert pending_of(pending.to_label()) == pending
    # What an earlier version wrote, and what it can make of ours: nothing, so that it leaves it alone.
    bill = '["k",1.5,["gpt-5"],[9,8,null,null,null,null,null]]'
    assert pending_of(("pending", *pending.label[1:], bill)).usage == Usage(9, 8)
    assert len(json.loads(Pending(pending.label, "k", 1.5, ("m",), usage).to_label()[5])) == 5


@pytest.mark.parametrize("cost", ["0.1", True, -1, 1e300, float("nan"), [1], {"total_cost": "x"}, {}])
def test_a_bill_that_is_none_is_passed_over(cost):
    usage = read(*chat("gpt-5", {"prompt_tokens": 9, "completion_tokens": 9, "cost": cost}))[2]
    assert usage == Usage(9, 9)
