"""What a reply's head says: which of the upstream's headers go on, and what the cache did. It must not send anything.

`Cache-Status` is RFC 9211. `stored` stands only where it is known before the head leaves: replies that are no streams
are whole by then; of a stream nothing is promised that could still go wrong.
"""

from __future__ import annotations

from collections.abc import Iterable

from llm_cache.core.model import Entry, Head
from llm_cache.proxy.incoming import HOP_BY_HOP, Raw

# `private` for caches that know no more than that, `no-store` because one in front could not tell callers with
# different keys apart, nor follow a purge or what a request asks of us.
_PRIVATE: Raw = (b"cache-control", b"private, no-store")
_OURS = frozenset({"cache-control", "x-llm-cache", "x-llm-cache-key"})
_FRAMING = frozenset({"content-length", *(name.decode() for name in HOP_BY_HOP)})
# To a browser whatever an upstream shows is a page of the proxy, as its dashboard is, and could read and purge that.
_TAME: Raw = (b"content-security-policy", b"sandbox")
_INERT = (
    b"application/json",
    b"application/jsonl",
    b"application/octet-stream",
    b"application/x-ndjson",
    b"audio/",
    b"text/event-stream",
    b"text/plain",
)
_FORWARDED = {"absent": "miss", "expired": "stale", "refresh": "request", "joined": "miss; collapsed"}
"""Why the upstream was asked, in the words of RFC 9211, 2.2."""


def replayed(entry: Entry, age_s: float, now: float, status: str = "hit") -> list[Raw]:
    """The head of an answer from the store, without its framing."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in entry.head.headers]
    ttl = "" if entry.expires_at is None else f" ttl={int(entry.expires_at - now)};"
    key = entry.key
    headers += (
        # The key is a string there: no token of a structured field begins with a digit (RFC 9651, 3.3.4).
        (b"cache-status", f'llm-cache; hit;{ttl} key="{key}"'.encode()),
        (b"age", b"%d" % age_s),
        (b"x-llm-cache", status.encode()),
        (b"x-llm-cache-key", key.encode()),
        _PRIVATE,
    )
    return headers


def relayed(head: Head, reason: str, key: str, *, stored: bool) -> list[Raw]:
    """The head of an answer that is being fetched, without its framing."""
    status = f"llm-cache; fwd={_FORWARDED.get(reason, 'miss')}{'; stored' if stored else ''}"
    headers = _kept(head.headers)
    headers += (
        # After the upstream's own, if it has a cache as well: the nearest to the client is the last (RFC 9211, 2).
        (b"cache-status", status.encode()),
        (b"x-llm-cache", b"joined" if reason == "joined" else b"miss"),
        (b"x-llm-cache-key", key.encode()),
        _PRIVATE,
    )
    return headers


def passed(raw: Iterable[Raw], reason: str, *, steered: bool) -> list[Raw]:
    """The head of an answer that the cache has no part in: the upstream's own, and a line that says so."""
    fields = [(name.lower(), value) for name, value in raw]
    gone = HOP_BY_HOP | _named_by_connection(fields)
    headers = [pair for pair in fields if pair[0] not in gone and not pair[0].startswith(b"x-llm-cache")]
    kinds = [value.lower() for name, value in headers if name == b"content-type"]
    if len(kinds) != 1 or not kinds[0].startswith(_INERT):
        headers.append(_TAME)
    why = "request" if steered else "bypass"
    headers += (
        (b"cache-status", f"llm-cache; fwd={why}; detail={reason}".encode()),
        (b"x-llm-cache", b"bypass"),
    )
    return headers


def _kept(headers: Iterable[tuple[str, str]]) -> list[Raw]:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    gone = _named_by_connection(fields)
    return [
        pair
        for pair in fields
        if (name := pair[0].decode("latin-1")) not in _FRAMING and name not in _OURS and pair[0] not in gone
    ]


def _named_by_connection(fields: Iterable[Raw]) -> frozenset[bytes]:
    values = [value for name, value in fields if name == b"connection"]
    return frozenset(token.strip().lower() for value in values for token in value.split(b","))
