"""The switch in front of an HTTP session of botocore. It must not import botocore unless the program has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_cache.clients.blocking import Fetched, answer, asked, body_of, pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.clients.transport import Face


def send(face: Face | None, inner: Callable[[Any], Any], request: Any) -> Any:
    """Answer a prepared request of botocore, from the cache or with `inner`."""
    if face is None:
        return inner(request)

    def fetch() -> Fetched:
        response = inner(request)
        # What is no stream has been read by the session, so that its errors are the session's own.
        content = None if request.stream_output else response.content
        return Fetched(response, response.status_code, pairs(response.headers), response.raw, content)

    found = answer(face, asked(request.method, request.url, request.headers, request.body), fetch)
    if found is None:
        return inner(request)
    from botocore.awsrequest import AWSResponse  # type: ignore[import-untyped]
    from urllib3 import HTTPHeaderDict

    response = AWSResponse(request.url, found.status, HTTPHeaderDict(found.headers), body_of(found))
    if not request.stream_output:
        # As botocore's own session does.
        _ = response.content
    return response


class CachingSession:
    """A session that is the inner one in every other respect."""

    def __init__(self, switch: Any, inner: Any) -> None:
        self._switch = switch
        self._inner = inner
        # Not looked up again through the class, where `install` may have put itself.
        theirs = getattr(getattr(type(inner), "send", None), "llm_cache_replaced", None)
        self._send = inner.send if theirs is None else lambda request: theirs(inner, request)

    def send(self, request: Any) -> Any:
        """Answer a prepared request."""
        return send(self._switch.serving(), self._send, request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
