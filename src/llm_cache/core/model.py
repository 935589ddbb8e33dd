"""The nouns that every room shares: requests, replies, entries. Plain data, no behaviour beyond views.

Nothing here may read a clock, touch the world or know a vendor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order in which they arrived; names in lower case."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call on its way out.

    A call that is no HTTP request is one too: `value://<provider><endpoint>` is `get_or_set`,
    `call://<provider>/<module.qualname>` a decorated function; the body is its canonical arguments.
    """

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of the first header of that lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of a reply."""

    status: int
    headers: Headers = ()

    def header(self, name: str) -> str | None:
        """The value of the first header of that lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Frame(NamedTuple):
    """One piece of a reply's body as it arrived.

    `at_us` is the time since the head in microseconds.
    """

    data: bytes
    at_us: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply was billed for; `None` is unknown, or not told because there was none of it.

    `input_tokens` includes what was read from or written to a provider's prompt cache, and
    `output_tokens` includes reasoning, whatever the vendor's own convention is, so that figures
    of different vendors can be added. The parts are given beside them.

    Attributes:
        cache_write_1h_tokens: those of `cache_write_tokens` that are kept for an hour, which costs more.
        cache_read_audio_tokens: those of `cache_read_tokens` that are audio.
        cache_read_image_tokens: those of `cache_read_tokens` that are images.
        web_searches: searches that the provider made in the web.
        file_searches: searches that the provider made in files that were left with it.
        search_units: what rerankers bill.
        audio_ms: milliseconds of audio that were heard, where they are billed and not tokens.
        terms: what it was billed by where that is not the standard price: `flex`, `priority`, `batch`, …
        billed_pico: the price that the reply itself tells, in 1e-12 USD.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    cache_read_audio_tokens: int | None = None
    cache_read_image_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    input_video_tokens: int | None = None
    web_searches: int | None = None
    file_searches: int | None = None
    search_units: int | None = None
    audio_ms: int | None = None
    billed_pico: int | None = None
    terms: str | None = None

    def told(self) -> dict[str, int | str | None]:
        """The fields by name, as they are written: the first seven always, of the others those that are known."""
        names = self.__slots__
        told = {name: getattr(self, name) for name in names[:_ALWAYS]}
        for name in names[_ALWAYS:]:
            value = getattr(self, name)
            if value is not None:
                told[name] = value
        return told


_ALWAYS = 7
"""Fields of a `Usage` that every record has had from the beginning."""


class Step(Enum):
    """What a `Reader` says of the chunk it has just been fed."""

    MORE = "more"
    """Pass it on; the reply goes on."""
    HOLD = "hold"
    """Nearly done: keep it back until the next chunk, some consumers stop reading here."""
    COMPLETE = "complete"
    """The provider's own terminal event has passed; bytes may still follow."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a whole reply amounts to.

    `flaw` is a reason why it must never be kept (cut off, error event, failed, …) or None.
    `traits` are those of `content_filter`, `empty`, `length`, `refusal` that apply; which of
    them are kept is the policy's business. `provider` and `plain` (whether it is no stream) are
    told where only the reply can: for a function nobody knows beforehand what it returns.
    """

    flaw: str | None = None
    traits: frozenset[str] = frozenset()
    model: str | None = None
    usage: Usage | None = None
    text: str | None = None
    provider: str | None = None
    plain: bool = False


