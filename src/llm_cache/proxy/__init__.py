"""The way in from HTTP: `llm-cache serve`. It must not decide what is kept or served; the core's plan does.

`create_app` is public, for applications that have the proxy inside of them; the rest is ours. It is imported when it
is first used: `llm-cache run` and `serve` have other things to do before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_cache.proxy.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> object:
    if name == "create_app":
        from llm_cache.proxy.app import create_app

        globals()[name] = create_app
        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
