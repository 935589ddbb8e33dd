"""A stream's chunks as what they have in common and what differs: templates and columns. It must not know any vendor.

The chunks of a stream are alike but for a word, a number, some padding. zstd finds what is alike and pays for it in
each of them; here it is written once, and what differs stands together. So does padding, which vendors add lest the
length of a chunk tell what is in it: where values are all beginnings of the longest, that and their lengths are kept;
random letters go beside the text, in 6 bits each, for among words each would cost more, and the words too.

Every chunk comes back exactly as it was, or is kept as it is.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from llm_cache.errors import FormatError

Column = bytes | tuple[bytes, ...]
"""Values with a byte before each that is in none of them; or the longest value and all lengths; or lengths alone."""
Run = tuple[bytes, tuple[Column, ...]]
"""What all have in common, with `%b` for each column."""
Part = bytes | Run

_END: Final = b"\n\n"
_QUOTE: Final = b'"'
_FEWEST: Final = 3
"""Chunks alike that are worth a template."""
_MOST_COLUMNS: Final = 6
_LONGEST: Final = 255
_LETTERS: Final = re.compile(rb"[0-9A-Za-z]*")
_RANDOM_CAPITALS, _RANDOM_FROM = 0.2, 16
"""Which letters are no words: a fifth are capitals, where 26 of 62 would be."""
_SEPARATORS: Final = b"\x00\x01\x02\x1e\x1f\t\n|~" + bytes(range(256))


def parted(pieces: Sequence[bytes]) -> tuple[list[Part], bytes | tuple[int, ...], bytes]:
    """The pieces as parts, where they were cut if not after each event, and random letters, packed."""
    if len(pieces) < _FEWEST:
        return list(pieces), b"", b""
    units, cuts = _units(pieces)
    parts: list[Part] = []
    letters: list[bytes] = []
    tokens = [unit.split(_QUOTE) for unit in units]
    at = 0
    while at < len(units):
        end, differs = _alike(tokens, at)
        run = _run(tokens, at, end, differs, letters) if end - at >= _FEWEST else None
        parts += units[at:end] if run is None else [run]
        at = end
    return parts, cuts, _packed(b"".join(letters))


def whole(parts: Sequence[Part], cuts: bytes | tuple[int, ...], letters: bytes, limit: int) -> list[bytes]:
    """The pieces again, of at most `limit` bytes.

    Raises:
        FormatError: there are more.
        ValueError: the parts were not made by `parted`; so do TypeError and IndexError tell.
    """
    units: list[bytes] = []
    loose = _Letters(letters)
    for part in parts:
        if isinstance(part, bytes):
            units.append(part)
            limit -= len(part)
            continue
        template, columns = part
        values = [_values(column, loose, limit) for column in columns]
        limit -= len(template) * len(values[0]) + sum([sum(map(len, each)) for each in values])
        if limit < 0:
            raise FormatError("a stored record unpacks to more than the limit")
        units += [template % each for each in zip(*values, strict=True)]
    if not cuts:
        return units
    if isinstance(cuts, bytes):
        ends = list(accumulate(cuts))
        return [b"".join(units[end - count : end]) for count, end in zip(cuts, ends, strict=True)]
    body, ends = b"".join(units), list(accumulate(cuts))
    if ends[-1] != len(body) or min(cuts) < 0:
        raise ValueError("cut where nothing is")
    return [body[end - size : end] for size, end in zip(cuts, ends, strict=True)]


def _units(pieces: Sequence[bytes]) -> tuple[list[bytes], bytes | tuple[int, ...]]:
    """The events that the pieces are made of, and how to get from them to pieces."""
    if not any(_END in piece[:-2] or not piece.endswith(_END) for piece in pieces):
        return list(pieces), b""
    body = b"".join(pieces)
    if _END not in body:
        return list(pieces), b""
    units = [unit + _END for unit in body.split(_END)]
    units[-1] = units[-1][: -len(_END)]
    if not units[-1]:
        units.pop()
    places = {end: number for number, end in enumerate(accumulate(map(len, units)), 1)}
    counts, before = [], 0
    for end in accumulate(map(len, pieces)):
        number = places.get(end)
        if number is None or not 0 < number - before <= _LONGEST:
            return units, tuple(map(len, pieces))
        counts.append(number - before)
        before = number
    return units, bytes(counts)


def _alike(tokens: Sequence[list[bytes]], at: int) -> tuple[int, list[int]]:
    """Up to where units differ from the one there in a few places at most, and in which."""
    first, end = tokens[at], at + 1
    differs: set[int] = set()
    while end < len(tokens) and len(tokens[end]) == len(first):
        more = differs | {place for place, token in enumerate(tokens[end]) if token != first[place]}
        if len(more) > _MOST_COLUMNS or 2 * len(more) > len(first):
            break
        differs = more
        end += 1
    return end, sorted(differs)


def _run(tokens: Sequence[list[bytes]], at: int, end: int, differs: list[int], letters: list[bytes]) -> Run | None:
    template = [token.replace(b"%", b"%%") for token in tokens[at]]
    columns: list[Column] = []
    # All the same is a column too, or nobody would know how many there are.
    for place in differs or [0]:
        values = [tokens[number][place] for number in range(at, end)]
        before, after = _common(values)
        values = [value[before : len(value) - after] for value in values]
        one = tokens[at][place]
        head, tail = one[:before], one[len(one) - after :]
        template[place] = head.replace(b"%", b"%%") + b"%b" + tail.replace(b"%", b"%%")
        column = _column(values, letters)
        if column is None:
            return None
        columns.append(column)
    return _QUOTE.join(template), tuple(columns)


def _common(values: Sequence[bytes]) -> tuple[int, int]:
    """How many bytes all begin with, and how many all end with."""
    least, most = min(values), max(values)
    shortest = min(map(len, values))
    before = 0
    while before < shortest and least[before] == most[before]:
        before += 1
    turned = [value[::-1] for value in values]
    least, most = min(turned), max(turned)
    after = 0
    while after < shortest - before and least[after] == most[after]:
        after += 1
    return before, after


def _column(values: Sequence[bytes], letters: list[bytes]) -> Column | None:
    longest = max(values, key=len)
    if len(longest) <= _LONGEST:
        lengths = bytes(map(len, values))
        if all(map(longest.startswith, values)):
            return longest, lengths
        text = b"".join(values)
        if len(text) >= _RANDOM_FROM and _LETTERS.fullmatch(text) and _random(text):
            letters.append(text)
            return (lengths,)
    taken = set(b"".join(values))
    separator = next((byte for byte in _SEPARATORS if byte not in taken), None)
    if separator is None:
        return None
    return b"".join([bytes([separator]) + value for value in values])


def _random(text: bytes) -> bool:
    return sum(map(text.count, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")) > _RANDOM_CAPITALS * len(text)


def _values(column: Column, loose: _Letters, limit: int) -> list[bytes]:
    if isinstance(column, bytes):
        return column[1:].split(column[:1])
    *longest, lengths = column
    if len(longest) > 1:
        raise ValueError("a column of more than two parts")
    if len(lengths) * _LONGEST > limit and sum(lengths) > limit:
        raise FormatError("a stored record unpacks to more than the limit")
    if longest:
        return [longest[0][:length] for length in lengths]
    return loose.take(lengths)


class _Letters:
    """Random letters, taken from the beginning on."""

    def __init__(self, packed: bytes) -> None:
        self._text = b2a_base64(packed, newline=False) if packed else b""
        self._at = 0

    def take(self, lengths: bytes) -> list[bytes]:
        taken = []
        at, text = self._at, self._text
        for length in lengths:
            taken.append(text[at : at + length])
            at += length
        self._at = at
        return taken


def _packed(letters: bytes) -> bytes:
    """6 bits for each: all of them are digits of base64."""
    return a2b_base64(letters + b"A" * (-len(letters) % 4))