class Reader(Protocol):
    """Understands one reply while it passes, chunk by chunk; chunks may be cut anywhere."""

    def feed(self, data: bytes) -> Step:
        """Take the next bytes of the content-decoded body."""
        ...

    def finish(self) -> Reading:
        """Judge everything fed so far as if the body ended here; may be called again after more."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call to one upstream, recognised from a request.

    Attributes:
        provider: the vendor's name for people and prices, `openai`.
        upstream: what identifies the server in the key: the vendor's name at its own address,
            else `host:port/prefix`.
        path: the canonical path, `/v1/chat/completions`, whatever doubled or missing version it
            was written with.
        model: the model asked for, if the request says so.
        stream: whether the request asks for a stream.
        query: the query parameters that count, sorted.
        outside: names of top-level body fields that are left out of the key.
        unmark: removes vendor marks that do not change the answer (Anthropic's `cache_control`)
            from a parsed body and returns the result; the argument is not changed.
        stream_counts: whether `"stream": false` counts, because its absence means a stream.
        arrays: whether its streams may be the items of one JSON array, whose content type is that of a body.
        uncacheable: why this very request must not be cached, else None.
        reader: makes the `Reader` for a reply with this head.
    """

    provider: str
    upstream: str
    path: str
    model: str
    stream: bool
    reader: Callable[[Head], Reader]
    query: tuple[tuple[str, str], ...] = ()
    outside: frozenset[str] = frozenset()
    unmark: Callable[[object], object] | None = None
    uncacheable: str | None = None
    stream_counts: bool = False
    arrays: bool = False

    def streams(self, content_type: str) -> bool:
        """Whether a reply of that type is the stream that was asked for, as far as its head can tell."""
        return self.stream and (self.arrays or not content_type.startswith("application/json"))


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """What was answered, as it arrived, and what is known about it.

    Attributes named like the fields of `llm-cache list --json`. Times (`*_at`) are seconds since
    the epoch, `model` is the one that was asked for and `answered_model` what the reply called itself
    (`gpt-4` and `gpt-4-0613`), `latency_ms` is how long the upstream took for the whole reply, `size_bytes` what the
    record takes in the store, `cost_usd` None while unknown. Where the store is sealed, `key` is an HMAC and `origin`
    what it was made of: the key as it would be without encryption. `request`, `response` and `text` are
    readable views that `LLMCache.get` and `entries` fill in; the hit path leaves them None.
    """

    key: str
    kind: str
    provider: str
    model: str
    endpoint: str
    namespace: str
    head: Head
    frames: tuple[Frame, ...]
    stream: bool
    created_at: float
    expires_at: float | None
    asked: Request | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    latency_ms: float = 0.0
    hits: int = 0
    last_hit_at: float | None = None
    size_bytes: int = 0
    answered_model: str | None = None
    origin: str = field(default="", compare=False, repr=False)
    request: object = field(default=None, compare=False)
    response: object = field(default=None, compare=False)
    text: str | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        """What it is, in a line, for whoever looks at it in a notebook: request and answer may be megabytes."""
        said = self.text if self.text is None or len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}…"
        names = ("key", "provider", "model", "endpoint", "namespace", "stream", "created_at", "hits", "cost_usd")
        return f"Entry({', '.join(f'{name}={getattr(self, name)!r}' for name in names)}, text={said!r}, …)"

    @property
    def status(self) -> int:
        """The HTTP status of the reply; always 200 in this version."""
        return self.head.status

    @property
    def input_tokens(self) -> int | None:
        """Tokens read, or None if the reply did not say."""
        return self.usage.input_tokens if self.usage else None

    @property
    def output_tokens(self) -> int | None:
        """Tokens written, or None if the reply did not say."""
        return self.usage.output_tokens if self.usage else None

    @property
    def body(self) -> bytes:
        """The whole reply, content-decoded."""
        return b"".join([frame.data for frame in self.frames])


_SHOWN = 60
"""Characters of an answer in the `repr` of its entry."""


class Row(NamedTuple):
    """One stored record with what stays readable about it: what the codec makes and a store keeps.

    `key` is 32 bytes, `value` the codec's record. Times are seconds since the epoch, money is
    integer pico-dollars (1e-12 USD: per-token prices have more digits than nano-dollars hold),
    None is unknown. `hits` and `last_hit_at` are moved by `Store.touch`, never by `put`.
    """

    key: bytes
    value: bytes
    kind: str
    provider: str
    model: str
    endpoint: str
    namespace: str
    stream: bool
    status: int
    created_at: float
    expires_at: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_pico: int | None
    latency_ms: float
    hits: int = 0
    last_hit_at: float | None = None
