"""At which terms a reply was billed, where that was not the standard price. It must not know what they cost.

What a vendor calls its standard is None here; every other word is passed on, so that a price which nobody knows is
unknown and not the standard one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_cache.providers.parse import Json, clean, maybe

if TYPE_CHECKING:
    from llm_cache.core.model import Usage

_LENGTH = 40
_STANDARD = frozenset({"", "default", "standard", "auto", "on_demand", "none", "unspecified"})
"""OpenAI says `default`, Anthropic and Google `standard`, Groq `on_demand`; `auto` is asked for, and echoed by some."""
_TRAFFIC = {"on_demand": None, "on_demand_flex": "flex", "on_demand_priority": "priority"}
"""Vertex tells it as the kind of traffic; throughput that was bought beforehand has no price a token."""


def tier(value: object) -> str | None:
    """The service tier of a reply, or None for the standard one; also where it is an object with a `type` (Bedrock)."""
    told = maybe(value).get("type") if isinstance(value, dict) else value
    word = clean(told).strip().lower() if isinstance(told, str) else ""
    word = word.removeprefix("service_tier_")
    return None if word in _STANDARD else word[:_LENGTH]


def anthropic_terms(told: Json) -> str | None:
    """Of Anthropic's `usage`: the tier, the speed, and where it ran; inference in one country costs a tenth more.

    https://platform.claude.com/docs/en/build-with-claude/data-residency
    """
    words = [tier(told.get("service_tier")), tier(told.get("speed")), tier(told.get("inference_geo"))]
    return _joined(word for word in words if word not in {"global", "not_available"})


def google_terms(told: Json) -> str | None:
    """Of Google's `usageMetadata`."""
    traffic = tier(told.get("trafficType"))
    words = [tier(told.get("serviceTier")), _TRAFFIC.get(traffic, traffic) if traffic else None]
    return _joined(dict.fromkeys(words))


def openai_tools(usage: Usage | None, output: Iterable[object]) -> Usage | None:
    """The usage with the tools that OpenAI ran for a response and bills by the call.

    Searches are counted. What has a price of its own that no usage tells (a container that ran code, images that
    another model drew) makes the terms unknown.
    """
    kinds = [maybe(item).get("type") for item in output]
    searches, files = _searches(output), kinds.count("file_search_call")
    strange = [kind for kind in ("code_interpreter_call", "image_generation_call") if kind in kinds]
    if usage is None or not (searches or files or strange):
        return usage
    return replace(
        usage,
        web_searches=searches or None,
        file_searches=files or None,
        terms=_joined([usage.terms, *strange]),
    )


def _searches(output: Iterable[object]) -> int:
    """Searches alone: to open a page or to find something on it is not billed."""
    calls = [maybe(item) for item in output if maybe(item).get("type") == "web_search_call"]
    return sum(maybe(call.get("action")).get("type", "search") == "search" for call in calls)


def with_terms(usage: Usage | None, terms: str | None) -> Usage | None:
    """The usage at those terms, beside the ones it has."""
    if usage is None or terms is None:
        return usage
    return replace(usage, terms=_joined([usage.terms, terms]))


def _joined(words: Iterable[str | None]) -> str | None:
    return "+".join(word for word in words if word)[:_LENGTH] or None
