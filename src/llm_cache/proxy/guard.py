"""Keeps web pages out: whom a request says it is for, and which page sent it. It must not know what is asked.

A browser can be made to send requests here by any page it shows. A page cannot choose `Host` (a name that was bound
anew to our address keeps its own), and cannot leave out `Origin` where it could do harm.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

from llm_cache.proxy.incoming import Incoming
from llm_cache.proxy.refusal import Refusal

_MOST_KNOWN = 256


class Guard:
    """Checks `Host` and `Origin`.

    Args:
        bound: the host name or address that the proxy listens on.
        allowed: further names, with or without a port.
    """

    def __init__(self, bound: str, allowed: Collection[str]) -> None:
        self.private = is_loopback(bound)
        """Whether only this machine can reach the proxy."""
        self._names = {"localhost", bound.lower(), *(name.lower() for name in allowed)}
        self._known: set[bytes] = set()

    def check(self, incoming: Incoming, *, known: bool = False) -> None:
        """Pass the request, or refuse it.

        Args:
            incoming: the request.
            known: whether it has shown a token, which no page has: then any name will do.

        Raises:
            Refusal: it is meant for somebody else, or a foreign page sent it.
        """
        hosts = incoming.hosts
        if len(hosts) != 1:
            # HTTP/1.0 has no Host and no browser speaks it.
            if hosts or not incoming.old:
                raise Refusal(400, "bad_host", "The request must have exactly one Host header.")
        elif not known and hosts[0] not in self._known:
            self._admit(hosts[0])
        if incoming.origin is not None:
            own = hosts[0].decode("latin-1").lower() if hosts else ""
            if incoming.origin.partition("://")[2].lower() != own or not own:
                raise Refusal(
                    403,
                    "foreign_origin",
                    "The request was sent by a web page of another origin, which this proxy does not serve.",
                )

    def _admit(self, host: bytes) -> None:
        text = host.decode("latin-1").lower()
        name = name_of(text)
        fine = (
            name in self._names
            or text in self._names
            or name.endswith(".localhost")  # RFC 6761, 6.3: all of `localhost` is loopback
            or is_address(name)
        )
        if not fine:
            raise Refusal(
                403,
                "unknown_host",
                "The request's Host is none of this proxy's names: add it to proxy_allowed_hosts"
                " (LLMCACHE_PROXY_ALLOWED_HOSTS) if it is.",
            )
        if len(self._known) < _MOST_KNOWN:
            self._known.add(host)


def name_of(host: str) -> str:
    """The name or address in `host[:port]`, IPv6 without its brackets, without a root dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".") if host.count(":") <= 1 else host


def is_address(name: str) -> bool:
    """Whether it is the literal of an IP address, which no name server can bind to another."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether only this machine can reach a server at that `host[:port]`."""
    host = name_of(name).lower()
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
