"""Tokens as vendors tell them, in the one convention of `Usage`. It must not price them.

What cannot be read is unknown, never a flaw: an answer is not worse for a strange count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from llm_cache.core.model import Usage
from llm_cache.providers.parse import Json, maybe, tokens
from llm_cache.providers.terms import anthropic_terms, google_terms, tier

_LONGEST_S = 1_000_000
_MOST_PICO = 10**18
FREE = Usage(input_tokens=0, output_tokens=0)
"""For calls that no vendor bills: token counts and moderations."""


def openai_usage(value: object, service_tier: object = None) -> Usage | None:
    """The `usage` of OpenAI's formats, under its old names and its new ones, with the `service_tier` beside it."""
    if not value:
        return None  # as in nearly every chunk of a stream
    told = maybe(value)
    asked = _first(told, "prompt_tokens", "input_tokens")
    said = _first(told, "completion_tokens", "output_tokens")
    heard = _milliseconds(told)
    if asked is None and said is None and heard is None:
        return None
    # Transcriptions write the last one.
    asked_details = _details(told, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    said_details = _details(told, "completion_tokens_details", "output_tokens_details", "output_token_details")
    cached_details = maybe(asked_details.get("cached_tokens_details"))
    cache_read = tokens(asked_details.get("cached_tokens"))
    if cache_read is None:
        # DeepSeek; Mistral; Together and Moonshot
        cache_read = _first(told, "prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens")
    reasoning = tokens(said_details.get("reasoning_tokens"))
    hidden = (tokens(told.get("total_tokens")) or 0) - (asked or 0) - (said or 0)
    # What was heard is counted in Mistral's total, and billed by the second.
    unnamed = reasoning is None and hidden != cache_read and heard is None
    if said is not None and asked is not None and hidden > 0 and (hidden == reasoning or unnamed):
        # Reasoning that is billed as output and counted in the total alone: xAI names it, Google's
        # compatible endpoint does not.
        said += hidden
    return Usage(
        input_tokens=asked,
        output_tokens=said,
        cache_read_tokens=cache_read,
        cache_write_tokens=tokens(asked_details.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
        input_audio_tokens=tokens(asked_details.get("audio_tokens")),
        output_audio_tokens=tokens(said_details.get("audio_tokens")),
        cache_read_audio_tokens=_some(cached_details, "audio_tokens"),
        cache_read_image_tokens=_some(cached_details, "image_tokens"),
        input_image_tokens=_some(asked_details, "image_tokens"),
        output_image_tokens=_some(said_details, "image_tokens"),
        audio_ms=heard,
        # xAI and Perplexity bill what they looked up by the source or the search, and tell how many.
        terms=tier(service_tier) or ("searches" if _searched(told) else None),
        billed_pico=_billed(told),
    )


def _milliseconds(told: Json) -> int | None:
    """How much was heard, where that is what is billed: OpenAI's `whisper-1`, Mistral's `prompt_audio_seconds`."""
    seconds = told.get("seconds") if told.get("type") == "duration" else told.get("prompt_audio_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < _LONGEST_S:
        return None
    return round(seconds * 1000)


def _searched(told: Json) -> bool:
    return any(tokens(told.get(name)) for name in ("num_sources_used", "num_search_queries", "citation_tokens"))


def _billed(told: Json) -> int | None:
    """The price that OpenRouter (`cost`) and Perplexity (`cost.total_cost`) put into the usage itself, in USD.

    https://openrouter.ai/docs/guides/guides/usage-accounting: with a key of one's own it is OpenRouter's share alone.
    """
    cost = told.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)) or told.get("is_byok"):
        return None
    try:
        # By its shortest spelling, which is what was written.
        pico = Decimal(repr(cost)).scaleb(12).to_integral_value()
    except InvalidOperation:
        return None
    return int(pico) if pico.is_finite() and 0 <= pico < _MOST_PICO else None


def embedding_usage(value: object) -> Usage | None:
    """As `openai_usage`; some vendors (Voyage) give the total alone, and nothing is written."""
    usage = openai_usage(value)
    total = tokens(maybe(value).get("total_tokens"))
    return Usage(input_tokens=total) if usage is None and total is not None else usage


def anthropic_usage(told: Json) -> Usage | None:
    """Anthropic's `usage`, whose `input_tokens` leave out what its prompt cache read and wrote."""
    asked = tokens(told.get("input_tokens"))
    said = tokens(told.get("output_tokens"))
    if asked is None and said is None:
        return None
    read = tokens(told.get("cache_read_input_tokens"))
    written = tokens(told.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=None if asked is None else asked + (read or 0) + (written or 0),
        output_tokens=said,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=tokens(maybe(told.get("output_tokens_details")).get("thinking_tokens")),
        cache_write_1h_tokens=_some(maybe(told.get("cache_creation")), "ephemeral_1h_input_tokens"),
        web_searches=_some(maybe(told.get("server_tool_use")), "web_search_requests"),
        terms=anthropic_terms(told),
    )


def _details(told: Json, *names: str) -> Json:
    return next((found for name in names if (found := maybe(told.get(name)))), {})


def _first(told: Json, *names: str) -> int | None:
    for name in names:
        count = tokens(told.get(name))
        if count is not None:
            return count
    return None


def google_usage(value: object) -> Usage | None:
    """Google's `usageMetadata`: what tools brought is part of the input, and thoughts are part of the output."""
    told = maybe(value)
    asked = _sum(told, "promptTokenCount", "toolUsePromptTokenCount")
    said = _sum(told, "candidatesTokenCount", "thoughtsTokenCount")
    if asked is None and said is None:
        return None
    return Usage(
        input_tokens=asked,
        # A reply without candidates has no count of them: nothing was written.
        output_tokens=0 if said is None else said,
        cache_read_tokens=tokens(told.get("cachedContentTokenCount")),
        reasoning_tokens=tokens(told.get("thoughtsTokenCount")),
        input_audio_tokens=_of_kind(told.get("promptTokensDetails"), "AUDIO"),
        output_audio_tokens=_of_kind(told.get("candidatesTokensDetails"), "AUDIO"),
        cache_read_audio_tokens=_of_kind(told.get("cacheTokensDetails"), "AUDIO"),
        input_image_tokens=_of_kind(told.get("promptTokensDetails"), "IMAGE"),
        output_image_tokens=_of_kind(told.get("candidatesTokensDetails"), "IMAGE"),
        input_video_tokens=_of_kind(told.get("promptTokensDetails"), "VIDEO"),
        terms=google_terms(told),
    )


def cohere_usage(value: object) -> Usage | None:
    """Cohere's `usage` or `meta`: what is billed, and, where it does not say, what was counted.

    The cached tokens that newer replies tell are a part of the counted ones, not of the billed ones.
    """
    told = maybe(value)
    billed = maybe(told.get("billed_units"))
    usage = openai_usage(billed)
    units = tokens(billed.get("search_units"))
    if units is not None:
        # Rerankers bill these and no tokens.
        return replace(usage or Usage(0, 0), search_units=units)
    if usage is not None:
        return usage
    return openai_usage({**maybe(told.get("tokens")), "cached_tokens": told.get("cached_tokens")})


def ollama_usage(told: Json) -> Usage | None:
    """The counts of Ollama's last line."""
    asked, said = tokens(told.get("prompt_eval_count")), tokens(told.get("eval_count"))
    return None if asked is None and said is None else Usage(input_tokens=asked, output_tokens=said)


def total(counts: Iterable[object]) -> Usage | None:
    """The usage of a call that writes nothing and whose input is told in parts; unknown if any part is."""
    found = [tokens(count) for count in counts]
    known = [count for count in found if count is not None]
    return Usage(input_tokens=sum(known)) if known and len(known) == len(found) else None


def _sum(told: Json, *names: str) -> int | None:
    counts = [count for name in names if (count := tokens(told.get(name))) is not None]
    return sum(counts) if counts else None


def _of_kind(details: object, kind: str) -> int | None:
    """The tokens of one kind (`modality`) in a list of counts."""
    items = [maybe(item) for item in details] if isinstance(details, list) else []
    counts = [tokens(item.get("tokenCount")) for item in items if item.get("modality") == kind]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _some(told: Json, name: str) -> int | None:
    """A count, or None if there is none of it: what few replies have is left out of the records of all others."""
    return tokens(told.get(name)) or None


def bedrock_usage(value: object, service_tier: object = None) -> Usage | None:
    """Bedrock's counts, whose input leaves out what the prompt cache read and wrote.

    As converse names them, as Nova does where it is invoked (`…TokenCount`), and as metrics do.
    """
    told = maybe(value)
    asked = _first(told, "inputTokens", "inputTokenCount")
    said = _first(told, "outputTokens", "outputTokenCount")
    if asked is None and said is None:
        return None
    read = _first(told, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _first(told, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    return Usage(
        input_tokens=None if asked is None else asked + (read or 0) + (written or 0),
        output_tokens=said,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=_hourly(told.get("cacheDetails")),
        terms=tier(service_tier),
    )


def _hourly(details: object) -> int | None:
    """What converse wrote to the prompt cache for an hour, in its list of counts by duration."""
    items = [maybe(item) for item in details] if isinstance(details, list) else []
    return sum(tokens(item.get("inputTokens")) or 0 for item in items if item.get("ttl") == "1h") or None
