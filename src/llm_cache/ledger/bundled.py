"""The prices that come with genai-prices, as they are on disk. Imported only where most of a second does not matter.

It must not start genai-prices' updates, which would use the network, nor name a price for what they do not know: their
library passes over terms and units that a model has no price for, and would price a search as nothing.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from inspect import signature
from typing import Any

from genai_prices import Usage as TheirUsage, calc_price
from genai_prices.data_snapshot import get_snapshot

from llm_cache.core.model import Usage
from llm_cache.providers.compatible import price_name

_PARTS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "cache_read_audio_tokens": "cache_audio_read_tokens",
    "cache_read_image_tokens": "cache_image_read_tokens",
    "input_image_tokens": "input_image_tokens",
    "output_image_tokens": "output_image_tokens",
    "input_video_tokens": "input_video_tokens",
}
"""Our fields of usage and theirs: both hold totals with the parts beside them. A part that a model has no price of its
own for costs what the rest of the total does."""
_APART = {
    "cache_write_1h_tokens": ("cache_write_1h_tokens", "cache_write_1h_mtok"),
    "web_searches": ("web_searches", "web_searches_kcount"),
    "file_searches": ("storage_searches", "storage_searches_kcount"),
    "search_units": ("rerank_searches", "rerank_searches_kcount"),
    "audio_ms": ("input_audio_seconds", "input_audio_hours"),
}
"""What costs something else than the rest, or is in no total: where it has no price, neither has the call."""
_CONTEXTS = {"batch": {"processing": "batch"}, "fast": {"speed": "fast", "service_tier": "fast"}}
"""What they call our terms; of others (`flex`, `priority`) it is the service tier."""
_SOUND_AS_TEXT = frozenset({"google"})
"""Whose models hear and speak at the price of text, but for those that they have a price of sound for."""
_AS_STANDARD = frozenset({("groq", "flex")})
"""https://console.groq.com/docs/flex-processing"""


class Bundled:
    """Their prices, loaded once it exists."""

    def __init__(self) -> None:
        self._providers = {provider.id: provider for provider in get_snapshot().providers}
        known = _known_fields()
        self._parts = {ours: theirs for ours, theirs in _PARTS.items() if theirs in known}
        self._apart = {ours: names for ours, names in _APART.items() if names[0] in known}
        self._contexts = "price_context" in signature(calc_price).parameters

    def cost(self, provider: str, model: str, usage: Usage, at: float) -> Decimal | None:
        """USD for one call, or None if they have no price for it.

        Raises:
            Exception: whatever they raise: LookupError for a model they do not know, ValueError for a usage that
                leaves open what was billed (audio and cached tokens that may overlap).
        """
        # A name that is neither ours nor theirs has no price: their own search goes by parts of a name, and would price
        # a server called `not-openai` as OpenAI.
        name = price_name(provider.lower())
        if name not in self._providers or _searches_unasked(model, usage):
            return None
        told: dict[str, Any] = {theirs: getattr(usage, ours) for ours, theirs in self._parts.items()}
        for ours in _APART:
            count = getattr(usage, ours)
            if count and ours not in self._apart:
                return None
            if count:
                told[self._apart[ours][0]] = count if ours != "audio_ms" else Decimal(count) / 1000
        if usage.audio_ms:
            # They know hours of audio, and of audio that goes in; where a model has both prices, it is one amount.
            told["audio_seconds"] = told["input_audio_seconds"]
        moment = datetime.fromtimestamp(at, timezone.utc)
        context = None if (name, usage.terms) in _AS_STANDARD else self._context(usage.terms)
        more: dict[str, Any] = {"price_context": context} if context else {}
        if context and not self._contexts:
            return None
        priced = calc_price(
            TheirUsage(**{field: count for field, count in told.items() if count is not None}),
            model,
            provider_id=name,
            genai_request_timestamp=moment,
            **more,
        )
        if context and not self._has_price_at(name, priced.model, context, moment):
            return None
        price = priced.model_price
        if name not in _SOUND_AS_TEXT and (
            (usage.input_audio_tokens and price.input_audio_mtok is None)
            or (usage.output_audio_tokens and price.output_audio_mtok is None)
        ):
            return None
        return priced.total_price if self._whole(price, usage) else None

    @staticmethod
    def _context(terms: str | None) -> dict[str, str] | None:
        return None if terms is None else _CONTEXTS.get(terms, {"service_tier": terms})

    def _has_price_at(self, name: str, model: Any, context: dict[str, str], moment: datetime) -> bool:
        """Whether they have a price of the model for those terms at that time, and did not pass over them."""
        if not any(model is each for each in self._providers[name].models):
            return False  # another provider's price, of which they take the standard one
        return any(
            all(context.get(key) == value for key, value in variant.when.items())
            and (variant.constraint is None or variant.constraint.active(moment))
            for variant in model.price_variants or ()
        )

    def _whole(self, price: Any, usage: Usage) -> bool:
        """Whether nothing that was billed is missing in their sum."""
        for count, own in ((usage.input_tokens, price.input_mtok), (usage.output_tokens, price.output_mtok)):
            # What is billed and was not told is not nothing. Embeddings have no price for output.
            if count is None and own:
                return False
            # And what was told and has no price, where the model bills something else, is not either.
            if count and own is None and not usage.audio_ms:
                return False
        for ours, (_, key) in self._apart.items():
            if not getattr(usage, ours) or getattr(price, key, None) is not None:
                continue
            if ours == "audio_ms" and getattr(price, "audio_hours", None) is not None:
                continue
            return False
        # A price for each call that depends on what was searched for (Perplexity): replies that tell their own price
        # do not come here.
        return getattr(price, "requests_kcount", None) is None


def _searches_unasked(model: str, usage: Usage) -> bool:
    """Whether it is a model of OpenAI's that searches by itself, which is billed and not told in chat replies."""
    return ("-search-preview" in model or "-search-api" in model) and not usage.web_searches


def _known_fields() -> set[str]:
    """What their usage may hold: fields of a dataclass in 0.1 (Python 3.10), units by name since 0.2."""
    parameters = signature(TheirUsage).parameters
    if "input_tokens" in parameters:
        return set(parameters)
    from genai_prices.data_units import unit_data

    known: dict[str, Any] = unit_data
    return set(known)
