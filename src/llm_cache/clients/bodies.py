"""Bodies of responses of httpx and httpx2 that somebody else reads or has read. They know no SDK and store nothing."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any, cast


def own_error(error: Exception, source: Any, library: Any, request: Any) -> Exception:
    """The error in the words of the caller's own library; the leader's is its own already.

    A fetch may be led by a client of the other library; and one exception object must not be
    raised in several threads, where each would write its traceback into it.
    """
    if isinstance(error, TimeoutError):
        return library.ReadTimeout(str(error), request=request)  # type: ignore[no-any-return]
    if isinstance(error, ConnectionError):
        return library.ReadError(str(error), request=request)  # type: ignore[no-any-return]
    if not source.follows:
        return error
    if type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "urllib3"}:
        kind = getattr(library, type(error).__name__, library.ReadError)
        try:
            return kind(str(error), request=request)  # type: ignore[no-any-return]
        except TypeError:
            return library.ReadError(str(error), request=request)  # type: ignore[no-any-return]
    return copy.copy(error)


def _beneath(body: Any, name: str) -> Any:
    """Some SDKs hang something of theirs on the body that was replaced."""
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(body._replaced, name)


@cache
def body_of(library: Any) -> Any:
    """The body of a replayed or relayed reply. To iterate again continues, it never begins anew.

    Its arguments are what the bytes come from, the request, and the body in whose place it stands, if there is one.
    """

    class Body(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, source: Any, request: Any, replaced: Any = None) -> None:
            self._source = source
            self._pieces = iter(source)
            self._request = request
            self._replaced = replaced

        def __getattr__(self, name: str) -> Any:
            return _beneath(self, name)

        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            try:
                piece: bytes = next(self._pieces)
                return piece
            except StopIteration:
                raise
            except Exception as error:
                raise own_error(error, self._source, library, self._request) from error

        def close(self) -> None:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()

    return Body


@cache
def async_body_of(library: Any) -> Any:
    """As `body_of`, for an event loop."""

    class AsyncBody(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, source: Any, request: Any, replaced: Any = None) -> None:
            self._source = source
            self._pieces = iter(source) if isinstance(source, list) else None
            self._request = request
            self._replaced = replaced

        def __getattr__(self, name: str) -> Any:
            return _beneath(self, name)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if self._pieces is not None:
                for piece in self._pieces:
                    return cast("bytes", piece)
                raise StopAsyncIteration
            try:
                data: bytes = await anext(self._source)
                return data
            except StopAsyncIteration:
                raise
            except Exception as error:
                raise own_error(error, self._source, library, self._request) from error

        async def aclose(self) -> None:
            if self._pieces is None:
                await self._source.aclose()

    return AsyncBody
