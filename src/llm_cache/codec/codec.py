"""Entries to rows and back: what of an entry is a readable column, and what goes into the record.

It must not know how stores keep rows, and no input may make `decode` raise anything but `EntryError`.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from llm_cache.codec import envelope, envelope_v3, together
from llm_cache.core.model import Entry, Frame, Head, Request, Row, Usage
from llm_cache.errors import FormatError, SealError, UncacheableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.codec.seal import Keys

MAX_BYTES = 16 * 1024 * 1024
_SMALL = 4096
"""Requests of so many bytes are unpacked with the reply."""
_FRAMING = 64 * 1024
"""Room for headers and for the cuts between chunks, beside the body's own bytes."""
_WIDE = Context(prec=100, rounding=ROUND_HALF_EVEN, traps=[])
"""For money; the caller's own context may round to three digits or trap."""


class _FirstReply(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A reply in a record of version 1."""

    headers: tuple[tuple[str, str], ...]
    frames: tuple[Frame, ...]
    usage: Usage | None = None
    model: str | None = None


class _Reply(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """As msgpack. A later version may append fields; those unknown here are passed over.

    Times stand apart from what arrived then, and each is told as the wait since the one before: numbers between the
    words of a text would break up what zstd finds alike in it.
    """

    headers: tuple[tuple[str, str], ...]
    pieces: tuple[bytes, ...]
    waits_us: tuple[int, ...]
    usage: Usage | None = None
    model: str | None = None

    @property
    def frames(self) -> tuple[Frame, ...]:
        if len(self.pieces) == 1 == len(self.waits_us):
            return (Frame(self.pieces[0], self.waits_us[0]),)
        if len(self.pieces) != len(self.waits_us):
            raise ValueError("not as many times as pieces")
        return tuple(map(_new_frame, zip(self.pieces, accumulate(self.waits_us), strict=True)))


class _Asked(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """As `_Reply`."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


_new_frame = partial(tuple.__new__, Frame)
"""Half the price of calling the class, for a stream's hundreds."""
_pack = msgspec.msgpack.Encoder().encode
_read_first: Callable[[bytes], _FirstReply] = msgspec.msgpack.Decoder(_FirstReply).decode
_read_reply: Callable[[bytes], _Reply] = msgspec.msgpack.Decoder(_Reply).decode
_read_asked: Callable[[bytes], _Asked] = msgspec.msgpack.Decoder(_Asked).decode
_MALFORMED = (msgspec.MsgspecError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What bytes and columns of any kind can make the libraries below raise."""


class Codec:
    """Makes records of entries.

    Args:
        compress: whether new records are compressed; old ones are read either way.
        max_bytes: replies over this many bytes are refused, and so are records that claim to hold
            more. Requests over it are left out of the record: they only explain.
        keys: gives the store's keys where new records are to be sealed, or raises `SealError` while there are none;
            then nothing is written, since what should be sealed must not be written plainly.
    """

    def __init__(
        self, *, compress: bool = True, max_bytes: int = MAX_BYTES, keys: Callable[[], Keys] | None = None
    ) -> None:
        self._compress = compress
        self._keys = keys
        self._limit = max_bytes + max_bytes // 4 + _FRAMING

    def encode(self, entry: Entry) -> Row:
        """The row of an entry. Where it is sealed, its key is an HMAC of the entry's `origin`, or else of its `key`.

        Raises:
            UncacheableError: the entry is over the size limit or holds what cannot be written.
            SealError: it should be sealed, and there are no keys.
        """
        keys = None if self._keys is None else self._keys()
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
            return self._written(entry, row, keys)
        except _MALFORMED as error:
            raise UncacheableError(f"an entry cannot be written: {error}") from error

    def _written(self, entry: Entry, row: Row, keys: Keys | None) -> Row:
        asked = entry.asked
        size = sum([len(frame.data) for frame in entry.frames])
        if size > self._limit:
            raise UncacheableError(f"a reply of {size} bytes is over the limit of {self._limit}")
        request = b"" if asked is None else _pack(_Asked(asked.method, asked.url, asked.headers, asked.body))
        hidden = None
        if keys is not None:
            origin = bytes.fromhex(entry.origin) if entry.origin else row.key
            row = bare(row)._replace(key=keys.name(origin))
            hidden = envelope.Hidden(origin, entry.kind, entry.stream)
        if len(request) <= _SMALL:
            value = self._together(entry, _columns(row), hidden, keys)
        else:
            value = self._apart(entry, _columns(row), hidden, keys, request)
        return row._replace(value=value)

    def _together(self, entry: Entry, columns: bytes, hidden: envelope.Hidden | None, keys: Keys | None) -> bytes:
        section, beside = together.packed(entry, self._limit, compress=self._compress)
        if keys is None or hidden is None:
            return envelope_v3.wrap(columns, section, beside, compress=self._compress)
        return envelope_v3.seal(columns, hidden, section, beside, keys, compress=self._compress)

    def _apart(
        self, entry: Entry, columns: bytes, hidden: envelope.Hidden | None, keys: Keys | None, request: bytes
    ) -> bytes:
        pieces = tuple([frame.data for frame in entry.frames])
        waits = _waits([frame.at_us for frame in entry.frames])
        # As a `_Reply`, but of the usage what is known: names that say nothing would take more room than the rest.
        usage = None if entry.usage is None else entry.usage.told()
        reply = _pack((entry.head.headers, pieces, waits, usage, entry.answered_model))
        self._bounded(reply)
        request = request if len(request) <= self._limit else b""
        if keys is None or hidden is None:
            return envelope.wrap(columns, reply, request, compress=self._compress)
        return envelope.seal(columns, hidden, reply, request, keys, compress=self._compress)

    def _bounded(self, reply: bytes) -> None:
        if len(reply) > self._limit:
            raise UncacheableError(f"a reply of {len(reply)} bytes is over the limit of {self._limit}")

    def decode(self, row: Row) -> Entry:
        """The entry of a row, without what was asked.

        Raises:
            FormatError: the record is damaged or of a version that is unknown here.
            SealError: it is encrypted, and there is no key that opens it.
        """
        try:
            value = row.value
            if value[:4] == envelope_v3.MAGIC:
                kept, letters, hidden = self._record(row)
                reply = _FirstReply(kept.headers, kept.frames(letters, self._limit), kept.usage, kept.model)
                return _entry(_whole(row, hidden), reply, hidden)
            if envelope.key_id(value) is None:
                data = envelope.reply_of(_columns(row), value, self._limit)
                return _entry(row, _read_first(data) if value[3] == 1 else _read_reply(data))
            record = self._opened_v2(row, request=False)
            return _entry(_whole(row, record.hidden), _read_reply(record.reply), record.hidden)
        except _MALFORMED as error:
            raise FormatError(f"a stored record is malformed: {error}") from error

    def asked(self, row: Row) -> Request | None:
        """The request that a row answers, if it was kept. Every bit of the record is checked.

        Raises:
            FormatError: as `decode`.
            SealError: as `decode`.
        """
        try:
            value = row.value
            if value[:4] == envelope_v3.MAGIC:
                record = self._record(row)[0]
                return (
                    Request(record.method, record.url, record.sent, record.body) if record.method is not None else None
                )
            if envelope.key_id(value) is None:
                data = envelope.request_of(_columns(row), value, self._limit)
            else:
                data = self._opened_v2(row, request=True).request
            if not data:
                return None
            asked = _read_asked(data)
        except _MALFORMED as error:
            raise FormatError(f"a stored record is malformed: {error}") from error
        return Request(asked.method, asked.url, asked.headers, asked.body)

    def whole(self, row: Row) -> Row:
        """The row with the columns that a sealed row leaves bare.

        Raises:
            FormatError: as `decode`.
            SealError: as `decode`.
        """
        if sealed_with(row) is None:
            return row
        try:
            if row.value[:4] == envelope_v3.MAGIC:
                return _whole(row, self._record(row)[2])
            return _whole(row, self._opened_v2(row, request=True).hidden)
        except _MALFORMED as error:
            raise FormatError(f"a stored record is malformed: {error}") from error

    def _record(self, row: Row) -> tuple[together.Record, bytes, envelope.Hidden | None]:
        value, hidden = row.value, None
        if value[4:5] in {b"\0", b""}:
            section, beside = envelope_v3.section_of(_columns(row), value, self._limit)
        else:
            ring = self._key_ring()
            section, beside, hidden = envelope_v3.opened(_columns(bare(row)), value, ring, self._limit)
        return *together.read(section, beside, self._limit), hidden

    def _opened_v2(self, row: Row, *, request: bool) -> envelope.Record:
        return envelope.opened(_columns(bare(row)), row.value, self._key_ring(), self._limit, request=request)

    def _key_ring(self) -> Keys:
        if self._keys is None:
            raise SealError("a stored record is encrypted, and encryption is off")
        return self._keys()


def sealed_with(row: Row) -> int | None:
    """The identifier of the data key that a row is sealed with, by its own account; None if it is not sealed."""
    return envelope_v3.key_id(row.value) if row.value[:4] == envelope_v3.MAGIC else envelope.key_id(row.value)


def outside(row: Row) -> Entry:
    """What can be told of a sealed row without its key: its columns. Its kind is empty, and so is the answer."""
    usage = None
    if row.input_tokens is not None or row.output_tokens is not None:
        usage = Usage(row.input_tokens, row.output_tokens)
    return _entry(row, _Reply((), (), (), usage))


def bare(row: Row) -> Row:
    """The columns as a sealed row has them: what kind of request it was, and whether for a stream, is inside."""
    return row._replace(kind="", stream=False)


def _whole(row: Row, hidden: envelope.Hidden | None) -> Row:
    return row if hidden is None else row._replace(kind=hidden.kind, stream=hidden.stream)


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


def _waits(times: list[int]) -> tuple[int, ...]:
    """Of each the difference from the one before."""
    return tuple([at - before for before, at in zip([0, *times], times, strict=False)])


def _entry(row: Row, reply: _Reply | _FirstReply, hidden: envelope.Hidden | None = None) -> Entry:
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
        "" if hidden is None else hidden.origin.hex(),
    )
