"""Text and usage that are kept of a stream are those that the SDK itself makes of it, on every recorded stream.

What gathers a stream in an SDK is used where there is one: OpenAI's and Anthropic's helpers (see also
`tests/providers/test_accumulators.py`), the history of a chat of google-genai, Mistral's own accumulator for spans, the
whole response that ends a stream of Cohere's first version. The others have none: there it is the typed pieces, put
together, and the usage of the last piece that has one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from llm_cache import LLMCache, last_call, wrap
from llm_cache.testing import Exchange, FakeUpstream
from tests.sdk.cases import FOLDER, all_cases
from tests.sdk.gathering import close, gathered
from tests.sdk.sdks import MESSAGES, path_of

pytestmark = [
    pytest.mark.skipif(FOLDER is None, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names its folder"),
    # The SDKs' own.
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]
# What nothing can be gathered from: an error inside the stream, and prompts that a filter took.
NOT_KEPT = {"acd3514db8ae", "11683a97b12f", "162081ec1169", "0e5b5bb1e91d", "9c4efcd86407"}


class Gathered(NamedTuple):
    """What an SDK makes of a stream; `None` is a count that it does not tell."""

    text: str
    asked: int | None
    said: int | None


def counted(usage: Any, asked: Iterable[str], said: Iterable[str]) -> tuple[int | None, int | None]:
    """The sums of the counts of these names, in an object or a dictionary."""

    def total(names: Iterable[str]) -> int | None:
        told = usage if isinstance(usage, dict) else vars(usage or SimpleNamespace())
        found = [told[name] for name in names if told.get(name) is not None]
        return int(sum(found)) if found else None

    return total(asked), total(said)


def chat(sdk, client, exchange) -> Gathered:
    """Of an SDK like OpenAI's that gathers nothing: its typed chunks."""
    chunks = gathered(sdk.ask(client, exchange, False))
    text: dict[int, list[str]] = {}
    usage = None
    for each in chunks:
        chunk = getattr(each, "data", each)
        usage = getattr(chunk, "usage", None) or getattr(getattr(chunk, "x_groq", None), "usage", None) or usage
        for choice in chunk.choices:
            said = choice.text if hasattr(choice, "text") else choice.delta.content
            text.setdefault(choice.index, []).append(said or "")
    whole = ["".join(text[index]) for index in sorted(text)]
    counts = counted(usage, ["prompt_tokens"], ["completion_tokens"])
    return Gathered("\n".join(text for text in whole if text), *counts)


def openai(sdk, client, exchange) -> Gathered:
    if path_of(exchange).endswith("/responses"):
        last = gathered(sdk.ask(client, exchange, False))[-1].response
        return Gathered(last.output_text, *counted(last.usage, ["input_tokens"], ["output_tokens"]))
    return chat(sdk, client, exchange)


CACHED = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]


def anthropic(sdk, client, exchange) -> Gathered:
    model = path_of(exchange).split("/")[2].replace("%3A", ":") if "/model/" in exchange.path else "claude-haiku-4-5"
    with client.messages.stream(model=model, messages=MESSAGES, max_tokens=9) as stream:
        final = stream.get_final_message()
    text = "".join(block.text for block in final.content if block.type == "text")
    return Gathered(text, *counted(final.usage, CACHED, ["output_tokens"]))


def cohere(sdk, client, exchange) -> Gathered:
    events = gathered(sdk.ask(client, exchange, False))
    if path_of(exchange) == "/v1/chat":
        response = events[-1].response
        assert response.text == "".join(each.text for each in events if each.event_type == "text-generation")
        return Gathered(response.text, *counted(response.meta.billed_units, ["input_tokens"], ["output_tokens"]))
    text, usage = [], None
    for event in events:
        kind = event.type
        if kind in {"content-start", "content-delta"}:
            text.append(getattr(event.delta.message.content, "text", None) or "")
        elif kind == "message-end":
            usage = event.delta.usage.billed_units
    return Gathered("".join(text), *counted(usage, ["input_tokens"], ["output_tokens"]))


