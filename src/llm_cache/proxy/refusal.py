"""Replies of the proxy's own, in the format of the API that was called. It must not reveal what a request held."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from llm_cache.providers.errors import error_body
from llm_cache.providers.upstreams import BUILT_IN, route
from llm_cache.proxy.incoming import Incoming, Raw, without_token


class Refusal(Exception):
    """An error reply instead of an upstream's.

    Args:
        status: the HTTP status.
        code: a word for programs, also the `detail` of `Cache-Status`.
        message: one sentence for people: what is wrong and what to do. Never holds a header, a query or a body.
        headers: further headers.
        miss: whether the cache was asked and had no answer.
        forwarded: whether the upstream was asked then.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: tuple[Raw, ...] = (),
        *,
        miss: bool = False,
        forwarded: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers
        self.miss = miss
        self.forwarded = forwarded

    def reply(self, provider: str) -> tuple[list[Raw], bytes]:
        """Headers and body, in the format of that provider's API."""
        body = error_body(provider, self.status, str(self), self.code)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"cache-status", f"llm-cache{'; fwd=miss' if self.forwarded else ''}; detail={self.code}".encode()),
            *self.headers,
        ]
        if self.miss:
            headers.append((b"x-llm-cache", b"miss"))
        return headers, body


def early_reply(url: bytes, headers: Iterable[Raw], refusal: Refusal) -> bytes:
    """A whole reply to a request that was never taken apart, on a connection that ends with it.

    Args:
        url: its target, perhaps cut short.
        headers: those of its fields that have been read.
        refusal: what to say.
    """
    named = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    path, _, query = url.decode("latin-1").partition("?")
    style = "anthropic" if any(name == "anthropic-version" for name, _ in named) else ""
    fields, body = refusal.reply(style or route(without_token(path)[0], query, named, BUILT_IN)[0])
    head = b"".join([b"%b: %b\r\n" % pair for pair in (*fields, (b"connection", b"close"))])
    phrase = HTTPStatus(refusal.status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (refusal.status, phrase, head, body)


def style_of(incoming: Incoming, upstream: str | None) -> str:
    """Whose error format the caller understands; the upstream is None where none was found."""
    if any(name == "anthropic-version" for name, _ in incoming.headers):
        return "anthropic"  # its SDK says so at whatever upstream it is pointed
    return upstream or route(incoming.path, incoming.query, incoming.headers, BUILT_IN)[0]
