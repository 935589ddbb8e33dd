"""What can be read in the pages of an SQLite file, whatever has become of the rest. It must not write, nor know tables.

SQLite stops at the first page that it does not understand. Here each page is looked at by itself, as
https://www.sqlite.org/fileformat2.html describes it: a file without its header, its schema or its indices still has its
rows. Nothing that is read here is certain; whoever uses it has to check it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

Value = int | float | str | bytes | None

_USUAL: Final = 4096
_LEAF: Final = 0x0D
_FREE, _OVERFLOW_FIRST, _OVERFLOW = 2, 3, 4
_HEADER: Final = 100
_PENDING: Final = 0x40000000
"""The byte that locks lie at: its page holds nothing."""
_WAL_HEADER, _FRAME_HEADER = 32, 24
_ODD = (IndexError, ValueError, struct.error, OverflowError)
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Serial type to bytes."""


class Pages:
    """The pages of a file, those in its write-ahead log in the place of older ones.

    Args:
        path: the file. Nobody else in this process should have it open: closing it takes away SQLite's locks.
        most: how many pages to look at; None is all.
        log: whether to look into the log.
    """

    def __init__(self, path: Path, most: int | None = None, *, log: bool = True) -> None:
        self._file = path.open("rb")
        head = self._file.read(_HEADER)
        self._sound = head[:15] == b"SQLite format 3"
        self._newer: dict[int, bytes] = {}
        self._size = _page_size(head) if self._sound else 0
        if log:
            self._read_log(Path(f"{path}-wal"))
        self._size = self._size or _USUAL
        pages = os.fstat(self._file.fileno()).st_size // self._size
        self.count = max([pages, *self._newer])
        self._most = self.count if most is None else min(most, self.count)
        self._maps = self._has_maps()
        self._unused = self._free_list()

    def __enter__(self) -> Pages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def records(self) -> Iterator[tuple[Value, ...]]:
        """The rows of all tables with a rowid, which itself stands first. What was deleted is not among them."""
        for number in range(1, self._most + 1):
            if self._in_use(number):
                page = self._page(number)
                start = _HEADER if number == 1 else 0
                if len(page) == self._size and page[start] == _LEAF:
                    yield from self._cells(page, start)

    def _page(self, number: int) -> bytes:
        newer = self._newer.get(number)
        if newer is not None:
            return newer
        self._file.seek((number - 1) * self._size)
        return self._file.read(self._size)

    # What is in use

    def _has_maps(self) -> bool:
        """Whether the file says of each page what it is: those do that can give pages back."""
        # As far as there are pages; the first is that of a root or of what hangs under one.
        shown = self._page(2)[: 5 * min(self._size // 5, max(1, self.count - 2))]
        kinds = shown[::5]
        return len(kinds) > 1 and kinds[0] in {1, 5} and all(1 <= kind <= 5 for kind in kinds)

    def _in_use(self, number: int) -> bool:
        if number in self._unused or number == _PENDING // self._size + 1:
            return False
        if not self._maps or number < 3:
            return True
        each = self._size // 5 + 1
        at = (number - 2) // each * each + 2
        if at == _PENDING // self._size + 1:
            at += 1
        kind = self._page(at)[5 * (number - at - 1) :][:1]
        return number > at and kind not in {bytes([_FREE]), bytes([_OVERFLOW_FIRST]), bytes([_OVERFLOW])}

    def _free_list(self) -> set[int]:
        """The pages that are not in use, as far as the file can tell: a chain of pages that list them."""
        found: set[int] = set()
        head = self._page(1)[:_HEADER]
        if head[:15] != b"SQLite format 3":
            return found
        number = int.from_bytes(head[32:36], "big")
        while 1 < number <= self.count and number not in found:
            page = self._page(number)
            if len(page) != self._size:
                break
            found.add(number)
            number, listed = struct.unpack_from(">II", page)
            if listed <= self._size // 4 - 2:
                found.update(struct.unpack_from(f">{listed}I", page, 8))
        return found

    # Cells

    def _cells(self, page: bytes, start: int) -> Iterator[tuple[Value, ...]]:
        (cells,) = struct.unpack_from(">H", page, start + 3)
        if start + 8 + 2 * cells > self._size:
            return
        for place in struct.unpack_from(f">{cells}H", page, start + 8):
            try:
                size, at = _varint(page, place)
                rowid, at = _varint(page, at)
                yield (rowid, *_values(self._payload(page, at, size)))
            except _ODD:
                continue

    def _payload(self, page: bytes, at: int, size: int) -> bytes:
        """A cell's bytes, with what did not fit into its page."""
        if not 0 < size <= self.count * self._size:
            raise ValueError("larger than the file")
        here = size
        if size > self._size - 35:
            least = (self._size - 12) * 32 // 255 - 23
            here = least + (size - least) % (self._size - 4)
            here = least if here > self._size - 35 else here
        parts = [page[at : at + here]]
        if len(parts[0]) != here:
            raise ValueError("beyond its page")
        missing = size - here
        number = int.from_bytes(page[at + here : at + here + 4], "big") if missing else 0
        while missing:
            if not 1 < number <= self.count:
                raise ValueError("its next page is none")
            further = self._page(number)
            part = further[4 : 4 + missing]
            if not part:
                raise ValueError("its next page is missing")
            parts.append(part)
            missing -= len(part)
            number = int.from_bytes(further[:4], "big")
        return b"".join(parts)

    # The log

    def _read_log(self, path: Path) -> None:
        """Pages that were committed and not yet written back (section 4 of the format), as far as the log is whole."""
        try:
            data = path.read_bytes()
        except OSError:
            return
        if len(data) < _WAL_HEADER or data[:3] != b"\x37\x7f\x06" or data[3] not in {0x82, 0x83}:
            return
        order = ">" if data[3] & 1 else "<"
        size = struct.unpack_from(">I", data, 8)[0]
        if size not in {1 << bits for bits in range(9, 17)} or (self._size and size != self._size):
            return
        self._size = size
        sums = _sums(order, data[:24], (0, 0))
        if sums != struct.unpack_from(">II", data, 24):
            return
        waiting: dict[int, bytes] = {}
        for at in range(_WAL_HEADER, len(data) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
            number, committed = struct.unpack_from(">II", data, at)
            page = data[at + _FRAME_HEADER : at + _FRAME_HEADER + size]
            sums = _sums(order, page, _sums(order, data[at : at + 8], sums))
            if data[at + 8 : at + 16] != data[16:24] or sums != struct.unpack_from(">II", data, at + 16):
                return
            waiting[number] = page
            if committed:
                self._newer.update(waiting)
                waiting.clear()


def _page_size(head: bytes) -> int:
    size = int.from_bytes(head[16:18], "big")
    size = 65536 if size == 1 else size
    return size if size in {1 << bits for bits in range(9, 17)} else 0


def _sums(order: str, data: bytes, before: tuple[int, int]) -> tuple[int, int]:
    """The checksum of a log, which goes on from frame to frame (section 4.2)."""
    first, second = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for taken in range(8):
        byte = data[at + taken]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + taken + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


def _values(payload: bytes) -> list[Value]:
    """The columns of a record (section 2.1)."""
    header, at = _varint(payload, 0)
    if not 0 < header <= len(payload):
        raise ValueError("a header beyond its record")
    values: list[Value] = []
    place = header
    while at < header:
        kind, at = _varint(payload, at)
        size = _INTEGERS.get(kind, 8 if kind == 7 else (kind - 12) // 2 if kind >= 12 else 0)
        data = payload[place : place + size]
        if len(data) != size:
            raise ValueError("a column beyond its record")
        place += size
        if kind in _INTEGERS:
            values.append(int.from_bytes(data, "big", signed=True))
        elif kind == 7:
            values.append(struct.unpack(">d", data)[0])
        elif kind >= 12:
            values.append(data.decode() if kind % 2 else data)
        elif kind in {8, 9}:
            values.append(kind - 8)
        elif kind == 0:
            values.append(None)
        else:
            raise ValueError("a type that there is not")
    return values