def mistral(sdk, client, exchange) -> Gathered:
    try:
        from mistralai.extra.observability.streaming import accumulate_chunks_to_response_dict as gather
    except ImportError:
        return chat(sdk, client, exchange)
    found = gather([event.data for event in gathered(sdk.ask(client, exchange, False))])
    text = [choice["message"]["content"] for choice in found["choices"]]
    counts = counted(found.get("usage") or {}, ["prompt_tokens"], ["completion_tokens"])
    return Gathered("\n".join(each for each in text if each), *counts)


def google(sdk, client, exchange) -> Gathered:
    """A chat keeps what the model has said as its history."""
    name = path_of(exchange).rpartition("/")[2].partition(":")[0]
    talk = client.chats.create(model=name)
    usage = None
    for chunk in talk.send_message_stream("hi"):
        usage = chunk.usage_metadata or usage
    parts = [part for turn in talk.get_history() if turn.role == "model" for part in turn.parts or ()]
    text = "".join(part.text for part in parts if part.text and not part.thought)
    asked = ["prompt_token_count", "tool_use_prompt_token_count"]
    return Gathered(text, *counted(usage, asked, ["candidates_token_count", "thoughts_token_count"]))


def ollama(sdk, client, exchange) -> Gathered:
    parts = gathered(sdk.ask(client, exchange, False))
    text = [part.message.content if path_of(exchange).endswith("/chat") else part.response for part in parts]
    return Gathered("".join(each or "" for each in text), *counted(parts[-1], ["prompt_eval_count"], ["eval_count"]))


def bedrock(sdk, client, exchange) -> Gathered:
    events = [item[-1] for item in gathered(sdk.ask(client, exchange, False)) if item[0] in {"stream", "body"}]
    if "/invoke" in exchange.path:
        pieces = [json.loads(event["chunk"]["bytes"]) for event in events]
        text = "".join(piece.get("outputText") or piece.get("delta", {}).get("text", "") for piece in pieces)
        metrics = pieces[-1]["amazon-bedrock-invocationMetrics"]
        return Gathered(text, *counted(metrics, ["inputTokenCount"], ["outputTokenCount"]))
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    usage = next(event["metadata"]["usage"] for event in events if "metadata" in event)
    asked = ["inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"]
    return Gathered("".join(each.get("text", "") for each in deltas), *counted(usage, asked, ["outputTokens"]))


GATHER: dict[str, Callable[[Any, Any, Exchange], Gathered]] = {
    "openai": openai,
    "openai, `AzureOpenAI`": openai,
    "anthropic": anthropic,
    "anthropic, `AnthropicBedrock`": anthropic,
    "cohere, `Client`": cohere,
    "cohere, `ClientV2`": cohere,
    "mistralai": mistral,
    "google-genai": google,
    "google-genai, Vertex AI": google,
    "groq": chat,
    "together": chat,
    "ollama": ollama,
    "huggingface_hub": chat,
    "boto3, `bedrock-runtime`": bedrock,
}
STREAMS = [(sdk, each) for sdk, each in all_cases() if each.stream and each.id not in NOT_KEPT]


@pytest.mark.parametrize(
    ("sdk", "exchange"),
    [pytest.param(sdk, each, id=f"{sdk.name.split(' ')[-1].strip('`')}-{each.name}") for sdk, each in STREAMS],
)
def test_what_is_kept_is_what_the_sdk_gathers(sdk, exchange, cache: LLMCache) -> None:
    with FakeUpstream() as upstream:
        upstream.play(exchange)
        client = sdk.client(upstream, exchange, False)
        try:
            with wrap(client, cache):
                found = [GATHER[sdk.name](sdk, client, exchange) for _ in range(2)]
        finally:
            close(client)
        assert last_call().status == "hit"
        assert found[0] == found[1]
    (entry,) = cache.entries()
    told = Gathered(entry.text or "", entry.input_tokens, entry.output_tokens)
    assert told == found[0]
