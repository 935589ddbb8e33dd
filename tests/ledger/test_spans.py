"""A call is a span where the program has set OpenTelemetry up, and nothing anywhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llm_cache import CacheMissError, LLMCache, options
from llm_cache.ledger.spans import Spans, operation_of

CHAT = {
    "provider": "openai",
    "model": "gpt-4o",
    "endpoint": "/v1/chat/completions",
    "request_data": {"secret": "canary"},
}
REPLY = {
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "canary"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}


@pytest.fixture
def finished(database):
    """The spans of what a cache did; asked for by calling it."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with LLMCache(database_url=database) as cache:
        cache.engine.ledger.spans = Spans(cache.engine.clock, provider)
        finished = exporter.get_finished_spans
        yield cache, provider, lambda: finished()


def test_a_paid_call_and_its_hits(finished):
    cache, provider, spans = finished
    with provider.get_tracer("test").start_as_current_span("program") as program:
        for _ in range(3):
            cache.get_or_set("key", lambda: REPLY, **CHAT)
    miss, first, second, _ = spans()
    assert [span.name for span in (miss, first, second)] == ["chat gpt-4o"] * 3
    assert [span.attributes["llm_cache.status"] for span in (miss, first, second)] == ["miss", "hit", "hit"]
    assert miss.attributes["gen_ai.operation.name"] == "chat"
    assert miss.attributes["gen_ai.provider.name"] == "openai"
    assert miss.attributes["gen_ai.request.model"] == "gpt-4o"
    assert miss.attributes["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert (miss.attributes["gen_ai.usage.input_tokens"], miss.attributes["gen_ai.usage.output_tokens"]) == (3, 2)
    assert "gen_ai.usage.input_tokens" not in first.attributes, "nobody paid for it again"
    assert first.attributes["llm_cache.saved.input_tokens"] == 3
    assert (miss.kind.name, first.kind.name) == ("CLIENT", "INTERNAL")
    assert {span.parent.span_id for span in (miss, first, second)} == {program.get_span_context().span_id}
    assert miss.start_time <= miss.end_time
    assert "canary" not in str([dict(span.attributes) for span in spans()])


def test_an_offline_miss_is_an_error(finished):
    cache, _, spans = finished
    with options(mode="offline"), pytest.raises(CacheMissError):
        cache.get_or_set("key", lambda: REPLY, **CHAT)
    (span,) = spans()
    assert (span.status.status_code.name, span.attributes["error.type"]) == ("ERROR", "CacheMissError")


def test_what_is_not_kept_says_so(finished):
    cache, _, spans = finished
    empty = {**REPLY, "choices": [{**REPLY["choices"][0], "message": {"role": "assistant", "content": ""}}]}
    cache.get_or_set("key", lambda: empty, **CHAT)
    assert spans()[0].attributes["llm_cache.not_kept"] == "empty"


def test_a_tracer_that_fails_costs_nothing(finished):
    cache, _, _ = finished

    class Broken:
        def start_span(self, *_, **__):
            raise RuntimeError

    assert cache.engine.ledger.spans.active
    cache.engine.ledger.spans._tracer = Broken()
    assert cache.get_or_set("key", lambda: REPLY, **CHAT) == REPLY


def test_nobody_imports_it_for_a_program_that_has_not():
    code = (
        "import sys; from llm_cache import LLMCache; cache = LLMCache(database_url=':memory:');"
        "cache.get_or_set('k', lambda: 1, 'p', 'm', '/e', {}); cache.get_or_set('k', lambda: 1, 'p', 'm', '/e', {});"
        "cache.close(); sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("endpoint", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/embeddings", "embeddings"),
        ("/v1beta/models/gemini:generateContent", "generate_content"),
        ("/model/m/converse-stream", "chat"),
        ("/v1beta/models/gemini:streamGenerateContent", "generate_content"),
        ("/v1beta/models/gemini:batchEmbedContents", "embeddings"),
        ("/v1beta/models/gemini:countTokens", "countTokens"),
        ("/v1/messages", "chat"),
        ("/v1/messages/count_tokens", "count_tokens"),
        ("/v1/rerank", "rerank"),
        ("", "call"),
    ],
)
def test_operations_have_the_names_of_the_conventions(endpoint, operation):
    assert operation_of(endpoint) == operation


def test_names_and_providers_are_those_of_the_published_conventions(finished):
    names = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    from llm_cache.ledger.spans import _PROVIDERS

    known = {value for name, value in vars(names).items() if name.startswith("GEN_AI_")}
    providers = {each.value for each in names.GenAiProviderNameValues}
    operations = {each.value for each in names.GenAiOperationNameValues}
    assert set(_PROVIDERS.values()) <= providers
    assert {"openai", "anthropic", "cohere", "groq", "deepseek", "perplexity"} <= providers
    assert {
        operation_of(f"/v1/{each}") for each in ("chat", "completions", "embeddings", "x:generateContent")
    } <= operations
    cache, _, spans = finished
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    cache.get_or_set("key", lambda: {**REPLY, "usage": usage}, **CHAT)
    told = {name: value for name, value in spans()[0].attributes.items() if name.startswith("gen_ai.")}
    assert set(told) <= known
    assert told["gen_ai.usage.cache_read.input_tokens"] == 4
    assert told["gen_ai.usage.cache_creation.input_tokens"] == 1
    assert told["gen_ai.usage.reasoning.output_tokens"] == 3


def test_an_answer_of_an_error_is_an_error(finished):
    from llm_cache.core.events import About, Dropped

    cache, _, spans = finished
    for reason in ("status_429", "error", "cut_off"):
        cache.engine.ledger(Dropped(About("openai", "gpt-4o", "/v1/chat/completions"), reason))
    assert [span.attributes.get("error.type") for span in spans()] == ["429", "error", None]
    assert [span.status.status_code.name for span in spans()] == ["ERROR", "ERROR", "UNSET"]
