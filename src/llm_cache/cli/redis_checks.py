"""What `llm-cache doctor` looks at in Redis: what it is, and how it is set up. It must not change anything there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm_cache.cli.checks import Finding
from llm_cache.stores import redis_about

if TYPE_CHECKING:
    from llm_cache.config import Settings
    from llm_cache.stores.redis import RedisStore
    from llm_cache.stores.redis_about import Server

_LEAST = (4, 0)
"""Before it, HSET takes one field and there is no UNLINK."""
_TESTED = (6, 2)
_NEAR = 0.9
_ROUND_TRIPS = 3
"""A lookup takes one, now and then two, and a busy moment is to be survived."""
MEGABYTE = 1024 * 1024


def redis(store: RedisStore, settings: Settings) -> Iterator[Finding]:
    """Whether these servers are fit for a cache.

    Raises:
        StoreError: one of them does not answer.
    """
    found = redis_about.servers(store.writer)
    for server in found:
        yield from _fitness(server, settings)
        yield from _memory(server, sealed=settings.enable_encryption)
        yield _persistence(server)
        if server.most_clients and server.clients > _NEAR * server.most_clients:
            near = f"{server.name} has {server.clients} of {server.most_clients} clients: raise maxclients"
            yield Finding("redis", "warning", near)
    if not store.address.cluster and any(server.in_cluster for server in found):
        wrong = (
            "is a node of a cluster, of which this URL reaches a part: write redis+cluster:// (or rediss+cluster://)"
        )
        yield Finding("redis", "failure", f"{store.address.shown} {wrong}")
    elif store.address.cluster:
        fault = redis_about.cluster_faults(store.writer)
        told = f"the cluster is whole and has {len(found)} masters" if fault is None else f"the cluster is not: {fault}"
        yield Finding("redis", "ok" if fault is None else "failure", told)
    yield from _openness(store)


def _fitness(server: Server, settings: Settings) -> Iterator[Finding]:
    what = f"{server.program} {server.version} at {server.name}"
    if server.program == "Redis" and server.numbers < _LEAST:
        yield Finding("redis", "failure", f"{what} is too old: the cache needs 4.0, and is tested with 6.2 and newer")
        return
    if server.program == "Redis" and server.numbers < _TESTED:
        yield Finding("redis", "warning", f"{what} is older than 6.2, with which the cache is tested")
    if server.replica:
        yield Finding("redis", "failure", f"{what} is a replica, where nothing can be kept: name its master")
    patience = settings.read_timeout_ms
    told = f"{what} answers in {server.latency_ms:.1f} ms"
    if server.latency_ms * _ROUND_TRIPS > patience:
        told += f", and a lookup gives up after {patience:g} ms (read_timeout_ms): come nearer to it, or raise that"
        yield Finding("redis", "warning", told)
    else:
        yield Finding("redis", "ok", told)


def _memory(server: Server, *, sealed: bool) -> Iterator[Finding]:
    used, limit = server.memory_bytes / MEGABYTE, server.limit_bytes / MEGABYTE
    room = f"{server.name} uses {used:,.0f} of {limit:,.0f} MB (maxmemory)"
    if not server.limit_bytes:
        none = f"{server.name} has no maxmemory, so that it grows until the machine has none left: set one, with"
        yield Finding("redis", "warning", f"{none} maxmemory-policy volatile-lru")
    elif server.policy == "noeviction":
        full = server.memory_bytes >= server.limit_bytes
        then = "is full, and keeps nothing new" if full else "will keep nothing new once it is full"
        advice = f"{room} and {then}: set maxmemory-policy volatile-lru"
        yield Finding("redis", "failure" if full else "warning", advice)
    elif server.policy.startswith("allkeys"):
        more = ", and the keys of encrypted entries" if sealed else ""
        advice = f"{room} and may evict the account{more} together with entries ({server.policy})"
        yield Finding("redis", "warning", f"{advice}: maxmemory-policy {server.policy.replace('allkeys', 'volatile')}")
    else:
        yield Finding("redis", "ok", f"{room} and evicts entries alone ({server.policy})")


def _persistence(server: Server) -> Finding:
    name = server.name
    if not server.saves:
        return Finding("redis", "failure", f"{name} could not save to its disk the last time, and may refuse writes")
    if server.append_only:
        return Finding("redis", "ok", f"{name} keeps a log of all writes (appendonly)")
    if server.snapshots is False:
        lost = f"{name} keeps nothing on its disk, so that a restart empties cache and account: set appendonly yes"
        return Finding("redis", "warning", lost)
    since = "what came after the latest is gone after a crash, unless you set appendonly yes"
    return Finding("redis", "ok", f"{name} saves snapshots; {since}")


def _openness(store: RedisStore) -> Iterator[Finding]:
    """Whether others can read what goes to a server elsewhere."""
    address = store.address
    away = sorted({host for host, _ in address.hosts if not _here(host)})
    if not away:
        return
    if not address.tls:
        clear = f"what is sent to {', '.join(away)} is not encrypted on its way: rediss:// is, if the server has TLS"
        yield Finding("redis", "warning", clear)
    if "password" not in address.options:
        anyone = f"whoever reaches {', '.join(away)} may read every prompt: give it a password (requirepass, or ACL)"
        yield Finding("redis", "warning", anyone)


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
