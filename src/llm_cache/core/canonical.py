"""The canonical form of JSON: one spelling for everything that means the same. Pure text work.

It must not know which fields matter; `signature.py` does. The rules are those of the key
specification, version 1, and are frozen.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal

MAX_DEPTH = 200
"""Bodies that nest deeper count by their bytes, on every machine alike."""

_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class NotCanonical(ValueError):
    """The text is not JSON that every reader understands in the same way."""


class _Number(Decimal):
    """A number that Python's own writer would spell differently; see `number`."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> _Number:
        self = super().__new__(cls)
        self.text = text
        return self


def number(literal: str) -> str:
    """The canonical spelling of a JSON number, exact in value, without going through binary.

    An integer is its digits. Anything else has its significant digits around one decimal point if
    it is at least 1e-4 and the point falls among or before the digits, `0.7`; smaller ones are
    written `1.5e-7`. Integers of more than 40 digits are written `1e400`. Zero has no sign.

    >>> [number(text) for text in ("1", "1.0", "1e0", "0.70", "-0", "1E-7", "12e-1")]
    ['1', '1', '1', '0.7', '0', '1e-7', '1.2']
    """
    match = _NUMBER.fullmatch(literal)
    if match is None:
        raise NotCanonical(literal)
    sign, whole, fraction, exponent_text = match.groups()
    fraction = fraction or ""
    if exponent_text and len(exponent_text) > 12:
        raise NotCanonical(literal)
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    if not stripped:
        return "0"
    # The value is now the stripped digits times ten to the exponent.
    exponent = int(exponent_text or 0) - len(fraction) + len(digits) - len(stripped)
    point = len(stripped) + exponent  # digits before the decimal point
    if exponent >= 0 and point <= 40:
        return sign + stripped + "0" * exponent
    if exponent < 0 < point:
        return f"{sign}{stripped[:point]}.{stripped[point:]}"
    if exponent < 0 and point > -4:
        return f"{sign}0.{'0' * -point}{stripped}"
    tail = "." + stripped[1:] if len(stripped) > 1 else ""
    return f"{sign}{stripped[0]}{tail}e{point - 1}"


def _float(literal: str) -> float | int | _Number:
    value = float(literal)
    # The usual spellings (0.7, 0.25) are what Python writes itself: keep them in C.
    if repr(value) == literal and "e" not in literal and not literal.endswith(".0"):
        return value
    text = number(literal)
    if text.lstrip("-").isdigit():
        return int(text)
    return _Number(text)


def _int(literal: str) -> int | _Number:
    if len(literal) <= 40:
        return int(literal)
    text = number(literal)
    return int(text) if text.lstrip("-").isdigit() else _Number(text)


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotCanonical("a name is given twice in one object")
    return members


def _constant(literal: str) -> object:
    raise NotCanonical(literal)


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_int=_int, parse_constant=_constant)
_encoder = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False, allow_nan=False
)


def parse(body: bytes) -> object:
    """The value of a JSON text, numbers kept exact.

    Raises:
        NotCanonical: it is not JSON (RFC 8259), not UTF-8, has a name twice in one object, NaN,
            an infinity or half a surrogate pair, or nests deeper than `MAX_DEPTH`.
    """
    try:
        text = body.decode("utf-8")
        value: object = _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(str(error)) from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise NotCanonical(f"nested deeper than {MAX_DEPTH}")
    if _SURROGATE.search(body):
        # Halves that make a pair are fine; only what cannot be written back has one alone.
        write(value)
    return value


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = [item for item in below if isinstance(item, (dict, list))]
    return depth


def write(value: object) -> bytes:
    r"""The canonical UTF-8 text of a value that `parse` or a program made.

    Names are sorted by code point, there is no white space, strings escape only what JSON demands
    (`"`, backslash, and controls as `\b \t \n \f \r` or `\u00xx`).

    Raises:
        NotCanonical: a lone surrogate, NaN or an infinity.
        TypeError: something that JSON does not have.
    """
    try:
        try:
            text = _encoder.encode(value)
        except TypeError:
            text = _write_slowly(value)
        return text.encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise NotCanonical(str(error)) from None


def _write_slowly(value: object) -> str:
    """As `write`, for values that hold a `_Number` or what JSON does not have."""
    if isinstance(value, _Number):
        return value.text
    if isinstance(value, dict):
        members: list[str] = []
        for name in sorted(value):
            if not isinstance(name, str):
                raise TypeError(f"a name in a JSON object must be a string, not {name!r}")
            members.append(f"{_encoder.encode(name)}:{_write_slowly(value[name])}")
        return "{" + ",".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([_write_slowly(item) for item in value]) + "]"
    return _encoder.encode(value)
