"""Compression with bounds: zstd, one compressor and one decompressor per thread and dictionary.

It must never make more bytes than its caller says there should be, whatever the input claims.

Records are small and alike, so they are compressed with a dictionary (`tools/make_dictionary.py`): a chat's reply takes
less than half of what it takes without, and less time to unpack. A dictionary has a number, which is in the record, and
never changes.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from llm_cache.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

DICTIONARY = 2
"""The one that new records use."""
DICTIONARIES = {
    1: ("small-1.dict", "95fd11a0cac6812003f3993021dce96eb6e3229cbc1488323d239f5e27f36a88"),
    2: ("small-2.dict", "fe5aad0503914dcd6557c33e403e4c14830937eaae5b8eeba00bf47ec11463f2"),
}
"""File and SHA-256 of each. Never edited, only added to."""
SMALL, LARGE = 16 * 1024, 64 * 1024
"""Up to the first, level 14: for some 50 µs more a twentieth less than level 9, which is for those between. From the
second on level 3: there the dictionary matters less, and level 9 takes six times as long."""
_LEVEL_OF_SMALL, _LEVEL, _LEVEL_OF_LARGE = 14, 9, 3
_TYPICAL = 2048
"""Bytes of a small one, by which zstd chooses how to search."""
_MAX_WINDOW = 1 << 23
"""Decoders may be asked for this much memory at most; level 3 needs 2 MiB."""
_MAGIC = b"\x28\xb5\x2f\xfd"
"""A frame's first four bytes (RFC 8878, 3.1.1); the record's own header says what it is."""
_dictionaries: dict[int, zstandard.ZstdCompressionDict] = {}


class _Contexts(threading.local):
    """Kept, because making one costs more than using it: 13 µs against 2, with a dictionary 100."""

    def __init__(self) -> None:
        self.compress: dict[int, Callable[[bytes], bytes]] = {}
        self.decompress: dict[int, Callable[[bytes], bytes]] = {}


_contexts = _Contexts()


def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    found = _dictionaries.get(number)
    if found is None:
        data = (Path(__file__).parent / DICTIONARIES[number][0]).read_bytes()
        found = _dictionaries[number] = zstandard.ZstdCompressionDict(data)
    return found


def _compressor(level: int) -> Callable[[bytes], bytes]:
    made = _dictionary(DICTIONARY)
    hints = {"source_size": _TYPICAL, "dict_size": len(made)} if level == _LEVEL_OF_SMALL else {}
    # The number is in the record: four bytes less in every frame.
    parameters = zstandard.ZstdCompressionParameters.from_level(level, write_content_size=1, write_dict_id=0, **hints)
    return zstandard.ZstdCompressor(dict_data=made, compression_params=parameters).compress


def compress(data: bytes) -> bytes:
    """One zstd frame without its magic number, made with the dictionary in use, that says how long its content is."""
    size = len(data)
    level = _LEVEL_OF_SMALL if size < SMALL else _LEVEL if size < LARGE else _LEVEL_OF_LARGE
    compressor = _contexts.compress.get(level)
    if compressor is None:
        compressor = _contexts.compress[level] = _compressor(level)
    return compressor(data)[len(_MAGIC) :]


def decompress(data: bytes, size: int, dictionary: int = DICTIONARY) -> bytes:
    """The content of what `compress` made, which must be of exactly that size; dictionary 0 is none.

    Raises:
        FormatError: the frame is damaged, or of another size, or there is no such dictionary.
    """
    return decompress_frame(_MAGIC + data, size, dictionary)


def decompress_frame(frame: bytes, size: int, dictionary: int = 0) -> bytes:
    """The content of a whole frame, likewise.

    The size is compared with the frame's own claim before anything is allocated: python-zstandard
    trusts that claim over `max_output_size`.

    Raises:
        FormatError: as `decompress`.
    """
    try:
        if zstandard.frame_content_size(frame) != size:
            raise FormatError("a stored record does not unpack to the size that it claims")
        unpack = _contexts.decompress.get(dictionary)
        if unpack is None:
            unpack = _contexts.decompress[dictionary] = _decompressor(dictionary)
        return unpack(frame)
    except zstandard.ZstdError as error:
        raise FormatError(f"a stored record cannot be decompressed: {error}") from error


def _decompressor(dictionary: int) -> Callable[[bytes], bytes]:
    if not dictionary:
        return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompress
    if dictionary not in DICTIONARIES:
        raise FormatError(f"a stored record needs the dictionary {dictionary}, which this version does not have")
    return zstandard.ZstdDecompressor(dict_data=_dictionary(dictionary), max_window_size=_MAX_WINDOW).decompress
