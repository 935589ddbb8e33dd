"""Text and usage of a stream are those that the vendor's own SDK gathers from it."""

from __future__ import annotations

import importlib

import pytest

from llm_cache.testing.traffic import Exchange

from .provider_samples import OURS, each, endpoint_of, head_of, needs_traffic, read

pytestmark = [needs_traffic, pytest.mark.sdk]
STREAMS = [exchange for exchange in OURS if exchange.stream]
# What the SDK's own helper raises at: an error inside the stream, and annotations without an index.
RAISES = {"acd3514db8ae", "ce092c2d5cdc"}


def ending(name: str) -> list[Exchange]:
    return [item for item in STREAMS if item.path.partition("?")[0].endswith(name) and item.id not in RAISES]


def answering(client, exchange: Exchange):
    """The client, whose every call is answered with the recording."""
    kinds = type(client._client).__mro__
    library = next(kind.__module__ for kind in kinds if kind.__module__.startswith("httpx"))
    http = importlib.import_module(library.partition(".")[0])

    def reply(request):
        return http.Response(200, headers={"content-type": "text/event-stream"}, content=exchange.response)

    client._client._transport = http.MockTransport(reply)
    return client


@each(ending("/messages"))
def test_anthropic(exchange: Exchange):
    anthropic = pytest.importorskip("anthropic")
    client = answering(anthropic.Anthropic(api_key="none"), exchange)
    with client.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "?"}]) as stream:
        final = stream.get_final_message()
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    assert (reading.text or "") == "".join(block.text for block in final.content if block.type == "text")
    assert reading.usage.output_tokens == final.usage.output_tokens
    assert reading.usage.input_tokens == final.usage.input_tokens  # nothing here was cached
    assert reading.model == final.model


@each(ending("/chat/completions"))
def test_openai_chat(exchange: Exchange):
    openai = pytest.importorskip("openai", minversion="1.40")
    client = answering(openai.OpenAI(api_key="none"), exchange)
    chat = client.chat.completions if hasattr(client.chat.completions, "stream") else client.beta.chat.completions
    with chat.stream(model="m", messages=[{"role": "user", "content": "?"}]) as stream:
        try:
            final = stream.get_final_completion()
        except openai.LengthFinishReasonError as error:
            final = error.completion
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    assert (reading.text or "") == "\n".join(choice.message.content or "" for choice in final.choices)
    if final.usage is not None:
        assert reading.usage.input_tokens == final.usage.prompt_tokens
        assert reading.usage.output_tokens == final.usage.completion_tokens


@each(ending("/responses"))
def test_openai_responses(exchange: Exchange):
    openai = pytest.importorskip("openai", minversion="1.66")
    client = answering(openai.OpenAI(api_key="none"), exchange)
    if not hasattr(client.responses, "stream"):
        pytest.skip("this SDK has no accumulator for responses")
    with client.responses.stream(model="m", input="?") as stream:
        final = stream.get_final_response()
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    assert (reading.text or "") == final.output_text
    assert reading.usage.input_tokens == final.usage.input_tokens
    assert reading.usage.output_tokens == final.usage.output_tokens
    assert reading.model == final.model
