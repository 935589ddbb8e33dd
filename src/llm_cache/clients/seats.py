"""How a switch is put into a client, and taken out again: one class for each kind of client. It finds no client.

A seat restores only what is still its own: what somebody else has put over it meanwhile stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from llm_cache.clients.hook_botocore import CachingSession
from llm_cache.clients.hook_requests import adapter_for
from llm_cache.clients.switch import Switch, beneath, transports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Seat(Protocol):
    """A switch in its place."""

    def restore(self, target: Any) -> None:
        """Put back what was there."""


class HttpxSeat:
    """In a client of httpx or httpx2: before its transport, and before those of its proxies."""

    def __init__(self, http: Any, switch: Switch, library: str) -> None:
        sync, asynchronous = transports(library)
        wrapped = asynchronous if hasattr(http, "aclose") else sync
        self._transport, self._mounts = http._transport, http._mounts
        self._mine = http._transport = wrapped(switch, http._transport)
        # Environment proxies live in the mounts; None there means "no proxy" and must stay so.
        self._my_mounts = http._mounts = {
            pattern: None if inner is None else wrapped(switch, inner) for pattern, inner in http._mounts.items()
        }

    def restore(self, target: Any) -> None:
        """As `Seat.restore`."""
        if target._transport is self._mine:
            target._transport = self._transport
        if target._mounts is self._my_mounts:
            target._mounts = self._mounts


class PerLoopSeat(HttpxSeat):
    """In google-genai's async client, which sends through a hidden client for each event loop.

    Its own transport is asked again, and hands what is to be sent to the hidden client of the loop.
    """

    def __init__(self, http: Any, switch: Switch, library: str) -> None:
        super().__init__(http, switch, library)
        self._mine.inner = _OfTheLoop(http, self._transport)
        http._mounts = self._my_mounts = {}
        http._per_loop = False

    def restore(self, target: Any) -> None:
        """As `Seat.restore`."""
        super().restore(target)
        target._per_loop = True


class _OfTheLoop:
    """The transport of whatever client sends for the running loop."""

    def __init__(self, http: Any, own: Any) -> None:
        self._client = http._client_for_running_loop
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    async def handle_async_request(self, request: Any) -> Any:
        return await beneath(self._client()._transport_for_url(request.url)).handle_async_request(request)


class NoAiohttpSeat:
    """In google-genai's API client: it prefers aiohttp for async calls wherever that is installed, as it is with us."""

    def __init__(self, api: Any, switch: Switch) -> None:
        self._mine = api._use_aiohttp = lambda: False

    def restore(self, target: Any) -> None:
        """As `Seat.restore`."""
        if target.__dict__.get("_use_aiohttp") is self._mine:
            del target._use_aiohttp


class RequestsSeat:
    """In a `requests.Session`: before whichever adapter it takes for a URL."""

    def __init__(self, session: Any, switch: Switch) -> None:
        adapter = session.get_adapter

        def get_adapter(url: Any) -> Any:
            return adapter_for(switch, beneath(adapter(url)))

        self._before = session.__dict__.get("get_adapter")
        self._mine = session.get_adapter = get_adapter

    def restore(self, target: Any) -> None:
        """As `Seat.restore`."""
        if target.__dict__.get("get_adapter") is self._mine:
            del target.get_adapter
            if self._before is not None:
                target.get_adapter = self._before


class EndpointSeat:
    """In the endpoint of a client of boto3: before its HTTP session."""

    def __init__(self, endpoint: Any, switch: Switch) -> None:
        self._session = endpoint.http_session
        self._mine = endpoint.http_session = CachingSession(switch, endpoint.http_session)

    def restore(self, target: Any) -> None:
        """As `Seat.restore`."""
        if target.http_session is self._mine:
            target.http_session = self._session


class LateSeat:
    """In a client whose coroutine `name` makes its HTTP client when a call first needs one."""

    def __init__(self, client: Any, switch: Switch, name: str, seat_of: Callable[[Any, Switch], Seat]) -> None:
        made: Callable[[], Awaitable[Any]] = getattr(client, name)
        seats: list[tuple[Any, Seat]] = []

        async def get() -> Any:
            http = await made()
            if not any(http is seated for seated, _ in seats):
                seats.append((http, seat_of(http, switch)))
            return http

        self._name = name
        self._seats = seats
        self._mine = get
        setattr(client, name, get)

    def restore(self, target: Any) -> None:
        """As `Seat.restore`."""
        if target.__dict__.get(self._name) is self._mine:
            delattr(target, self._name)
        for http, seat in self._seats:
            seat.restore(http)
        self._seats.clear()
