"""Listens to a reply while it passes and makes an `Entry` of it, or says why not.

It decides what is kept and never how: saving is the plan's business, meaning the provider's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from llm_cache.core.model import Entry, Frame, Head, Reader, Reading, Request, Step, Usage
from llm_cache.core.signature import HEADERS as SEMANTIC_HEADERS

if TYPE_CHECKING:
    from llm_cache.core.effects import Sent
    from llm_cache.core.events import About
    from llm_cache.core.model import Endpoint, Headers
    from llm_cache.core.policy import Kind, Policy

KEPT = frozenset(
    {
        "apim-request-id",
        "content-type",
        "request-id",
        "server-timing",
        "x-amzn-requestid",
        "x-envoy-upstream-service-time",
        "x-ms-request-id",
        "x-processing-time",
        "x-request-id",
        "x-response-time",
    }
)
KEPT_PREFIXES = ("openai-", "anthropic-", "x-amzn-bedrock-")
_LIMITS = ("-limit", "-remaining", "-reset")
"""How the rate limits end that are not called so, `anthropic-priority-input-tokens-remaining`
(https://docs.anthropic.com/en/api/rate-limits#response-headers)."""


def kept_headers(headers: Headers) -> Headers:
    """The headers that an SDK reads and that say nothing of the caller's account or connection.

    An allow-list: what nobody has heard of is not kept. Rate limits count calls that a replay does
    not make, whatever the vendor's prefix before them.
    """
    return tuple(
        (name, value)
        for name, value in headers
        if name in KEPT or (name.startswith(KEPT_PREFIXES) and "ratelimit" not in name and not name.endswith(_LIMITS))
    )


def shared_head(head: Head) -> Head:
    """The head as everyone but the caller who paid for the reply may see it."""
    return Head(head.status, kept_headers(head.headers))


def asked(request: Request, endpoint: Endpoint, policy: Policy) -> Request | None:
    """The request as it is stored: without credentials, or None if it is over the size limit."""
    if len(request.body) > policy.max_entry_bytes:
        return None
    query = urlencode(endpoint.query, errors="replace")
    headers = tuple(pair for pair in request.headers if pair[0] in SEMANTIC_HEADERS)
    return Request(request.method, public_url(request.url) + (query and f"?{query}"), headers, request.body)


def public_url(url: str) -> str:
    """Where a request goes, without the parts of a URL that may hold credentials: user, query, fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    if not host and parts.scheme:
        # A function without a provider; `urlunsplit` would drop the slashes.
        return f"{parts.scheme}://{parts.path}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a reply is not kept. `usage` is what it was billed for, as far as it said so."""

    reason: str
    usage: Usage | None = None
    latency_ms: float = 0.0


class Recorder:
    """Fed with every chunk of one reply, in order."""

    __slots__ = (
        "_about",
        "_endpoint",
        "_frames",
        "_kind",
        "_origin",
        "_policy",
        "_reader",
        "_request",
        "_sent",
        "_size",
        "refusal",
    )

    def __init__(
        self,
        request: Request,
        endpoint: Endpoint,
        policy: Policy,
        about: About,
        sent: Sent,
        kind: Kind = "http",
        origin: str = "",
    ) -> None:
        self._request = request
        self._endpoint = endpoint
        self._policy = policy
        self._about = about
        self._sent = sent
        self._kind = kind
        self._origin = origin
        self._reader: Reader | None = None
        self._frames: list[Frame] = []
        self._size = 0
        self.refusal: str | None = None
        """Why this reply will not be kept whatever follows, once that is certain."""
        # Whatever a vendor's file does with bytes that nobody has foreseen costs the entry, not the call.
        try:
            self._reader = endpoint.reader(sent.head)
        except Exception:
            self.refusal = "unreadable"

    def feed(self, data: bytes, at: float) -> Step:
        """Take the next content-decoded bytes, which arrived at that time."""
        if self.refusal is not None or self._reader is None:
            return Step.MORE
        self._size += len(data)
        if self._size > self._policy.max_entry_bytes:
            self.refusal = "too_large"
            self._frames.clear()
            return Step.MORE
        since = max(0, int((at - self._sent.head_at) * 1_000_000))
        self._frames.append(Frame(data, since))
        try:
            return self._reader.feed(data)
        except Exception:
            self.refusal = "unreadable"
            return Step.MORE

    def finish(self, at: float) -> Entry | Refused:
        """The entry, if the reply may be kept as it stands at this time."""
        latency_ms = max(0.0, (at - self._sent.sent_at) * 1000)
        if self.refusal is not None:
            return Refused(self.refusal, None, latency_ms)
        reading = self._read()
        unwanted = reading.traits & self._policy.dont_store
        # By the alphabet: what is both empty and cut by length counts as empty.
        reason = reading.flaw or (min(unwanted) if unwanted else None)
        if reason is not None:
            return Refused(reason, reading.usage, latency_ms)
        ttl_s = self._policy.ttl_s
        content_type = self._sent.head.header("content-type") or ""
        return Entry(
            key=self._about.key,
            kind=self._kind,
            provider=self._endpoint.provider or reading.provider or "",
            model=self._endpoint.model or reading.model or "",
            endpoint=self._endpoint.path,
            namespace=self._policy.namespace,
            head=shared_head(self._sent.head),
            frames=tuple(self._frames),
            stream=self._endpoint.streams(content_type) and not reading.plain,
            created_at=at,
            expires_at=None if ttl_s is None else at + ttl_s,
            asked=asked(self._request, self._endpoint, self._policy),
            usage=reading.usage,
            latency_ms=latency_ms,
            answered_model=reading.model,
            origin=self._origin,
        )

    def abandoned(self) -> Refused:
        """What to say of a reply that nobody reads to its end."""
        return Refused("abandoned", self._read().usage)

    def _read(self) -> Reading:
        try:
            return self._reader.finish() if self._reader is not None else Reading(flaw="unreadable")
        except Exception:
            return Reading(flaw="unreadable")
