"""What a Redis says of itself, as far as a cache depends on it. It must not judge, nor write anything.

Managed servers forbid CONFIG, so all of it comes from INFO, save what only CONFIG knows, which is then None.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_cache.errors import StoreError

if TYPE_CHECKING:
    from llm_cache.stores.redis_client import Client

_TURNS = 5
_VERSION = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Server:
    """One server.

    Attributes:
        name: where it is.
        program: `Redis` or `Valkey`.
        version: `7.2.5`; `numbers` are those of it.
        latency_ms: a round trip, the median of some.
        replica: whether it is one.
        in_cluster: whether it is a node of a cluster.
        memory_bytes, limit_bytes: what it uses and may use; 0 is no limit.
        policy: `maxmemory-policy`.
        append_only: whether it keeps a log of all writes.
        snapshots: whether it saves snapshots from time to time; None if it does not tell.
        saves: whether the latest snapshot and the latest write of its log worked.
        clients, most_clients: connections; 0 if it does not tell how many there may be.
    """

    name: str
    program: str
    version: str
    numbers: tuple[int, ...]
    latency_ms: float
    replica: bool
    in_cluster: bool
    memory_bytes: int
    limit_bytes: int
    policy: str
    append_only: bool
    snapshots: bool | None
    saves: bool
    clients: int
    most_clients: int


def servers(client: Client) -> list[Server]:
    """All that may be written to.

    Raises:
        StoreError: one of them failed.
    """
    answers = client.nodes("INFO")
    return [_server(client, name, info) for name, info in answers.items() if isinstance(info, dict)]


def cluster_faults(client: Client) -> str | None:
    """Why a cluster does not serve everything, None if it does.

    Raises:
        StoreError: it does not answer at all.
    """
    for name in client.nodes("PING"):
        answer = client.node(name, "CLUSTER", "INFO")
        told = answer if isinstance(answer, dict) else dict(line.split(":", 1) for line in answer.decode().split())
        if told.get("cluster_state") != "ok":
            return f"of 16384 slots {told.get('cluster_slots_ok', '0')} are served, as {name} knows it"
    return None


def _server(client: Client, name: str, info: Mapping[str, Any]) -> Server:
    latencies = []
    for _ in range(_TURNS):
        began = time.perf_counter()
        client.node(name, "PING")
        latencies.append((time.perf_counter() - began) * 1000)
    valkey = info.get("valkey_version")
    version = str(valkey or info.get("redis_version") or "0")
    return Server(
        name,
        "Valkey" if valkey else "Redis",
        version,
        tuple(int(number) for number in _VERSION.findall(version)[:3]),
        sorted(latencies)[_TURNS // 2],
        info.get("role") != "master",
        bool(int(info.get("cluster_enabled", 0))),
        int(info.get("used_memory", 0)),
        int(info.get("maxmemory", 0)),
        str(info.get("maxmemory_policy", "noeviction")),
        bool(int(info.get("aof_enabled", 0))),
        _snapshots(client, name),
        info.get("rdb_last_bgsave_status", "ok") == "ok" == info.get("aof_last_write_status", "ok"),
        int(info.get("connected_clients", 0)),
        int(info.get("maxclients", 0)),
    )


def _snapshots(client: Client, name: str) -> bool | None:
    try:
        found = client.node(name, "CONFIG", "GET", "save")
    except StoreError:
        return None
    save = found.get("save", found.get(b"save")) if isinstance(found, dict) else found[1]
    return bool(save)
