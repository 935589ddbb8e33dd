"""A request as it came in, its headers sorted in one pass by what is to be done with them. It must not judge it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from llm_cache.core.model import Headers

Raw = tuple[bytes, bytes]
"""A header field as ASGI has it, the name in lower case."""
TARGET = "llm_cache.target"
"""Where `protocol` leaves a request target that is no plain path, in the ASGI scope."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields about this connection and not about the message (RFC 9110, 7.6.1)."""
_STEERING = frozenset(
    {b"cache-control", b"x-llm-cache-mode", b"x-llm-cache-namespace", b"x-llm-cache-sample", b"x-llm-cache-ttl"}
)
_ALIVE = frozenset({b"keep-alive", b"close", b"Keep-Alive"})
# In doubt a header is a credential: then it separates callers, which can cost a hit and never shows anybody's answer to
# another. Names with `idempotency` are new for each call and say nothing of who calls.
_CREDENTIAL = re.compile(rb"^(?!.*idempotency).*(?:auth|cookie|key|secret|signature|token|password|assertion)")

_TOKEN_SEGMENT = re.compile(r"/+(?:~|%7[eE])([^/]*)")

_GOES_ON, _CREDENTIALS, _DROPPED, _STEERS, _TYPE, _LENGTH, _CHUNKED, _CONNECTION, _HOST, _ORIGIN, _UPGRADE = range(11)
_TOKEN = 11
_LISTED = frozenset({_HOST, _TOKEN})
_ROLES: dict[bytes, tuple[int, str]] = {
    **dict.fromkeys((*HOP_BY_HOP, b"expect"), (_DROPPED, "")),
    **{name: (_STEERS, name.decode()) for name in _STEERING},
    b"content-type": (_TYPE, "content-type"),
    b"content-length": (_LENGTH, ""),
    b"transfer-encoding": (_CHUNKED, ""),
    b"connection": (_CONNECTION, ""),
    b"host": (_HOST, ""),
    b"origin": (_ORIGIN, "origin"),
    b"upgrade": (_UPGRADE, ""),
    b"x-llm-cache-token": (_TOKEN, ""),
}
_MOST_ROLES, _LONGEST_ROLE = 2000, 100  # callers choose them, and what is remembered stays


class Incoming:
    """One request.

    Attributes:
        path: as sent, percent-encoded, without the query; once its token has been looked at, without that.
        query: as sent, without its question mark.
        target: the request target where it is no plain path (a whole URL, an authority), else "".
        headers: those that go on to the upstream, names in lower case. What is about this connection, the body's
            framing, and what is meant for the cache is not among them.
        credentials: name and value of each header among them that tells who calls.
        steering: the headers that are meant for the cache.
        tokens: every token that came in a header of its own.
        hosts: every `Host` header.
        length: the body's declared length, None if it declares none.
        chunked: whether a body of unknown length follows.
        upgrade: the protocol that the client wants to change to, or "".
        old: whether the client speaks HTTP/1.0, and knows no chunks.
    """

    __slots__ = (
        "chunked",
        "content_type",
        "credentials",
        "headers",
        "hosts",
        "length",
        "method",
        "old",
        "origin",
        "path",
        "query",
        "steering",
        "target",
        "tokens",
        "upgrade",
    )

    headers: Headers

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.method: str = scope["method"]
        self.path = _path(scope)
        self.query = scope["query_string"].decode("latin-1")
        self.target: str = scope.get(TARGET, "")
        self.old = scope.get("http_version") == "1.0"
        self.content_type = ""
        self.length: int | None = None
        self.chunked = False
        self.origin: str | None = None
        self.upgrade = ""
        self.hosts: list[bytes] = []
        self.steering: list[Raw] = []
        self.tokens: list[bytes] = []
        self.credentials: list[Raw] = []
        self._sort(scope["headers"])

    def _sort(self, raw: Sequence[Raw]) -> None:
        headers: list[tuple[str, str]] = []
        named = b""
        for name, value in raw:
            role, text = _ROLES.get(name) or _learn(name)
            if role == _GOES_ON:
                headers.append((text, value.decode("latin-1")))
            elif role == _CREDENTIALS:
                headers.append((text, value.decode("latin-1")))
                self.credentials.append((name, value))
            elif role in _LISTED:
                (self.hosts if role == _HOST else self.tokens).append(value)
            elif role == _TYPE:
                self.content_type = value.decode("latin-1").lower()
                headers.append((text, value.decode("latin-1")))
            elif role == _LENGTH:
                self.length = int(value.lstrip(b"0") or b"0") if value.isdigit() else 0  # Python reads 4,300 digits
            elif role == _STEERS:
                self.steering.append((name, value))
            elif role == _CONNECTION:
                if value not in _ALIVE:
                    named += b"," + value
            elif role == _CHUNKED:
                self.chunked = True
            elif role == _ORIGIN:
                self.origin = value.decode("latin-1")
                headers.append((text, self.origin))
            elif role == _UPGRADE:
                self.upgrade = value.decode("latin-1").lower()
        if named:
            # Before anybody looks at them: what does not go on must not tell callers apart either.
            gone = {token.strip().lower() for token in named.split(b",")}
            headers = [pair for pair in headers if pair[0].encode("latin-1") not in gone]
            self.credentials = [pair for pair in self.credentials if pair[0] not in gone]
        self.headers = tuple(headers)

    @property
    def has_body(self) -> bool:
        """Whether the client sends a body, be it empty."""
        return self.length is not None or self.chunked


Head = tuple[str, bytes | str, bytes, str, str, str | None, tuple[Raw, ...]]
"""Everything of an ASGI scope that an `Incoming` is made of."""


def head_of(scope: Mapping[str, Any]) -> Head:
    """What an `Incoming` would be made of, to find one that has been made already."""
    return (
        scope["method"],
        scope.get("raw_path") or scope["path"],
        scope["query_string"],
        scope.get("root_path", ""),
        scope.get(TARGET, ""),
        scope.get("http_version"),
        tuple(scope["headers"]),
    )


def size_of(head: Head) -> int:
    """About how many bytes of memory a head takes."""
    return 512 + 2 * len(head[1]) + len(head[2]) + sum([128 + len(name) + len(value) for name, value in head[6]])


def without_token(path: str) -> tuple[str, str | None]:
    """A path without the token segment at its beginning, and that segment as it was sent, None if there is none."""
    segment = _TOKEN_SEGMENT.match(path)
    return (path, None) if segment is None else (path[segment.end() :] or "/", segment[1])


def _path(scope: Mapping[str, Any]) -> str:
    raw: bytes | None = scope.get("raw_path")
    # `raw_path` is optional in ASGI; what it would have been can only be guessed then.
    path = raw.decode("latin-1") if raw else quote(scope["path"], safe="/!$&'()*+,;=:@~-._")
    root: str = scope.get("root_path", "")
    return path[len(root) :] or "/" if root and path.startswith(root) else path


def _learn(name: bytes) -> tuple[int, str]:
    if name.startswith(b"x-llm-cache"):
        role = (_DROPPED, "")
    else:
        role = (_CREDENTIALS if _CREDENTIAL.search(name) else _GOES_ON, name.decode("latin-1"))
    if len(_ROLES) < _MOST_ROLES and len(name) <= _LONGEST_ROLE:
        _ROLES[name] = role
    return role
