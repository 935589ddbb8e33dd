"""Tokens as vendors tell them, in the one convention of `Usage`. It must not price them.

What cannot be read is unknown, never a flaw: an answer is not worse for a strange count.
"""

from __future__ import annotations

from collections.abc import Iterable

from llm_cache.core.model import Usage
from llm_cache.providers.parse import Json, maybe, tokens

FREE = Usage(input_tokens=0, output_tokens=0)
"""For calls that no vendor bills: token counts and moderations."""


def openai_usage(value: object) -> Usage | None:
    """The `usage` of OpenAI's formats, under its old names and its new ones."""
    told = maybe(value)
    asked = _first(told, "prompt_tokens", "input_tokens")
    said = _first(told, "completion_tokens", "output_tokens")
    if asked is None and said is None:
        return None
    # Transcriptions write the last one.
    asked_details = _details(told, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    said_details = _details(told, "completion_tokens_details", "output_tokens_details", "output_token_details")
    cache_read = tokens(asked_details.get("cached_tokens"))
    if cache_read is None:
        # DeepSeek; Mistral; Together and Moonshot
        cache_read = _first(told, "prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens")
    reasoning = tokens(said_details.get("reasoning_tokens"))
    hidden = (tokens(told.get("total_tokens")) or 0) - (asked or 0) - (said or 0)
    unnamed = reasoning is None and hidden != cache_read
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
    )


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
        input_audio_tokens=_audio(told.get("promptTokensDetails")),
        output_audio_tokens=_audio(told.get("candidatesTokensDetails")),
    )


def cohere_usage(value: object) -> Usage | None:
    """Cohere's `usage` or `meta`: what is billed, and, where it does not say, what was counted.

    The cached tokens that newer replies tell are a part of the counted ones, not of the billed ones.
    """
    told = maybe(value)
    billed = maybe(told.get("billed_units"))
    usage = openai_usage(billed)
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


def _audio(details: object) -> int | None:
    """The audio tokens in a list of counts by kind (`modality`)."""
    items = [maybe(item) for item in details] if isinstance(details, list) else []
    counts = [tokens(item.get("tokenCount")) for item in items if item.get("modality") == "AUDIO"]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def bedrock_usage(value: object) -> Usage | None:
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
    )
