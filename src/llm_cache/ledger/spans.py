"""Spans of OpenTelemetry for calls, where the program has set it up. It must cost nothing where it has not.

Names and attributes are those of the semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/). Nothing of a prompt or an answer is in them.
A span is made when its call is over, with the times that are known then, so that no call is held in two places.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from llm_cache.core.events import Dropped, Hit, Joined, Missed, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.core.events import About, Event
    from llm_cache.core.model import Usage

_log = logging.getLogger("llm_cache")
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""What the conventions call a provider that has another name here."""
_OPERATIONS = (
    ("embed", "embeddings"),
    ("generatecontent", "generate_content"),
    ("chat", "chat"),
    ("messages", "chat"),
    ("responses", "chat"),
    ("converse", "chat"),
    ("completions", "text_completion"),
)


class Spans:
    """Makes a span of each call that was answered.

    Args:
        clock: seconds since the epoch.
        provider: a tracer provider; without it the one that the program has set, whenever it does.
    """

    def __init__(self, clock: Callable[[], float], provider: Any = None) -> None:
        self._clock = clock
        self._provider = provider
        self._trace: Any = None
        self._tracer: Any = None

    @property
    def active(self) -> bool:
        """Whether anybody wants spans."""
        if self._tracer is None:
            # Importing it takes half a second. A program that wants spans has done so.
            trace = sys.modules.get("opentelemetry.trace")
            if trace is None or not hasattr(trace, "get_tracer_provider"):
                return False
            provider = self._provider or trace.get_tracer_provider()
            # Until a program sets one, this is a stand-in that drops everything.
            if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
                return False
            self._trace = trace
            self._tracer = provider.get_tracer("llm_cache")
        return True

    def __call__(self, event: Event) -> None:
        """Make the span that an event ends, if it ends one. Whatever goes wrong in it is no call's business."""
        if not self.active:
            return
        try:
            self._tell(event)
        except Exception:
            _log.debug("a span could not be made", exc_info=True)

    def _tell(self, event: Event) -> None:
        now = self._clock()
        if isinstance(event, Hit):
            entry, status = event.entry, "stale" if event.stale else "hit"
            self._span(
                event.about, status, now, now, saved=entry.usage, answered=entry.answered_model, stream=entry.stream
            )
        elif isinstance(event, Joined):
            self._span(event.about, "joined", now, now, saved=event.usage)
        elif isinstance(event, Stored) and not event.again and not event.nested:
            entry = event.entry
            began = now - entry.latency_ms / 1000
            self._span(
                event.about, "miss", began, now, paid=entry.usage, answered=entry.answered_model, stream=entry.stream
            )
        elif isinstance(event, Dropped) and not event.nested:
            self._span(event.about, "miss", now - event.latency_ms / 1000, now, paid=event.usage, dropped=event.reason)
        elif isinstance(event, Missed) and event.reason == "offline":
            self._span(event.about, "miss", now, now, dropped="offline")

    def _span(
        self,
        about: About,
        status: str,
        began: float,
        ended: float,
        *,
        paid: Usage | None = None,
        saved: Usage | None = None,
        answered: str | None = None,
        stream: bool = False,
        dropped: str | None = None,
    ) -> None:
        operation = operation_of(about.endpoint)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _PROVIDERS.get(about.provider, about.provider),
            "gen_ai.request.model": about.model,
            "gen_ai.response.model": answered,
            "gen_ai.request.stream": stream or None,
            "gen_ai.usage.input_tokens": paid.input_tokens if paid else None,
            "gen_ai.usage.output_tokens": paid.output_tokens if paid else None,
            # Parts of these, also in the conventions.
            "gen_ai.usage.cache_read.input_tokens": paid.cache_read_tokens if paid else None,
            "gen_ai.usage.cache_creation.input_tokens": paid.cache_write_tokens if paid else None,
            "gen_ai.usage.reasoning.output_tokens": paid.reasoning_tokens if paid else None,
            "llm_cache.status": status,
            "llm_cache.key": about.key,
            "llm_cache.namespace": about.namespace,
            "llm_cache.not_kept": dropped,
            # Not the conventions' own names: whoever adds those up wants to know what was paid for.
            "llm_cache.saved.input_tokens": saved.input_tokens if saved else None,
            "llm_cache.saved.output_tokens": saved.output_tokens if saved else None,
        }
        kinds = self._trace.SpanKind
        span = self._tracer.start_span(
            f"{operation} {about.model}".strip(),
            kind=kinds.CLIENT if status == "miss" else kinds.INTERNAL,
            attributes={name: value for name, value in attributes.items() if value not in {None, ""}},
            start_time=int(began * 1e9),
        )
        failure = _failure(dropped)
        if failure is not None:
            kind, why = failure
            span.set_attribute("error.type", kind)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, why))
        span.end(int(ended * 1e9))


def _failure(dropped: str | None) -> tuple[str, str] | None:
    """What `error.type` and the status say of a call that failed; None if it did not, or nobody can tell."""
    if dropped == "offline":
        return "CacheMissError", "nothing is stored, and the cache is offline"
    if dropped is not None and dropped.startswith("status_"):
        return dropped.removeprefix("status_"), "the provider answered with an error"
    if dropped in {"error", "failed"}:
        return dropped, "the provider told of an error in its answer"
    return None


def operation_of(endpoint: str) -> str:
    """What the conventions call a call of that endpoint; its last part where they have no name for it."""
    last = endpoint.rpartition("/")[2].lower()
    if not ("count" in last or "token" in last):
        for part, name in _OPERATIONS:
            if part in endpoint.lower():
                return name
    return endpoint.rpartition("/")[2].rpartition(":")[2] or "call"
