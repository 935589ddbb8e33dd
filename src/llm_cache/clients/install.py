"""The one process-wide hook: a cache under every client there is, also those that nobody can reach. Opt-in, reversible.

It touches calls of models only; what is none passes as if the hook were not there. It imports no HTTP library.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_cache.clients import hook_botocore, hook_httpx
from llm_cache.clients.arrivals import Arrivals
from llm_cache.clients.hook_requests import installed_adapter
from llm_cache.clients.options import layer
from llm_cache.clients.transport import Caching, Face
from llm_cache.providers.registry import possible

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from llm_cache.clients.cache import LLMCache


class _Installation(NamedTuple):
    """What one `install` asked for."""

    sdk: Face
    bare: Face


class _Replaced(NamedTuple):
    """One attribute of a class that has been replaced."""

    cls: Any
    name: str
    before: Any
    mine: Any


_lock = threading.RLock()
_installed: tuple[_Installation, ...] = ()
_replaced: list[_Replaced] = []
_arrivals: Arrivals | None = None


def install(cache: LLMCache | None = None, ttl_days: float | str | None = None, namespace: str | None = None) -> None:
    """Answer the calls of models that this process makes from the cache, whatever client makes them.

    Covers what goes through httpx, httpx2, requests and botocore, whether they are imported already or later. Clients
    that are wrapped, or have a caching transport, keep what they have. Of several installations the latest serves;
    each is taken away by one `uninstall`.

    Args:
        cache: where to keep answers; without it the process's default cache.
        ttl_days: lifetime of answers in days, `"never"` for no expiry.
        namespace: entries of one namespace are never served to another.

    Raises:
        ConfigError: a value is wrong, or there is no `cache=` and the default cache's configuration is wrong.
    """
    global _installed, _arrivals  # noqa: PLW0603 - there is one hook a process
    from llm_cache.clients.cache import default_cache

    given = layer(ttl_days=ttl_days, namespace=namespace, source="install()")
    engine = (cache if cache is not None else default_cache()).engine
    new = _Installation(Face(engine, given, "", quiet=True), Face(engine, given, quiet=True))
    with _lock:
        _installed = (*_installed, new)
        if _arrivals is None:
            _arrivals = Arrivals(_HOOKS)
            _arrivals.begin()


def uninstall() -> None:
    """Take away the latest `install`; with the last one everything is as it was before. Without any, do nothing."""
    global _installed, _arrivals  # noqa: PLW0603 - as above
    with _lock:
        _installed = _installed[:-1]
        if _installed or _arrivals is None:
            return
        _arrivals.end()
        _arrivals = None
        while _replaced:
            cls, name, before, mine = _replaced.pop()
            # What somebody else has put over it stays, and ours beneath it does nothing any more.
            if cls.__dict__.get(name) is mine:
                setattr(cls, name, before)


def _face(request: Any) -> Face | None:
    """The face for a request, None if nothing is installed any more."""
    current = _installed
    if not current:
        return None
    return current[-1].bare if hook_httpx.bare(request) else current[-1].sdk


def _replace(cls: Any, name: str, make: Callable[[Any], Any]) -> None:
    with _lock:
        before = cls.__dict__[name]
        if not _installed or any(done.cls is cls and done.name == name for done in _replaced):
            # Uninstalled meanwhile, or one class under two names.
            return
        mine: Any = functools.wraps(before)(make(before))
        mine.llm_cache_replaced = before
        _replaced.append(_Replaced(cls, name, before, mine))
        setattr(cls, name, mine)


# The libraries


def _httpx(module: ModuleType) -> None:
    """A client chooses its transport for each request; proxies, custom and hidden ones are all among them."""

    def patch(cls: Any, *, asynchronous: bool) -> None:
        def make(before: Any) -> Any:
            def transport_for_url(self: Any, url: Any) -> Any:
                transport = before(self, url)
                if not _installed or isinstance(transport, Caching) or not possible(str(url)):
                    return transport
                return hook_httpx.transports(module.__name__)[asynchronous](_face, transport)

            return transport_for_url

        _replace(cls, "_transport_for_url", make)

    patch(module.Client, asynchronous=False)
    patch(module.AsyncClient, asynchronous=True)


class _Blocking:
    """As a switch, for libraries whose errors nobody translates."""

    @staticmethod
    def serving() -> Face | None:
        current = _installed
        return current[-1].bare if current else None


def _requests(module: ModuleType) -> None:
    """A session chooses its adapter for each request."""

    def make(before: Any) -> Any:
        def get_adapter(self: Any, url: Any) -> Any:
            adapter = before(self, url)
            return installed_adapter(_Blocking, adapter) if _installed and possible(str(url)) else adapter

        return get_adapter

    _replace(module.Session, "get_adapter", make)


def _botocore(module: ModuleType) -> None:
    """All clients of boto3 send with this class, unless they were made with another."""

    def make(before: Any) -> Any:
        def send(self: Any, request: Any) -> Any:
            return hook_botocore.send(_Blocking.serving(), functools.partial(before, self), request)

        return send

    _replace(module.URLLib3Session, "send", make)


def _genai(module: ModuleType) -> None:
    """google-genai prefers aiohttp for async calls wherever that is installed, as it is with us; httpx is beside it."""

    def make(before: Any) -> Any:
        def use_aiohttp(self: Any) -> Any:
            # Only where there is an httpx client to go to.
            return before(self) if not _installed or self._async_httpx_client is None else False

        return use_aiohttp

    if "_use_aiohttp" in vars(module.BaseApiClient):
        _replace(module.BaseApiClient, "_use_aiohttp", make)


_HOOKS: dict[str, Callable[[ModuleType], None]] = {
    "httpx": _httpx,
    "httpx2": _httpx,
    "requests": _requests,
    "botocore.httpsession": _botocore,
    "google.genai._api_client": _genai,
}
