"""Where a request for the dashboard comes from: this machine, its own page. It must not know what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llm_cache.proxy.dashboard.answers import Problem
from llm_cache.proxy.guard import is_loopback
from llm_cache.proxy.incoming import Raw

_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})


def same_site(headers: Iterable[Raw], *, writes: bool) -> None:
    """Keep data from pages of other origins, which a browser sends the same requests for.

    Raises:
        Problem: another page asks, or a change was not asked for by the dashboard's own script.
    """
    told = dict(headers)
    site = told.get(b"sec-fetch-site", b"same-origin")
    if site != b"same-origin" and (writes or site != b"none"):
        raise Problem(403, "Another page asks for this; only the dashboard's own may.")
    # A form can send neither, and a script of another origin only once it was allowed to, which nobody is.
    if writes and (
        told.get(b"x-llm-cache-dashboard") != b"1"
        or told.get(b"content-type", b"").partition(b";")[0].strip() != b"application/json"
    ):
        raise Problem(403, "A change needs the headers Content-Type: application/json and X-LLM-Cache-Dashboard: 1.")


def is_here(scope: Mapping[str, Any]) -> bool:
    """Whether the other end is on this machine, and no proxy speaks for somebody who is not."""
    client = scope.get("client")
    peer = str(client[0]) if client else ""
    headers = scope["headers"]
    if any(name in _FORWARDED for name, _ in headers):
        return False
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    return bool(peer) and is_loopback(peer) and all(is_loopback(host) for host in hosts)
