"""Entries whose request is small, as one section: what is in it and how it is made short. It knows no envelopes."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from llm_cache.codec.columns import Part, parted, whole
from llm_cache.codec.idents import restored, slimmed
from llm_cache.core.model import Frame, Usage
from llm_cache.errors import FormatError, UncacheableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_cache.core.model import Entry


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """As msgpack. A later version may append fields; those unknown here are passed over.

    `method` is None where the request was not kept. Waits are a byte each (`_tick`), to an eighth of their length:
    they pace a replay, and exact ones would take as much room as the words.
    """

    headers: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    cuts: bytes | tuple[int, ...]
    ticks: bytes
    usage: Usage | None
    model: str | None
    method: str | None
    url: str
    sent: tuple[tuple[str, str], ...]
    body: bytes

    def frames(self, letters: bytes, limit: int) -> tuple[Frame, ...]:
        """The frames, of at most `limit` bytes.

        Raises:
            FormatError: there are more.
            ValueError: they were not made by `packed`; so do TypeError and IndexError tell.
        """
        parts, ticks = self.parts, self.ticks
        if len(parts) == 1 == len(ticks) and isinstance(parts[0], bytes):
            return (_new_frame((parts[0], _WAITS[ticks[0]])),)
        pieces = whole(parts, self.cuts, letters, limit)
        return tuple(map(_new_frame, zip(pieces, accumulate(map(_WAITS.__getitem__, ticks)), strict=True)))


_new_frame = partial(tuple.__new__, Frame)
"""Half the price of calling the class, for a stream's hundreds."""
_pack = msgspec.msgpack.Encoder().encode
_read: Callable[[bytes], Record] = msgspec.msgpack.Decoder(Record).decode


def packed(entry: Entry, limit: int, *, compress: bool) -> tuple[bytes, bytes]:
    """The section of an entry, and what is to lie beside it.

    Raises:
        UncacheableError: the section is over the limit.
    """
    pieces = [frame.data for frame in entry.frames]
    if compress:
        parts, cuts, letters = parted(pieces)
        section = _section(entry, parts, cuts, limit)
        slim, names = slimmed(section)
        beside = b"" if slim == section and not letters else names + letters
        if _comes_back(slim, beside, section, pieces, limit):
            return slim, beside
    return _section(entry, pieces, b"", limit), b""


def _section(entry: Entry, parts: Sequence[Part], cuts: bytes | tuple[int, ...], limit: int) -> bytes:
    ticks = _ticks([frame.at_us for frame in entry.frames])
    asked = entry.asked
    sent = (None, "", (), b"") if asked is None else (asked.method, asked.url, asked.headers, asked.body)
    # As a `Record`, but of the usage what is known: names that say nothing would take more room than the rest.
    usage = None if entry.usage is None else entry.usage.told()
    section = _pack((entry.head.headers, parts, cuts, ticks, usage, entry.answered_model, *sent))
    if len(section) > limit:
        raise UncacheableError(f"a reply of {len(section)} bytes is over the limit of {limit}")
    return section


def _comes_back(slim: bytes, beside: bytes, section: bytes, pieces: list[bytes], limit: int) -> bool:
    """Whether what has been made short is what it was: which is worth more than room or time."""
    try:
        again, letters = restored(slim, beside, limit) if beside else (slim, b"")
        return again == section and [frame.data for frame in _read(again).frames(letters, limit)] == pieces
    except (FormatError, ValueError, TypeError, LookupError, msgspec.MsgspecError):
        return False


def read(section: bytes, beside: bytes, limit: int) -> tuple[Record, bytes]:
    """The record of a section, and the letters that its frames need.

    Raises:
        FormatError: it would be over the limit.
        ValueError: it was not made by `packed`; so do msgspec's errors, TypeError and IndexError tell.
    """
    if beside:
        section, beside = restored(section, beside, limit)
    return _read(section), beside


def _tick(wait_us: int) -> int:
    """A wait as a byte: exact up to 15 µs, then the exponent and three bits, rounded down; at most some four hours."""
    if wait_us < 16:
        return max(0, wait_us)
    shift = wait_us.bit_length() - 4
    return min(255, (shift << 3) + (wait_us >> shift))


_WAITS = [tick if tick < 16 else (8 + tick % 8) << (tick // 8 - 1) for tick in range(256)]
"""Of each tick the wait in microseconds."""


def _ticks(times: list[int]) -> bytes:
    """Of each the wait since the one before, as it will be told: so what is rounded off is made up for by the next."""
    told, ticks = 0, []
    for at in times:
        tick = _tick(at - told)
        told += _WAITS[tick]
        ticks.append(tick)
    return bytes(ticks)
