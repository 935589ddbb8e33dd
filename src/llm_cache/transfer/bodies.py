"""Bodies as JSON that people can read, and the very same bytes back. It must not know whose bodies they are.

Most bodies are JSON as one of a few programs writes it. Of those the value and the name of its spelling are enough;
beside any other, its own text or base64 is kept.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec

from llm_cache.errors import FormatError

_SPELLINGS: dict[str, Callable[[Any], str]] = {
    "compact": json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode,
    "spaced": json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode,
    "indented": json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=2).encode,
    "compact-ascii": json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode,
    "spaced-ascii": json.JSONEncoder(allow_nan=False).encode,
    "indented-ascii": json.JSONEncoder(allow_nan=False, indent=2).encode,
}
_LINE = "+newline"
_TEXT, _BASE64 = "text", "base64"
FORMS = frozenset({_TEXT, _BASE64, *_SPELLINGS, *(name + _LINE for name in _SPELLINGS)})
"""How a view may stand for bytes. These names are part of exported files: append, never change."""
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
dumps = _SPELLINGS["compact"]
"""JSON on one line: line breaks in texts are escaped."""


def view_of(data: bytes) -> tuple[object, str | None]:
    """What bytes say, and the form by which that stands for them; no form if it does not."""
    try:
        value = msgspec.json.decode(data)
        # What JSON of Python's cannot write again (numbers beyond floats) would spoil the whole line.
        dumps(value).encode()
    except _UNREADABLE:
        return _text_of(data)
    body, end = (data[:-1], _LINE) if data.endswith(b"\n") else (data, "")
    style = "indented" if body.startswith(b"{\n") else "spaced" if b'": ' in body[:200] else "compact"
    for name in (style, f"{style}-ascii"):
        if _SPELLINGS[name](value).encode() == body:
            return value, name + end
        if b"\\u" not in body:
            break
    return value, None


def _text_of(data: bytes) -> tuple[object, str]:
    try:
        return data.decode(), _TEXT
    except UnicodeDecodeError:
        return exact(data), _BASE64


def exact(data: bytes) -> object:
    """Bytes as text, or as `{"base64": …}` where they are none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def bytes_of(view: object, form: str | None, body: object) -> bytes:
    """The bytes that a view stands for by its form; without one, those that are given beside it.

    Raises:
        FormatError: neither says which bytes these were.
    """
    if form is None:
        view, form = body, _TEXT if isinstance(body, str) else _BASE64
    if form == _TEXT and isinstance(view, str):
        return view.encode()
    if form == _BASE64 and isinstance(view, dict) and isinstance(view.get("base64"), str):
        try:
            return base64.b64decode(view["base64"], validate=True)
        except ValueError as error:
            raise FormatError(f"its base64 is none: {error}") from error
    name, newline, _ = form.partition(_LINE)
    if name not in _SPELLINGS:
        raise FormatError(f"a body has the form {form[:40]!r}, which is not one of ours, or is not of that form")
    try:
        return _SPELLINGS[name](view).encode() + (b"\n" if newline else b"")
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a body cannot be written again: {error}") from error
