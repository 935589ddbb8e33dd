"""Files that appear whole or not at all, and files of unknown origin read within bounds. It knows no entries.

Compressed by suffix when written (`.gz`, `.zst`), by their first bytes when read.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from llm_cache.errors import FormatError

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MAX_WINDOW = 1 << 27
"""What zstd's own tool reads without being told to take more memory."""
SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file for its owner alone that takes its place once everything is written; what was there stays until then.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        # A pipe or a device cannot be replaced, and is not to be.
        with path.open("wb") as file:
            yield file
        return
    try:
        # mkstemp makes it readable for its owner alone.
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        # Not the name that we have made up, which tells nobody anything.
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def output(name: str) -> Iterator[IO[bytes]]:
    """What is written into ends up in the file, compressed as its suffix says; `-` is standard output."""
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    with whole_file(path) as file:
        kind = SUFFIXES.get(path.suffix.lower())
        if kind == "gzip":
            # Without name and time, so that the same entries are the same bytes.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                yield cast("IO[bytes]", packed)
        elif kind == "zstd":
            with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as writer:
                yield cast("IO[bytes]", writer)
        else:
            yield file


class Input:
    """A file, or standard input, read within bounds.

    Attributes:
        name: of the file, for people.
        line: the number of the line that is being read, from 1.
        longest: bytes that one entry may take.
    """

    def __init__(self, file: IO[bytes], name: str, longest: int) -> None:
        self.name = name
        self.line = 1
        self.longest = longest
        self._file = cast("io.BufferedReader", file)

    def beginning(self) -> bytes:
        """The first byte that is no white space, which is then the next to be read; none if there is none.

        Raises:
            FormatError: as `lines`.
        """
        while True:
            with _readable():
                found = self._file.peek(1)[:1]
                if not found or not found.isspace():
                    return found
                self.line += self._file.read(1) == b"\n"

    def lines(self) -> Iterator[bytes]:
        """The lines that are not blank, without their ends.

        Raises:
            FormatError: a line is too long, or what is compressed is damaged or cut off.
        """
        self.line -= 1
        while True:
            self.line += 1
            with _readable():
                line = self._file.readline(self.longest + 1)
            if not line:
                return
            if len(line) > self.longest:
                raise too_long(self.longest)
            line = line.strip()
            if line:
                yield line

    def chunk(self) -> bytes:
        """Some bytes, none at the end.

        Raises:
            FormatError: as `lines`.
        """
        with _readable():
            return self._file.read(1 << 18)


def too_long(longest: int) -> FormatError:
    """What to say of something that would take more memory than any entry does."""
    return FormatError(f"it is longer than {longest / 1_000_000:,.0f} MB, which no entry is")


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise FormatError(f"the file is damaged or cut off there: {error}") from error


@contextlib.contextmanager
def opened(name: str, longest: int) -> Iterator[Input]:
    """The file of that name, unpacked if it is compressed; `-` is standard input.

    Raises:
        OSError: it cannot be read.
        FormatError: it is compressed and cut off.
    """
    with contextlib.ExitStack() as stack:
        raw = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
        buffered = cast("io.BufferedReader", raw)
        beginning = buffered.peek(4)[:4]
        file: IO[bytes] = buffered
        if beginning.startswith(_GZIP):
            file = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=buffered, mode="rb")))
        elif beginning == _ZSTD:
            if buffered.seekable():
                _whole_zstd(buffered)
            unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
            reader = unpacker.stream_reader(buffered, read_across_frames=True, closefd=False)
            file = io.BufferedReader(cast("io.RawIOBase", reader), 1 << 18)
        yield Input(file, "standard input" if name == "-" else name, longest)


def _whole_zstd(file: io.BufferedReader) -> None:
    """See that the last block is there: python-zstandard takes the end of a file for the end of what was compressed.

    Walks over frames and blocks by their headers (RFC 8878, sections 3.1.1 and 3.1.2).

    Raises:
        FormatError: it is not.
    """
    start = file.tell()
    cut = FormatError("the file is damaged or cut off: what is compressed has no end")
    end = file.seek(0, os.SEEK_END)
    at = start
    while at < end:
        file.seek(at)
        head = file.read(18)
        if head[:4] != _ZSTD:
            break  # a frame that is to be skipped, or none: its reader's business
        try:
            at += zstandard.frame_header_size(head)
            checked = zstandard.get_frame_parameters(head).has_checksum
        except zstandard.ZstdError as error:
            raise cut from error
        last = False
        while not last:
            file.seek(at)
            block = file.read(3)
            if len(block) < 3:
                raise cut
            number = int.from_bytes(block, "little")
            last = bool(number & 1)
            at += 3 + (1 if number >> 1 & 3 == 1 else number >> 3)
        at += 4 * checked
    if at > end:
        raise cut
    file.seek(start)
