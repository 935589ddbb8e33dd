"""The way in from HTTP: `llm-cache serve`. It must not decide what is kept or served; the core's plan does.

`create_app` is public, for applications that have the proxy inside of them; the rest is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache
    from llm_cache.proxy.app import Proxy

__all__ = ["create_app"]


def create_app(cache: LLMCache) -> Proxy:
    """The proxy as an ASGI application, to be mounted in another; the cache's settings are its own.

    Whoever mounts it awaits `start()` before the first request and `close()` at the end, since an application inside of
    another is not told when that begins and ends; the cache is closed by whoever has made it.

    Args:
        cache: what is behind it. `LLMCache(proxy_scope="shared")` answers everybody from the same entries, also from
            those that the library has made.
    """
    # `llm-cache run` and `serve` pass by here, and have other things to do first.
    from llm_cache.proxy.app import create_app as make

    return make(cache)
