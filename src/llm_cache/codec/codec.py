"""Entries to rows and back: what of an entry is a readable column, and what goes into the record.

It must not know how stores keep rows, and no input may make `decode` raise anything but `EntryError`.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

import msgspec

from llm_cache.codec import envelope
from llm_cache.core.model import Entry, Frame, Head, Request, Row, Usage
from llm_cache.errors import FormatError, UncacheableError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 16 * 1024 * 1024
_FRAMING = 64 * 1024
"""Room for headers and for the cuts between chunks, beside the body's own bytes."""
_WIDE = Context(prec=100, rounding=ROUND_HALF_EVEN, traps=[])
"""For money; the caller's own context may round to three digits or trap."""


class _Reply(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """As msgpack. A later version may append fields; those unknown here are passed over."""

    headers: tuple[tuple[str, str], ...]
    frames: tuple[Frame, ...]
    usage: Usage | None = None
    model: str | None = None


class _Asked(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """As `_Reply`."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


_pack = msgspec.msgpack.Encoder().encode
_read_reply: Callable[[bytes], _Reply] = msgspec.msgpack.Decoder(_Reply).decode
_read_asked: Callable[[bytes], _Asked] = msgspec.msgpack.Decoder(_Asked).decode
_MALFORMED = (msgspec.MsgspecError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What bytes and columns of any kind can make the libraries below raise."""


class Codec:
    """Makes records of entries.

    Args:
        compress: whether new records are compressed; old ones are read either way.
        max_bytes: replies over this many bytes are refused, and so are records that claim to hold
            more. Requests over it are left out of the record: they only explain.
    """

    def __init__(self, *, compress: bool = True, max_bytes: int = MAX_BYTES) -> None:
        self._compress = compress
        self._limit = max_bytes + max_bytes // 4 + _FRAMING

    def encode(self, entry: Entry) -> Row:
        """The row of an entry.

        Raises:
            UncacheableError: the entry is over the size limit or holds what cannot be written.
        """
        try:
            row = Row(
                key=bytes.fromhex(entry.key),
                value=b"",
                kind=entry.kind,
                provider=entry.provider,
                model=entry.model,
                endpoint=entry.endpoint,
                namespace=entry.namespace,
                stream=entry.stream,
                status=entry.head.status,
                # A store may turn -0.0 into 0.0; the sum never is -0.0.
                created_at=entry.created_at + 0.0,
                expires_at=None if entry.expires_at is None else entry.expires_at + 0.0,
                input_tokens=entry.input_tokens,
                output_tokens=entry.output_tokens,
                cost_pico=to_pico(entry.cost_usd),
                latency_ms=entry.latency_ms + 0.0,
                hits=entry.hits,
                last_hit_at=entry.last_hit_at,
            )
            columns = _columns(row)
            reply = _pack(_Reply(entry.head.headers, entry.frames, entry.usage, entry.answered_model))
            asked = entry.asked
            request = b"" if asked is None else _pack(_Asked(asked.method, asked.url, asked.headers, asked.body))
        except _MALFORMED as error:
            raise UncacheableError(f"an entry cannot be written: {error}") from error
        if len(reply) > self._limit:
            raise UncacheableError(f"a reply of {len(reply)} bytes is over the limit of {self._limit}")
        if len(request) > self._limit:
            request = b""
        return row._replace(value=envelope.wrap(columns, reply, request, compress=self._compress))

    def decode(self, row: Row) -> Entry:
        """The entry of a row, without what was asked.

        Raises:
            FormatError: the record is damaged or of a version that is unknown here.
            SealError: it is encrypted.
        """
        try:
            reply = _read_reply(envelope.reply_of(_columns(row), row.value, self._limit))
            return _entry(row, reply)
        except _MALFORMED as error:
            raise FormatError(f"a stored record is malformed: {error}") from error

    def asked(self, row: Row) -> Request | None:
        """The request that a row answers, if it was kept. Every bit of the record is checked.

        Raises:
            FormatError: as `decode`.
            SealError: as `decode`.
        """
        try:
            data = envelope.request_of(_columns(row), row.value, self._limit)
            if not data:
                return None
            asked = _read_asked(data)
        except _MALFORMED as error:
            raise FormatError(f"a stored record is malformed: {error}") from error
        return Request(asked.method, asked.url, asked.headers, asked.body)


def to_pico(cost_usd: Decimal | None) -> int | None:
    """Integer pico-dollars, rounded half to even; None for unknown and for what is no amount."""
    if cost_usd is None or not cost_usd.is_finite():
        return None
    return int(cost_usd.scaleb(12, _WIDE).to_integral_value(context=_WIDE))


def to_usd(cost_pico: int | None) -> Decimal | None:
    """Dollars of integer pico-dollars, exactly: made of text, since arithmetic may round in the caller's context."""
    return None if cost_pico is None else Decimal(f"{cost_pico}e-12")


def _columns(row: Row) -> bytes:
    """The columns that a record is bound to, unambiguously: key, and from kind to expiry."""
    return row[0] + _pack(row[2:11])


def _entry(row: Row, reply: _Reply) -> Entry:
    return Entry(
        row.key.hex(),
        row.kind,
        row.provider,
        row.model,
        row.endpoint,
        row.namespace,
        Head(row.status, reply.headers),
        reply.frames,
        row.stream,
        row.created_at,
        row.expires_at,
        None,
        reply.usage,
        to_usd(row.cost_pico),
        row.latency_ms,
        row.hits,
        row.last_hit_at,
        len(row.value),
        reply.model,
    )
