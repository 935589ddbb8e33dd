"""The outside of a stored record, version 3: reply and request in one section, for requests that are small.

It knows nothing of what the section means. Version 2, which keeps the two apart, is for large requests: there a hit
must not unpack a conversation of 100 KB to answer with 1 KB. Here that costs nothing, and together they take less.
A record is, little-endian:

    offset size
         0    4  magic, the last byte is the version
         4    1  cipher, 0 none, 1 AES-256-GCM
         5    1  flags: 1 the section is compressed, 2 its sizes have four bytes each
         6    1  number of the dictionary that it is compressed with, 0 none
         7    4  sizes, two bytes each: of the section unpacked, and of what lies beside it

Then, where there is no cipher:

         n    8  checksum: of the SHA-256 of the row's own columns and everything else in the record
                 the section, what lies beside it

And where there is one, as in version 2: key identifier, nonce, and sealed `Hidden`, the section, what lies beside it.

What lies beside the section is as short as it gets; compressed with the rest it would only make that longer.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import TYPE_CHECKING

from llm_cache.codec import envelope, zstd
from llm_cache.codec.seal import AES_256_GCM, NONCE_SIZE, TAG_SIZE
from llm_cache.errors import FormatError, SealError

if TYPE_CHECKING:
    from llm_cache.codec.envelope import Hidden
    from llm_cache.codec.seal import Keys

VERSION = 3
MAGIC = envelope.MAGIC[:-1] + bytes([VERSION])
_HEADER, _WIDE_HEADER = struct.Struct("<4sBBBHH"), struct.Struct("<4sBBBII")
_NARROW = 0xFFFF
_PACKED, _WIDE, _KNOWN_FLAGS = 1, 2, 3
_DIGEST_SIZE = 8
_KEY_ID = struct.Struct("<I")
_HIDDEN = struct.Struct("<32sBB")
_KINDS = envelope.KINDS


def wrap(columns: bytes, section: bytes, beside: bytes, *, compress: bool) -> bytes:
    """The record that holds both and is bound to these columns."""
    head, stored = _packed(section, beside, 0, compress=compress)
    checksum = sha256(b"".join((columns, head, stored, beside))).digest()[:_DIGEST_SIZE]
    return b"".join((head, checksum, stored, beside))


def seal(columns: bytes, hidden: Hidden, section: bytes, beside: bytes, keys: Keys, *, compress: bool) -> bytes:
    """The record likewise, sealed with the key in use.

    Raises:
        ValueError: the kind is none of ours.
    """
    head, stored = _packed(section, beside, AES_256_GCM, compress=compress)
    head += _KEY_ID.pack(keys.current)
    inside = _HIDDEN.pack(hidden.origin, _KINDS.index(hidden.kind), hidden.stream)
    return head + keys.seal(b"".join((inside, stored, beside)), columns + head)


def key_id(value: bytes) -> int | None:
    """Which key a record of this version is sealed with, by its own account; None where it is not sealed."""
    at = (_WIDE_HEADER if len(value) > 5 and value[5] & _WIDE else _HEADER).size
    if len(value) < at + _KEY_ID.size or value[4] != AES_256_GCM:
        return None
    number: int = _KEY_ID.unpack_from(value, at)[0]
    return number


def section_of(columns: bytes, value: bytes, limit: int) -> tuple[bytes, bytes]:
    """The section of a record that is not sealed, checked, unpacked and of at most `limit` bytes; what lies beside it.

    Raises:
        FormatError: the record is damaged, or over the limit.
        SealError: it is encrypted.
    """
    cipher, flags, size, beside, at = _header(value)
    if cipher:
        raise SealError(f"a stored record is encrypted (cipher {cipher}), and there is no key for it")
    start = at + _DIGEST_SIZE
    if sha256(b"".join((columns, value[:at], value[start:]))).digest()[:_DIGEST_SIZE] != value[at:start]:
        raise FormatError("a stored record is damaged: its checksum does not match")
    return _unpacked(value[start:], flags, size, beside, value[6], limit)


def opened(columns: bytes, value: bytes, keys: Keys, limit: int) -> tuple[bytes, bytes, Hidden]:
    """What a sealed record holds, checked to its last bit.

    Raises:
        FormatError: as `section_of`.
        SealError: the key is not at hand, or a bit is not as it was.
    """
    cipher, flags, size, beside, at = _header(value)
    if cipher != AES_256_GCM:
        raise SealError(f"a stored record is encrypted (cipher {cipher}), which this version does not know")
    start = at + _KEY_ID.size
    if len(value) < start + NONCE_SIZE + _HIDDEN.size + TAG_SIZE:
        raise FormatError("a stored record is cut off")
    head = value[:start]
    inside = keys.open(_KEY_ID.unpack_from(head, at)[0], value[start:], columns + head)
    origin, kind, stream = _HIDDEN.unpack_from(inside)
    section, loose = _unpacked(inside[_HIDDEN.size :], flags, size, beside, value[6], limit)
    return section, loose, envelope.Hidden(origin, _KINDS[kind], stream == 1)


def _packed(section: bytes, beside: bytes, cipher: int, *, compress: bool) -> tuple[bytes, bytes]:
    stored = envelope.smaller(section) if compress else section
    flags = _PACKED * (stored is not section)
    dictionary = zstd.DICTIONARY if flags else 0
    wide = max(len(section), len(beside)) > _NARROW
    make = _WIDE_HEADER if wide else _HEADER
    return make.pack(MAGIC, cipher, flags | _WIDE * wide, dictionary, len(section), len(beside)), stored


def _header(value: bytes) -> tuple[int, int, int, int, int]:
    """Cipher, flags, both sizes, and where the header ends."""
    header = _WIDE_HEADER if value[5:6] and value[5] & _WIDE else _HEADER
    if len(value) < header.size + _DIGEST_SIZE:
        raise FormatError(f"a stored record has {len(value)} bytes, fewer than its header")
    _, cipher, flags, _, size, beside = header.unpack_from(value)
    if flags > _KNOWN_FLAGS:
        raise FormatError("a stored record needs a flag that this version does not have")
    return cipher, flags, size, beside, header.size


def _unpacked(stored: bytes, flags: int, size: int, beside: int, dictionary: int, limit: int) -> tuple[bytes, bytes]:
    if size > limit:
        raise FormatError(f"a stored record claims {size} bytes; the limit is {limit}")
    if beside > len(stored):
        raise FormatError("a stored record is cut off")
    end = len(stored) - beside
    section, loose = stored[:end], stored[end:]
    if flags & _PACKED:
        return zstd.decompress(section, size, dictionary), loose
    if len(section) != size:
        raise FormatError("a stored record is not of the size that it claims")
    return section, loose
