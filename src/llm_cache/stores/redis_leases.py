"""The right to fetch, among all that share a Redis: a key with a time to live for each fetch. It knows no entries."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING

from llm_cache.stores import redis_scripts
from llm_cache.stores.redis_client import understood
from llm_cache.stores.redis_rows import shard_of

if TYPE_CHECKING:
    from llm_cache.stores.redis_client import Client


class RedisLeases:
    """See `Leases`. Redis' own clock decides; `now` is not looked at.

    Args:
        lease_s: how long a lease lasts that nobody renews.
    """

    def __init__(self, reader: Client, writer: Client, lease_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._ms = max(1, int(lease_s * 1000))
        self._tokens: dict[int, bytes] = {}

    def __str__(self) -> str:
        return f"Redis at {self._reader.address.shown}"

    def _token(self) -> bytes:
        """Who this process is; a forked child is somebody else."""
        pid = os.getpid()
        token = self._tokens.get(pid)
        if token is None:
            self._tokens = {pid: secrets.token_hex(12).encode()}
            token = self._tokens[pid]
        return token

    @understood
    def take(self, key: bytes, now: float) -> bool:
        """See `Leases`."""
        taken = self._writer.run("SET", _name(key), self._token(), "NX", "PX", self._ms)
        return bool(taken) or not self.held(key, now)

    @understood
    def held(self, key: bytes, now: float) -> bool:
        """See `Leases`."""
        del now
        return self._reader.run("GET", _name(key)) not in {None, self._token()}

    @understood
    def renew(self, keys: Iterable[bytes], now: float) -> None:
        """See `Leases`."""
        del now
        for key in keys:
            self._writer.script(redis_scripts.RENEW, (_name(key),), (self._token(), self._ms))

    @understood
    def release(self, keys: Iterable[bytes]) -> None:
        """See `Leases`."""
        for key in keys:
            self._writer.script(redis_scripts.RELEASE, (_name(key),), (self._token(),))


def _name(key: bytes) -> str:
    return shard_of(key).leases + key.hex()
