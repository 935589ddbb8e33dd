"""Takes a form apart (`multipart/form-data`) into what its parts say, whatever boundary stands between them.

It must not guess: a form that two readers could understand differently is none. The format is RFC 7578
on top of RFC 2046, section 5.1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_BOUNDARY = re.compile(r'multipart/form-data\s*;\s*boundary=(?:"([^"\\]{1,70})"|([^\s";,]{1,70}))\s*', re.IGNORECASE)
_FIRST_LINE = re.compile(rb"--([^\r\n]{1,70})\r\n")
_DISPOSITION = re.compile(r'form-data((?:\s*;\s*[^\s=;]+=(?:"(?:[^"\\]|\\.)*"|[^\s;"]+))+)\s*', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([^\s=;]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_IGNORED = frozenset({"content-length"})
_MOST_PARTS = 1000
_MOST_HEAD = 4096


class Part(NamedTuple):
    """One part of a form: its name, what it says of a file, and its bytes."""

    name: str
    filename: str | None
    content_type: str | None
    data: bytes


def parts_of(body: bytes, content_type: str) -> tuple[Part, ...] | None:
    """The parts of a form in their order, or None if it is none.

    Args:
        body: the form.
        content_type: what was sent with it; if nothing was, or it was not kept, the first line tells the boundary.
    """
    boundary = _boundary(body, content_type)
    if boundary is None:
        return None
    first, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    last = pieces.pop() if pieces else b""
    if first or last not in {b"--", b"--\r\n"} or len(pieces) > _MOST_PARTS:
        return None
    parts: list[Part] = []
    for piece in pieces:
        part = _part(piece)
        if part is None:
            return None
        parts.append(part)
    return tuple(parts)


def _boundary(body: bytes, content_type: str) -> bytes | None:
    if content_type:
        told = _BOUNDARY.fullmatch(content_type.strip())
        return (told[1] or told[2]).encode("latin-1", "replace") if told else None
    line = _FIRST_LINE.match(body)
    return line[1] if line else None


def _part(piece: bytes) -> Part | None:
    head, blank, data = piece.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"\r\n") or len(head) > _MOST_HEAD:
        return None
    try:
        lines = head[2:].decode().split("\r\n")
    except UnicodeDecodeError:
        return None
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        # An end of line that is none for us may be one for somebody else.
        if not colon or name in found or "\n" in line or "\r" in line:
            return None
        if name not in _IGNORED:
            found[name] = value.strip(" \t")
    told = _DISPOSITION.fullmatch(found.pop("content-disposition", ""))
    content_type = found.pop("content-type", None)
    if told is None or found:
        return None
    named = [(name.lower(), quoted or bare) for name, quoted, bare in _PARAMETER.findall(told[1])]
    fields = dict(named)
    if len(fields) < len(named) or "name" not in fields or fields.keys() - {"name", "filename"}:
        return None
    return Part(fields["name"], fields.get("filename"), content_type, data)
