"""The switch in front of an adapter of requests. It must not import requests unless the program has."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from llm_cache.clients.blocking import Fetched, answer, asked, body_of, pairs

if TYPE_CHECKING:
    from llm_cache.clients.transport import Face


def adapter_for(switch: Any, inner: Any) -> Any:
    """An adapter that asks the cache, and the inner adapter for what that has not. A fresh one for each request."""
    return _adapters()[0](switch, inner)


def installed_adapter(switch: Any, inner: Any) -> Any:
    """As `adapter_for`, for `install`; see `switch.beneath`."""
    return _adapters()[1](switch, inner)


@cache
def _adapters() -> tuple[Any, Any]:
    from requests.adapters import HTTPAdapter

    class CachingAdapter(HTTPAdapter):
        """The inner adapter with a cache before it."""

        def __init__(self, switch: Any, inner: Any) -> None:
            # Not the constructor of HTTPAdapter: that would make a pool of connections.
            self.switch = switch
            self.inner = inner

        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            face: Face | None = self.switch.serving()
            if face is None:
                return self.inner.send(request, *args, **kwargs)

            def fetch() -> Fetched:
                response = self.inner.send(request, *args, **kwargs)
                return Fetched(response, response.status_code, pairs(response.headers), response.raw)

            call = asked(request.method, request.url, request.headers, request.body)
            found = answer(face, call, fetch)
            if found is None:
                return self.inner.send(request, *args, **kwargs)
            raw = body_of(found)
            if found.mine is None:
                return self.build_response(request, raw)
            response = found.mine.response
            kept = dict(found.headers)
            for name in [name for name in response.headers if name.lower() not in kept]:
                del response.headers[name]
            response.raw = raw
            return response

        def close(self) -> None:
            self.inner.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    class InstalledAdapter(CachingAdapter):
        """The adapter of `install`."""

        installed = True

    return CachingAdapter, InstalledAdapter
