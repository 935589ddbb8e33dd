"""One entry as one exported line, and back. It must not read files, nor believe anything that a line says.

A line has the fields of `llm-cache list --json` (but for the size, which is the store's), the readable views
`request`, `response` and `text`, and beside them what it takes to make the very same entry again: `asked` and `reply`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

import msgspec

from llm_cache.codec.codec import to_pico
from llm_cache.codec.values import viewable
from llm_cache.core.model import Entry, Frame, Head, Headers, Request, Row, Usage
from llm_cache.core.recorder import kept_headers, public_url
from llm_cache.core.signature import HEADERS as SEMANTIC_HEADERS
from llm_cache.errors import EntryError, FormatError
from llm_cache.ledger.report import money
from llm_cache.ledger.sums import TERMS_LENGTH
from llm_cache.transfer import bodies
from llm_cache.transfer.sealed import row_of

_KEY = re.compile(r"[0-9a-f]{64}")
_MONEY = re.compile(r"-?[0-9]{1,7}(\.[0-9]{1,12})?")
_KINDS = frozenset({"http", "value", "call"})
_LATEST = 253_402_300_800.0
"""The year 10000, beyond which no time can be shown."""
_MOST = 2**62


class _Asked(msgspec.Struct):
    method: str
    url: str
    headers: list[tuple[str, str]]
    form: str | None = None
    body: Any = None


class _Reply(msgspec.Struct):
    headers: list[tuple[str, str]]
    frames: list[tuple[int, int]]
    form: str | None = None
    body: Any = None


class Line(msgspec.Struct):
    """A line as it is written in a file. Fields that are unknown here are passed over."""

    key: str
    kind: str
    provider: str
    model: str
    endpoint: str
    namespace: str
    created_at: float
    expires_at: float | None
    latency_ms: float
    stream: bool
    hits: int = 0
    last_hit_at: float | None = None
    cost_usd: str | None = None
    status: int = 200
    answered_model: str | None = None
    usage: Usage | None = None
    request: Any = None
    response: Any = None
    asked: _Asked | None = None
    reply: _Reply | None = None
    redacted: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    sealed: str | None = None


def record_of(entry: Entry, asked: Request | None, view: object, text: str | None) -> dict[str, Any]:
    """The line of an entry.

    Args:
        entry: as the codec read it.
        asked: its request, if that was kept.
        view: what an answer that is no HTTP reply looks like.
        text: what the model said.
    """
    request, asked_form = (None, None) if asked is None else bodies.view_of(asked.body)
    body = entry.body
    response, reply_form = bodies.view_of(body) if entry.kind == "http" else (view, None)
    return {
        "key": entry.key,
        "kind": entry.kind,
        "provider": entry.provider,
        "model": entry.model,
        "endpoint": entry.endpoint,
        "namespace": entry.namespace,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "last_hit_at": entry.last_hit_at,
        "hits": entry.hits,
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "cost_usd": None if entry.cost_usd is None else money(entry.cost_usd),
        "latency_ms": entry.latency_ms,
        "stream": entry.stream,
        "status": entry.status,
        "answered_model": entry.answered_model,
        "usage": None if entry.usage is None else entry.usage.told(),
        "request": request,
        "response": response,
        "text": text,
        "asked": None if asked is None else _asked(asked, asked_form),
        "reply": {
            "headers": entry.head.headers,
            "frames": [(len(frame.data), frame.at_us) for frame in entry.frames],
            **_form_or_body(reply_form, body),
        },
    }


def _asked(asked: Request, form: str | None) -> dict[str, Any]:
    fields = {"method": asked.method, "url": asked.url, "headers": asked.headers}
    return fields | _form_or_body(form, asked.body)


def _form_or_body(form: str | None, body: bytes) -> dict[str, object]:
    return {"body": bodies.exact(body)} if form is None else {"form": form}


_read = msgspec.json.Decoder(Line).decode


def line_of(text: bytes) -> Line:
    """A line of a file, as far as its types are right.

    Raises:
        FormatError: it is no JSON object, or not of an entry.
    """
    try:
        return _read(text)
    except msgspec.ValidationError as error:
        raise FormatError(f"it is no entry of an export: {error}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"it is no JSON: {error}") from error


def entry_or_row(line: Line) -> Entry | Row:
    """What a line holds: an entry, or a row that is sealed.

    Raises:
        FormatError: it says what neither could be.
    """
    if line.sealed is None:
        return entry_of(line)
    _check(line, ("", *_KINDS))
    for count in (line.input_tokens, line.output_tokens):
        if count is not None and not 0 <= count < _MOST:
            raise FormatError(f"it has {count} tokens")
    return row_of(line, None if line.cost_usd is None else Decimal(line.cost_usd))


def entry_of(line: Line) -> Entry:
    """The entry of a line.

    Raises:
        FormatError: it says what no entry could be.
    """
    if line.redacted:
        raise FormatError("it was exported with --redact, so there is no answer in it that could be imported")
    if line.reply is None:
        raise FormatError("it has no reply")
    _check(line)
    asked = line.asked
    return Entry(
        key=line.key,
        kind=line.kind,
        provider=line.provider,
        model=line.model,
        endpoint=line.endpoint,
        namespace=line.namespace,
        # What an exporting cache has never kept is not kept because a file says so.
        head=Head(line.status, kept_headers(_headers(line.reply.headers))),
        frames=_frames(line, line.reply),
        stream=line.stream,
        created_at=line.created_at,
        expires_at=line.expires_at,
        asked=None if asked is None else _request(asked, line.request),
        usage=line.usage,
        cost_usd=None if line.cost_usd is None else Decimal(line.cost_usd),
        latency_ms=line.latency_ms,
        hits=line.hits,
        last_hit_at=line.last_hit_at,
        answered_model=line.answered_model,
    )


def _check(line: Line, kinds: Collection[str] = _KINDS) -> None:
    if not _KEY.fullmatch(line.key):
        raise FormatError("its key is not 64 lower-case hex digits")
    if line.kind not in kinds:
        raise FormatError(f"its kind is {line.kind[:40]!r}; it is one of {', '.join(sorted(_KINDS))}")
    if line.status != 200:
        raise FormatError(f"its status is {line.status}; only answers of status 200 are kept")
    for name in ("created_at", "expires_at", "last_hit_at", "latency_ms"):
        value = getattr(line, name)
        if value is not None and not (math.isfinite(value) and 0 <= value < _LATEST):
            raise FormatError(f"its {name} is {value:g}, which is no such time")
    if not 0 <= line.hits < _MOST:
        raise FormatError(f"it has {line.hits} hits")
    for name, count in (line.usage.told() if line.usage else {}).items():
        if isinstance(count, str):
            if len(count) > TERMS_LENGTH:
                raise FormatError(f"its {name} are {count[:TERMS_LENGTH]!r}")
        elif count is not None and not 0 <= count < _MOST:
            raise FormatError(f"its {name} are {count}")
    if line.cost_usd is not None:
        if not _MONEY.fullmatch(line.cost_usd):
            raise FormatError(f"its cost_usd is {line.cost_usd[:40]!r}, which is no amount of money")
        if abs(to_pico(Decimal(line.cost_usd)) or 0) >= _MOST:
            raise FormatError(f"its cost_usd is {line.cost_usd[:40]!r}, which no call costs")


def _headers(given: list[tuple[str, str]]) -> Headers:
    for name, value in given:
        # They go out again as they are: a line break in one would make two of it.
        if not name.isascii() or name != name.lower() or not (name + value).isprintable():
            raise FormatError(f"it has a header that no reply has: {name[:40]!r}")
    return tuple(given)


def _request(asked: _Asked, view: object) -> Request:
    body = bodies.bytes_of(view, asked.form, asked.body)
    headers = tuple(pair for pair in _headers(asked.headers) if pair[0] in SEMANTIC_HEADERS)
    plain, mark, query = asked.url.partition("?")
    return Request(asked.method, public_url(plain) + mark + query, headers, body)


def _frames(line: Line, reply: _Reply) -> tuple[Frame, ...]:
    body = bodies.bytes_of(line.response, reply.form, reply.body)
    frames, start = [], 0
    for length, at_us in reply.frames:
        if length < 0 or not 0 <= at_us < _MOST:
            raise FormatError("its frames have lengths or times below zero")
        frames.append(Frame(body[start : start + length], at_us))
        start += length
    if start != len(body):
        raise FormatError(f"its frames come to {start} bytes, but its reply has {len(body)}")
    if line.kind != "http":
        for frame in frames:
            _see(line.kind, frame.data)
    return tuple(frames)


def _see(kind: str, data: bytes) -> None:
    """A Python value that cannot even be looked at could not be given to a caller."""
    if kind != "value":
        return
    try:
        viewable(data)
    except EntryError as error:
        raise FormatError(f"its value is none of ours: {error}") from error
