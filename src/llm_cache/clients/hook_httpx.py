"""What `install` puts before the transports of httpx and httpx2. It decides nothing but whether to look closer."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from llm_cache.clients.transport import Bound, Face, bind

if TYPE_CHECKING:
    from collections.abc import Callable

_BARE = ("python-httpx", "python-requests")
"""How the libraries call themselves to servers; who calls himself otherwise is an SDK, or as good as one."""


def bare(request: Any) -> bool:
    """Whether a request is the program's own, and not an SDK's."""
    return str(request.headers.get("user-agent", "")).startswith(_BARE)


@cache
def transports(name: str) -> tuple[Any, Any]:
    """The sync and the async transport for one request, for the library of that module name."""
    bound = bind(name)
    return _make(bound.library, bound)


def _make(library: Any, bound: Bound) -> tuple[Any, Any]:
    class Transport(library.BaseTransport):  # type: ignore[misc]
        """For one request of a sync client."""

        installed = True

        def __init__(self, faces: Callable[[Any], Face | None], inner: Any) -> None:
            self._faces = faces
            self.inner = inner

        def handle_request(self, request: Any) -> Any:
            face = self._faces(request) if request.method == "POST" else None
            if face is None or not face.readable(request):
                return self.inner.handle_request(request)
            return bound.serve(face, self.inner, request)

    class AsyncTransport(library.AsyncBaseTransport):  # type: ignore[misc]
        """For one request of an async client."""

        installed = True

        def __init__(self, faces: Callable[[Any], Face | None], inner: Any) -> None:
            self._faces = faces
            self.inner = inner

        async def handle_async_request(self, request: Any) -> Any:
            face = self._faces(request) if request.method == "POST" else None
            if face is None or not face.readable(request):
                return await self.inner.handle_async_request(request)
            return await bound.aserve(face, self.inner, request)

    return Transport, AsyncTransport
