"""What stands in a client's transports while it is wrapped: it asks who serves, call by call. It finds no client.

Innermost serves: the latest that was started in the context of the call, and for contexts that started none (other
threads) the latest of all.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from llm_cache.clients.transport import Bound, Caching, bind

if TYPE_CHECKING:
    from llm_cache.clients.transport import Face

entered: ContextVar[tuple[object, ...]] = ContextVar("llm_cache_wrappings", default=())
"""The handles that were started in this context, outermost first."""


class Switch:
    """The handles on one client, each with the face that it puts before it."""

    def __init__(self) -> None:
        self.active: tuple[tuple[object, Face], ...] = ()

    def serving(self) -> Face | None:
        """The face that answers a call made now, None if there is no handle any more."""
        active = self.active
        if not active:
            return None
        for handle in reversed(entered.get()):
            for other, face in active:
                if other is handle:
                    return face
        return active[-1][1]

    def add(self, handle: object, face: Face) -> None:
        """Let a handle take part."""
        self.active = (*self.active, (handle, face))

    def remove(self, handle: object) -> None:
        """Let a handle go."""
        self.active = tuple(pair for pair in self.active if pair[0] is not handle)


class Switched(Caching):
    """A transport that is the inner one in every other respect."""

    def __init__(self, switch: Any, inner: Any) -> None:
        self.switch = switch
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def beneath(transport: Any) -> Any:
    """The transport, or the adapter, that `install` has put itself before; else the one that was given.

    A wrapped client serves its calls itself, and what it sends must not be looked up once more.
    """
    return transport.inner if getattr(type(transport), "installed", False) else transport


@cache
def transports(name: str) -> tuple[Any, Any]:
    """The sync and the async switch for the HTTP library of that module name."""
    bound = bind(name)
    return _make(bound.library, bound)


def _make(library: Any, bound: Bound) -> tuple[Any, Any]:
    class Transport(Switched, library.BaseTransport):  # type: ignore[misc]
        """The switch as a sync transport."""

        def handle_request(self, request: Any) -> Any:
            face = self.switch.serving()
            if face is None:
                return self.inner.handle_request(request)
            return bound.serve(face, self.inner, request)

        def __enter__(self) -> Any:
            self.inner.__enter__()
            return self

        def __exit__(self, *details: object) -> None:
            self.inner.__exit__(*details)

        def close(self) -> None:
            self.inner.close()

    class AsyncTransport(Switched, library.AsyncBaseTransport):  # type: ignore[misc]
        """The switch as an async transport."""

        async def handle_async_request(self, request: Any) -> Any:
            face = self.switch.serving()
            if face is None:
                return await self.inner.handle_async_request(request)
            return await bound.aserve(face, self.inner, request)

        async def __aenter__(self) -> Any:
            await self.inner.__aenter__()
            return self

        async def __aexit__(self, *details: object) -> None:
            await self.inner.__aexit__(*details)

        async def aclose(self) -> None:
            await self.inner.aclose()

    return Transport, AsyncTransport
