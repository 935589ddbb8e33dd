"""Identifiers in half their length: the random names that vendors give to everything, as bits and not as letters.

A compressor cannot make anything of `req_011CSzJ…`, and pays more for each letter than there is in it, since its tables
are made for words. Every name stands beside the section once, and two bytes in it wherever it is. It must not care what
the section is; whatever looks like a name is one, and comes back exactly.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64, hexlify, unhexlify
from typing import Final

from llm_cache.errors import FormatError

_MARK: Final = 0xC1
"""Before the number of a name: a byte that no text has in UTF-8, and msgpack as no type. After it, 0xFF means the byte
itself; numbers end before it, so that every mark that is found is one."""
_ITSELF, _MOST = 0xFF, _MARK
_LARGE: Final = 64 * 1024
_NAME: Final = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    rb"|(?<![0-9A-Za-z])(?:[0-9a-f]{2}){8,63}(?![0-9A-Za-z])"
    rb"|(?<![0-9A-Za-z])[0-9A-Za-z]{20,127}(?![0-9A-Za-z])"
)
_CAPITALS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEX, _UUID = 0x80, 0xFF
"""How a name is described: its length, with this bit if it is hexadecimal; or that it is a UUID (RFC 9562)."""


def slimmed(section: bytes) -> tuple[bytes, bytes]:
    """The section with numbers for names, and the names: how many, a byte for each, their bits.

    A large one keeps its names: to look for them in 16 MB takes a second in which no other thread runs.
    """
    if len(section) > _LARGE:
        return section.replace(b"\xc1", b"\xc1\xff"), b"\x00"
    known: dict[bytes, int] = {}
    kinds, bits = bytearray(), bytearray()

    def number(match: re.Match[bytes]) -> bytes:
        name = match.group()
        found = known.get(name)
        if found is None:
            if len(known) >= _MOST or not _noted(name, kinds, bits):
                return name
            found = known[name] = len(known)
        return bytes((_MARK, found))

    slim = _NAME.sub(number, section.replace(b"\xc1", b"\xc1\xff"))
    return slim, bytes((len(known),)) + kinds + bits


def restored(section: bytes, beside: bytes, limit: int) -> tuple[bytes, bytes]:
    """The section as it was, of at most `limit` bytes, and what follows the names in `beside`.

    Raises:
        FormatError: it would be longer.
        ValueError: that was not made by `slimmed`; so does IndexError tell.
    """
    names, rest = _read(beside)
    first, *others = section.split(b"\xc1")
    if not others:
        return section, rest
    size, parts = len(first), [first]
    for other in others:
        number = other[0]
        parts.append(b"\xc1" if number == _ITSELF else names[number])
        parts.append(other[1:])
        size += len(parts[-2]) + len(parts[-1])
        if size > limit:
            raise FormatError("a stored record unpacks to more than the limit")
    return b"".join(parts), rest


def _noted(name: bytes, kinds: bytearray, bits: bytearray) -> bool:
    if b"-" in name:
        kinds.append(_UUID)
        bits += unhexlify(name.replace(b"-", b""))
    elif not name.strip(b"0123456789abcdef") and not len(name) % 2:
        kinds.append(_HEX | len(name) // 2)
        bits += unhexlify(name)
    elif 5 * sum(map(name.count, _CAPITALS)) > len(name):
        kinds.append(len(name))
        bits += a2b_base64(name + b"A" * (-len(name) % 4))
    else:
        # A long word, a key of small letters: for those the compressor's tables are made.
        return False
    return True


def _read(beside: bytes) -> tuple[list[bytes], bytes]:
    end = 1 + beside[0]
    at, names = end, []
    for kind in beside[1:end]:
        if kind == _UUID:
            text = hexlify(beside[at : at + 16])
            names.append(b"-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])))
            at += 16
        elif kind & _HEX:
            size = kind & 0x7F
            names.append(hexlify(beside[at : at + size]))
            at += size
        else:
            size = (kind + 3) // 4 * 3
            names.append(b2a_base64(beside[at : at + size], newline=False)[:kind])
            at += size
    if at > len(beside):
        raise ValueError("names are cut off")
    return names, beside[at:]
