"""What the dashboard's pages and data are as HTTP: statuses, headers, bodies. It must not know what is in them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llm_cache.ledger.report import money
from llm_cache.proxy.incoming import Raw

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    # Nothing may become markup, not even by a mistake in our own scripts.
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_ALWAYS: tuple[Raw, ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"x-robots-tag", b"noindex"),
)
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """What is sent; `pieces` follow each other when the one before has been taken."""

    status: int
    content_type: str
    pieces: Iterable[bytes]
    length: int | None = None
    headers: tuple[Raw, ...] = ()

    def head(self) -> list[Raw]:
        """All headers. Without a length the end is where the pieces end."""
        length: tuple[Raw, ...] = () if self.length is None else ((b"content-length", b"%d" % self.length),)
        return [(b"content-type", self.content_type.encode()), *length, *_ALWAYS, *self.headers]


class Problem(Exception):
    """Something that is answered with one sentence instead of what was asked for."""

    def __init__(self, status: int, message: str, headers: tuple[Raw, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers

    def answer(self) -> Answer:
        """The sentence as a program gets it."""
        return data({"error": {"message": str(self)}}, self.status, self.headers)


def bytes_of(body: bytes, content_type: str, status: int = 200, headers: tuple[Raw, ...] = ()) -> Answer:
    """An answer in one piece."""
    return Answer(status, content_type, (body,), len(body), headers)


def data(value: object, status: int = 200, headers: tuple[Raw, ...] = ()) -> Answer:
    """A JSON answer; money becomes a decimal string, what is no number null."""
    try:
        text = json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), default=_plain, separators=(",", ":"))
    # In ASCII, so that halves of surrogate pairs are no error.
    return bytes_of(text.encode("ascii"), JSON, status, headers)


def _plain(value: object) -> object:
    return money(value) if isinstance(value, Decimal) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
