"""Text, usage and model of every recorded exchange in a vendor's own format, by the plainest means there are."""

from __future__ import annotations

from typing import Any

from .provider_samples import OURS, each, endpoint_of, head_of, needs_traffic, objects, read
from .test_traffic import FILTERED, KEPT, OPENAI_OR_ANTHROPIC

pytestmark = needs_traffic
NATIVE = [exchange for exchange in KEPT if exchange not in OPENAI_OR_ANTHROPIC and exchange.id not in FILTERED]
METRICS = "amazon-bedrock-invocationMetrics"


def path_of(exchange) -> str:
    return exchange.path.partition("?")[0]


def answers(found: list[dict], exchange) -> list[str]:
    """The texts of the results, of which there is one but where several were asked for."""
    path = path_of(exchange)
    if "enerateContent" in path:
        parts = [
            part for item in found for one in item.get("candidates", []) for part in one["content"].get("parts", [])
        ]
        return ["".join(part.get("text", "") for part in parts if not part.get("thought"))]
    if path.endswith("/converse"):
        return ["".join(part.get("text", "") for part in found[0]["output"]["message"]["content"])]
    if path.endswith("/converse-stream"):
        return ["".join(item.get("delta", {}).get("text", "") for item in found)]
    if "/invoke" in path:
        results = [result for item in found for result in (item.get("results") or [item])]
        pieces = [each.get("outputText") or each.get("delta", {}).get("text", "") for each in results]
        nova = (found[0].get("output") or {}).get("message", {}).get("content") or []
        return ["".join([*pieces, *(part.get("text", "") for part in [*nova, *found[0].get("content", [])])])]
    if path == "/v2/chat" and exchange.stream:
        contents = [item.get("delta", {}).get("message", {}).get("content") for item in found]
        return ["".join(content.get("text") or "" for content in contents if isinstance(content, dict))]
    if path == "/v2/chat":
        return ["".join(part.get("text", "") for part in found[0]["message"].get("content") or [])]
    if path == "/v1/chat":
        return [found[-1]["response"]["text"] if exchange.stream else found[0]["text"]]
    if path == "/v1/generate":
        return [one["text"] for one in found[0]["generations"]]
    if path in {"/api/chat", "/api/generate"}:
        return ["".join(item.get("message", {}).get("content", "") + item.get("response", "") for item in found)]
    return [""]


def counts(found: list[dict], exchange) -> tuple[Any, Any] | None:
    """The tokens read and written that were told; None where none were."""
    last = found[-1]
    if path_of(exchange).endswith((":countTokens", "/tokenize")):
        return 0, 0
    if any("usageMetadata" in item for item in found):
        told = [item["usageMetadata"] for item in found if "usageMetadata" in item][-1]
        asked = told.get("promptTokenCount", 0) + told.get("toolUsePromptTokenCount", 0)
        return asked, told.get("candidatesTokenCount", 0) + told.get("thoughtsTokenCount", 0)
    cohere = last.get("delta", last.get("response", last))
    if isinstance(cohere, dict) and (told := (cohere.get("usage") or cohere.get("meta") or {}).get("billed_units")):
        # A search is billed as such, and not by its tokens.
        return (0, 0) if "search_units" in told else (told.get("input_tokens"), told.get("output_tokens"))
    if "eval_count" in last:
        return last.get("prompt_eval_count"), last["eval_count"]
    metrics = last.get(METRICS) or {}
    told = last.get("usage") or metrics
    if "inputTokens" in told or "inputTokenCount" in told:
        return told.get("inputTokens", told.get("inputTokenCount")), told.get(
            "outputTokens", told.get("outputTokenCount")
        )
    if "input_tokens" in told:
        return told["input_tokens"], told["output_tokens"]
    if "inputTextTokenCount" in last:
        return last["inputTextTokenCount"], sum(result["tokenCount"] for result in last.get("results", [])) or None
    if "total_tokens" in told:
        return told["total_tokens"], None
    return None


@each(NATIVE)
def test_the_text_is_all_that_was_said(exchange) -> None:
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    assert (reading.text or "") == "\n".join(text for text in answers(objects(exchange), exchange) if text)


@each(NATIVE)
def test_usage_is_what_was_told(exchange) -> None:
    _, reading = read(endpoint_of(exchange), head_of(exchange), exchange.response)
    told = counts(objects(exchange), exchange)
    usage = reading.usage
    assert (usage and (usage.input_tokens, usage.output_tokens)) == told


@each(NATIVE)
def test_the_model_is_the_one_that_answered_or_was_asked(exchange) -> None:
    endpoint = endpoint_of(exchange)
    _, reading = read(endpoint, head_of(exchange), exchange.response)
    places = [place for item in objects(exchange) for place in (item, item.get("message")) if isinstance(place, dict)]
    told = [place[name] for place in places for name in ("modelVersion", "model") if place.get(name)]
    assert reading.model == (told[0] if told else None)
    assert reading.model or endpoint.model or exchange.provider == "cohere"


def test_every_exchange_is_in_one_of_the_two() -> None:
    assert len(NATIVE) >= 59
    good = [exchange for exchange in OURS if exchange in KEPT and exchange.id not in FILTERED]
    assert all(exchange in NATIVE or exchange in OPENAI_OR_ANTHROPIC for exchange in good)
