"""Takes a URL apart into what identifies a server and a call. It must not know vendors, nor touch the network."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_plus, unquote_to_bytes, urlsplit

CREDENTIALS = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "key",
        "subscription-key",
        "token",
    }
)
"""Query parameters that say who asks and not what: the closed list of the key specification."""

_PORTS = {"https": 443, "http": 80}
_PCHAR = "!$&'()*+,;=:@"  # RFC 3986, 3.3; with the unreserved characters, which are never quoted
_NORMAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*")


class Address(NamedTuple):
    """A URL's parts: the host in lower case (IPv6 in brackets), the path percent-normalised."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def odd_port(self) -> int | None:
        """The port, if it is not the scheme's own."""
        return None if self.port == _PORTS[self.scheme] else self.port


def address(url: str) -> Address | None:
    """The parts of an HTTP URL, or None if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host:
        return None
    if ":" in host:
        host = f"[{host}]"
    if port is None:
        port = _PORTS[parts.scheme]
    return Address(parts.scheme, host, port, normal_path(parts.path), parts.query)


def normal_path(path: str) -> str:
    """The path with one spelling for each character: `%2D` and `-` are one, `%2F` and `/` are two."""
    if _NORMAL.fullmatch(path):
        return path
    # A path that a person writes by hand may hold anything, half a surrogate pair included.
    segments = path.encode("utf-8", "surrogatepass").split(b"/")
    return "/".join([quote_from_bytes(unquote_to_bytes(segment), safe=_PCHAR) for segment in segments])


def counting_query(query: str) -> tuple[tuple[str, str], ...]:
    """The query's parameters, decoded and sorted by name, without credentials.

    Parameters of one name keep their order: it may matter. What is not UTF-8 stays encoded.
    """
    parts = [part.partition("=") for part in query.split("&") if part]
    pairs = [(_decoded(name), _decoded(value)) for name, _, value in parts]
    return tuple(sorted((pair for pair in pairs if not _credential(pair[0])), key=lambda pair: pair[0]))


def _credential(name: str) -> bool:
    # Of ASCII letters only: to Unicode the Kelvin sign is a k.
    return name.isascii() and name.lower() in CREDENTIALS


def _decoded(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        return text
