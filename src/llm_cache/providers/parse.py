"""Takes values out of replies that may hold anything. It must not know an API, and never raises but `Malformed`.

A vendor may leave out whatever it likes and add what nobody has heard of; a field that is there
and is read must have the type that its readers rely on.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

Json = dict[str, Any]

MODEL_LENGTH = 256  # of a model's name; it becomes an index column and a label
_MOST_TOKENS = 1 << 53  # beyond this, JSON's readers no longer agree on integers


class Malformed(Exception):
    """The reply does not have the shape of its API."""


def parse(data: bytes) -> Any:
    """The JSON value of a body or an event.

    Raises:
        Malformed: no JSON reader would take it.
    """
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        # What SDKs accept beyond the standard, because they use this reader: NaN, and halves of
        # surrogate pairs, which servers send that cut text into tokens of bytes.
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Malformed from error


def mapping(value: object) -> Json:
    """The value as an object; null and absent are an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed
    return value


def sequence(value: object) -> list[Any]:
    """The value as an array; null and absent are an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed
    return value


def string(value: object) -> str:
    """The value as a string; null and absent are an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed
    return value


def whole(value: object) -> int:
    """The value as an integer; null and absent are 0."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed
    return value


def maybe(value: object) -> Json:
    """The value if it is an object, else an empty one: for what is welcome and not relied upon."""
    return value if isinstance(value, dict) else {}


def tokens(value: object) -> int | None:
    """A count of tokens, or None if it is none. Some servers count in floats."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not 0 <= value < _MOST_TOKENS or value != int(value):
        return None
    return int(value)


def model_name(value: object) -> str | None:
    """The name of a model, or None."""
    return clean(value)[:MODEL_LENGTH] if isinstance(value, str) and value else None


def clean(text: str) -> str:
    """The text in a form that can be written: halves of a surrogate pair are joined, lone ones replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
