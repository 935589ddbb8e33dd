"""The prices that come with genai-prices, as they are on disk. Imported only where most of a second does not matter.

It must not start genai-prices' updates, which would use the network.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from inspect import signature
from typing import Any

from genai_prices import Usage as TheirUsage, calc_price
from genai_prices.data_snapshot import get_snapshot

from llm_cache.core.model import Usage

_NAMES = {"bedrock": "aws", "vertex": "google", "voyage": "voyageai", "xai": "x-ai", "moonshot": "moonshotai"}
"""Their names where ours differ. Names that are neither ours nor theirs have no price: their own search goes by parts
of a name, and would price a server called `not-openai` as OpenAI."""
_FIELDS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "output_audio_tokens": "output_audio_tokens",
}
"""Our fields of usage and theirs: both hold totals with the parts beside them."""


class Bundled:
    """Their prices, loaded once it exists."""

    def __init__(self) -> None:
        self._providers = {provider.id for provider in get_snapshot().providers}
        self._fields = {ours: theirs for ours, theirs in _FIELDS.items() if theirs in _known_fields()}

    def cost(self, provider: str, model: str, usage: Usage, at: float) -> Decimal | None:
        """USD for one call, or None if they have no price for it.

        Raises:
            Exception: whatever they raise: LookupError for a model they do not know, ValueError for a usage that
                leaves open what was billed (audio and cached tokens that may overlap).
        """
        name = _NAMES.get(provider.lower(), provider.lower())
        if name not in self._providers:
            return None
        told = {theirs: getattr(usage, ours) for ours, theirs in self._fields.items()}
        priced = calc_price(
            TheirUsage(**{field: count for field, count in told.items() if count is not None}),
            model,
            provider_id=name,
            genai_request_timestamp=datetime.fromtimestamp(at, timezone.utc),
        )
        for count, price in (
            (usage.input_tokens, priced.model_price.input_mtok),
            (usage.output_tokens, priced.model_price.output_mtok),
        ):
            # What is billed and was not told is not nothing. Embeddings have no price for output.
            if count is None and price:
                return None
        return priced.total_price


def _known_fields() -> set[str]:
    """What their usage may hold: fields of a dataclass in 0.1 (Python 3.10), units by name since 0.2."""
    parameters = signature(TheirUsage).parameters
    if "input_tokens" in parameters:
        return set(parameters)
    from genai_prices.data_units import unit_data

    known: dict[str, Any] = unit_data
    return set(known)
