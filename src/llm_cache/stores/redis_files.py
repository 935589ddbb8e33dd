"""Has a Redis write its files anew, so that nothing of what was replaced or removed stays in them. It reads no entry.

Its log holds every write since it was last written anew, its snapshot what was there when it was taken. Those of
replicas are theirs, and follow when they write them the next time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from llm_cache.errors import StoreError
from llm_cache.stores import redis_about

if TYPE_CHECKING:
    from llm_cache.stores.redis_client import Client

_PATIENCE_S = 600.0
_PAUSE_S = 0.05
_BUSY = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")


def renew(client: Client) -> int:
    """Have every server write anew what it keeps on its disk, and wait for it; by how much the logs are smaller.

    Raises:
        StoreError: one of them failed or is not allowed to.
    """
    return sum(_renewed(client, server) for server in redis_about.servers(client))


def _renewed(client: Client, server: redis_about.Server) -> int:
    before = _rested(client, server.name)
    if server.append_only:
        client.node(server.name, "BGREWRITEAOF")
    after = _rested(client, server.name)
    # Who does not tell whether it saves snapshots is asked for one.
    if server.snapshots is not False:
        client.node(server.name, "BGSAVE")
        after = _rested(client, server.name)
    for part in ("rdb_last_bgsave_status", "aof_last_bgrewrite_status"):
        if after.get(part, "ok") != "ok":
            raise StoreError(f"Redis at {server.name} could not write its files anew; its log says why")
    return max(0, int(before.get("aof_current_size", 0)) - int(after.get("aof_current_size", 0)))


def _rested(client: Client, name: str) -> dict[str, Any]:
    """What it says of its files, once it is not writing them."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        info: dict[str, Any] = client.node(name, "INFO", "persistence")
        if not any(int(info.get(part, 0)) for part in _BUSY):
            return info
        if time.monotonic() > deadline:
            raise StoreError(f"Redis at {name} did not come to an end with writing its files anew")
        time.sleep(_PAUSE_S)
