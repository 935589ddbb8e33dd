"""What every API has in common in what it says: events, errors, reasons for an end. It must not know a vendor.

The readers are in `replies.py`; each vendor's file says what its bytes mean in these terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from llm_cache.core.model import Reading, Step
from llm_cache.core.sse import Event
from llm_cache.providers.parse import Json, Malformed, clean, parse


class Told(NamedTuple):
    """One event of a stream, parsed: its `type` (or, without one, its name) and its data."""

    kind: str
    data: Json


BodyJudge = Callable[[Json], Reading]
"""Judges a whole body. May raise `Malformed`."""
StreamJudge = Callable[[Sequence[Told]], Reading]
"""Judges the events so far, complete or not; whether they are complete is not its business. May raise `Malformed`."""
Ends = Callable[[Event], Step]
"""What one event says of the stream's end. Called for every event as it passes: it rules out by bytes what it can."""
Ended = Callable[[Sequence[Told], int], bool]
"""Whether a stream that has no terminal event is whole once its body has ended in good order, given how many results
were asked for. May raise `Malformed`."""


def told_by(event: Event) -> Told:
    """The event, parsed.

    Raises:
        Malformed: its data is not a JSON object.
    """
    data = parse(event.data)
    if not isinstance(data, dict):
        raise Malformed
    kind = data.get("type")
    return Told(kind if isinstance(kind, str) else event.name.decode("latin-1"), data)


def kind_of(event: Event) -> str:
    """The type of an event, or "" if it has none or cannot be parsed."""
    try:
        return told_by(event).kind
    except Malformed:
        return ""


def is_error(data: Json, kind: str = "") -> bool:
    """Whether a body or event is the API's way of saying that something went wrong."""
    return bool(data.get("error")) or kind == "error" or data.get("type") == "error" or data.get("object") == "error"


def traits(*, empty: bool, reasons: Sequence[str], refused: bool = False) -> frozenset[str]:
    """The traits of a reply with these reasons for its end (`finish_reason`, `stop_reason`, …)."""
    found = {_TRAITS.get(reason.partition(":")[0].strip().lower(), "") for reason in reasons} - {""}
    if refused:
        found.add("refusal")
    if empty:
        found.add("empty")
    return frozenset(found)


def is_failure(reason: str) -> bool:
    """Whether this reason for the end says that the model was not let finish."""
    return reason.lower() in _FAILURES


# Each word is documented by at least one vendor; Google's compatible endpoint writes `content_filter: SAFETY`.
_TRAITS = {
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",  # Z.ai
    "error_toxic": "content_filter",  # Cohere, and until "model_armor" Google, each on one of its endpoints
    "blocklist": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "image_safety": "content_filter",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "spii": "content_filter",
    "model_armor": "content_filter",
    "refusal": "refusal",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",
}
_FAILURES = frozenset(
    {
        "abort",  # vLLM
        "aborted",
        "canceled",
        "cancelled",
        "error",  # Mistral, OpenRouter
        "error_limit",  # Cohere
        "failed",
        "malformed_model_output",  # Bedrock
        "malformed_tool_use",  # Bedrock
        "insufficient_system_resource",  # DeepSeek
        "network_error",  # Z.ai
        "timeout",  # Cohere
        "user_cancel",  # Cohere
    }
)


def written(reading: Reading) -> Reading:
    """The reading with a text that can be stored, or none."""
    return replace(reading, text=clean(reading.text) if reading.text else None)
