"""Exported files as single entries, each with its place. It must not hold more than one of them in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm_cache.errors import FormatError
from llm_cache.transfer.files import too_long

if TYPE_CHECKING:
    from llm_cache.transfer.files import Input

# A string is one token, however many brackets are in it; one whose end has not been read yet is a lone quote.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.DOTALL)


def objects(source: Input) -> Iterator[tuple[int, bytes]]:
    """The JSON objects of a file, each with the line that it begins on: one on each line, or those of an array.

    Raises:
        FormatError: the file is neither, or cut off.
    """
    if source.beginning() == b"[":
        yield from _array(source)
        return
    for line in source.lines():
        yield source.line, line


def _array(source: Input) -> Iterator[tuple[int, bytes]]:
    """The objects of an array, however it is laid out."""
    # Where the item begins and on which line, how deep we are in it, and up to where it has been looked at.
    buffer = source.chunk()
    start, line, depth, at = 1, source.line, 0, 1
    wanted = b""
    while True:
        found = _TOKEN.search(buffer, at)
        token = b"" if found is None else found.group()
        if found is None or token == b'"':
            if len(buffer) - start > source.longest:
                source.line = line
                raise too_long(source.longest)
            chunk = source.chunk()
            if not chunk:
                source.line = line
                raise FormatError("the file is cut off: the array in it has no end")
            at = (len(buffer) if found is None else found.start()) - start
            buffer, start = buffer[start:] + chunk, 0
            continue
        at = found.end()
        if depth == 0:
            gap = buffer[start : found.start()]
            line += gap.count(b"\n")
            source.line = line
            if token == b"]" and not gap.strip():
                break
            if token != b"{" or gap.strip() != wanted:
                raise FormatError("it is no array of entries")
            start, depth = found.start(), 1
        else:
            depth += (token in b"{[") - (token in b"}]")
            if depth == 0:
                yield line, buffer[start:at]
                line += buffer.count(b"\n", start, at)
                start, wanted = at, b","
    if buffer[at:].strip() or any(chunk.strip() for chunk in iter(source.chunk, b"")):
        raise FormatError("there is something after the end of the array")
