"""The store for many hosts: Redis or Valkey, one server or a cluster. It must not know what values mean.

An entry is a hash, looked up in one round trip. Redis removes it when it has expired, or when it is full. The index by
age and the totals, in `redis_index`, are for people and administration: no call reads them, and no key is ever searched
for by enumerating keys, save by repair.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from weakref import finalize

from llm_cache.errors import StoreError
from llm_cache.stores import base, redis_files, redis_rows as rows, redis_scripts as scripts
from llm_cache.stores.base import EVERYTHING, Filter, Row, Shrunk, Summary, hits_of
from llm_cache.stores.redis_client import Client, understood
from llm_cache.stores.redis_index import Index
from llm_cache.stores.redis_leases import RedisLeases
from llm_cache.stores.redis_rows import FIELDS, SEED, SHARDS, Shard, columns_of, row_of, shard_of
from llm_cache.stores.redis_url import address_of
from llm_cache.stores.registry import Opening

GENERATION_S = 1.0
"""How long a generation that was read may be believed: so soon a purge elsewhere is seen."""
LEAST_S = 60.0
"""How long a row stays that has expired before it came: an import, or a clock that is wrong."""
_BATCH = 256
PARTS = 2**20
"""A number below 1 has so many steps."""
_TRIES = 50
_MOST_MS = 10**15


class RedisStore:
    """Rows in Redis. Nothing is asked before the first use, and an unreachable server costs its deadline each time.

    Args:
        url: see `redis_url`.
        read_timeout_ms: the deadline of each round trip of a lookup, connecting included.
        write_timeout_ms: the deadline of each of all others.
        keep_expired_s: how long an expired row may still be of use, and stays.
        clock: seconds since the epoch, by which rows expire; Redis' own clock is never compared with it.
        monotonic: seconds, for how old a generation is.

    Raises:
        ConfigError: the URL is wrong.

    Attributes:
        address: what the URL means.
        writer: speaks to the servers with the deadline of all that is no lookup.
    """

    inline = False

    def __init__(
        self,
        url: str,
        *,
        read_timeout_ms: float = 100,
        write_timeout_ms: float = 2000,
        keep_expired_s: float = 0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address = address_of(url)
        # The cluster's client asks other nodes who has what when one fails, each with a deadline of its own.
        self.timely = not address.cluster
        self._reader = Client(address, read_timeout_ms / 1000)
        self.writer = Client(address, write_timeout_ms / 1000)
        self.writer.beside = self._reader
        self._index = Index(self.writer)
        self._leases = RedisLeases(self._reader, self.writer, base.LEASE_S)
        self._keep_expired_s = keep_expired_s
        self._clock = clock
        self._monotonic = monotonic
        self._secrets: dict[str, bytes] = {}
        self._generation = 0
        self._generation_until = 0.0
        finalize(self, _close, self._reader, self.writer).atexit = False

    def __str__(self) -> str:
        return f"Redis at {self.address.shown}"

    @property
    def leases(self) -> RedisLeases:
        """See `Backend`."""
        return self._leases

    @understood
    def get(self, key: bytes) -> Row | None:
        """See `Store`."""
        return row_of(key, self._reader.run("HMGET", shard_of(key).prefix + key.hex(), *FIELDS))

    def generation(self) -> int:
        """See `Watched`. What was read a second ago at most, unless this process has moved it."""
        known = self.known_generation()
        return self._read_generation() if known is None else known

    def known_generation(self) -> int | None:
        """The generation, if no server need be asked for it."""
        return self._generation if self._monotonic() < self._generation_until else None

    @understood
    def _read_generation(self) -> int:
        until = self._monotonic() + GENERATION_S
        found = self._reader.each(("GET", shard.generation) for shard in SHARDS)
        if found[0] is None:
            # Begins anywhere, so that a database that was emptied is not taken for what it was.
            try:
                self._reader.run("SET", SHARDS[0].generation, secrets.randbelow(SEED), "NX")
                found[0] = self._reader.run("GET", SHARDS[0].generation)
                # Emptied, then: what others go on using must not become another by the next who asks.
                for name, secret in self._secrets.items():
                    self._reader.run("HSETNX", rows.SECRETS, name, secret)
            except StoreError:
                until = 0.0  # a replica, or one that is full
        self._generation = sum(int(number or 0) for number in found)
        self._generation_until = until
        return self._generation

    @understood
    def put(self, row: Row) -> None:
        """See `Store`."""
        if self.writer.script(scripts.PUT, *self._put(row)):
            self._generation_until = 0.0

    @understood
    def load(self, rows: Sequence[Row]) -> None:
        """See `Loads`. One way to the server and back."""
        calls = [self._put(row) for row in rows]
        if calls and any(self.writer.scripts(scripts.PUT, calls)):
            self._generation_until = 0.0
        self.touch(hits_of(rows))

    def _put(self, row: Row) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """What the script that puts a row is called with."""
        columns = columns_of(row)
        shard, id_ = shard_of(row.key), row.key.hex()
        cost = "" if row.cost_pico is None else row.cost_pico
        # Where the script looks whether others are still there; and where a generation begins, should it have to.
        somewhere, seed = secrets.randbelow(PARTS) / PARTS, secrets.randbelow(SEED)
        arguments = (shard.prefix, id_, seed, columns, row.value, cost, self._ttl(row), somewhere)
        return (*shard.names, shard.prefix + id_), arguments

    def _ttl(self, row: Row) -> int | str:
        """How many milliseconds Redis keeps the row; empty for ever."""
        if row.expires_at is None:
            return ""
        left_s = row.expires_at - self._clock()
        left_s = (left_s if left_s > 0 else LEAST_S) + self._keep_expired_s
        return max(1, int(min(left_s * 1000, _MOST_MS)))

    def scan(self, where: Filter = EVERYTHING, limit: int | None = None) -> Iterator[Row]:
        """See `Store`."""
        rows = self._index.scan(where, limit)
        while (row := self._next(rows)) is not None:
            yield row

    @understood
    def _next(self, rows: Iterator[Row]) -> Row | None:
        return next(rows, None)

    @understood
    def remove(self, where: Filter) -> int:
        """See `Store`."""
        try:
            return self._index.remove(where)
        finally:
            self._generation_until = 0.0

    @understood
    def touch(self, hits: Mapping[bytes, tuple[int, float]]) -> None:
        """See `Store`."""
        self._update(scripts.TOUCH, ((key, (key.hex(), count, repr(at))) for key, (count, at) in hits.items()))

    @understood
    def price(self, costs: Iterable[tuple[bytes, float, int]]) -> None:
        """See `Maintenance`."""
        self._update(scripts.PRICE, ((key, (repr(created_at), cost)) for key, created_at, cost in costs))

    def _update(self, script: scripts.Script, updates: Iterable[tuple[bytes, tuple[Any, ...]]]) -> None:
        by_shard: dict[Shard, list[tuple[bytes, tuple[Any, ...]]]] = {}
        for key, arguments in updates:
            by_shard.setdefault(shard_of(key), []).append((key, arguments))
        calls = []
        for shard, wanted in by_shard.items():
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                keys = (*shard.names, *(shard.prefix + key.hex() for key, _ in batch))
                calls.append((keys, (shard.prefix, *(argument for _, arguments in batch for argument in arguments))))
        if calls:
            self.writer.scripts(script, calls)

    @understood
    def summary(self, where: Filter = EVERYTHING) -> Summary:
        """See `Store`."""
        return self._index.summary(where)

    def close(self) -> None:
        """See `Store`."""
        _close(self._reader, self.writer)
        self._generation_until = 0.0

    @understood
    def add(self, deltas: Mapping[tuple[str, ...], Mapping[str, int]], once: base.Once | None = None) -> None:
        """See `Counters`. Redis counts in 64 bits; what may not fit is added here, if nobody else has meanwhile."""
        amounts = {
            json.dumps([label, name]): amount for label, named in deltas.items() for name, amount in named.items()
        }
        if not amounts:
            return
        keys = (rows.SUMS,) if once is None else (rows.SUMS, rows.BATCH + once[0])
        number = 0 if once is None else once[1]
        flat = [part for name, amount in amounts.items() for part in (name, str(amount))]
        if self.writer.script(scripts.ADD, keys, (number, *flat)):
            return
        for _ in range(_TRIES):
            before = self.writer.run("HMGET", rows.SUMS, *amounts)
            changes: list[Any] = [number]
            for (name, amount), old in zip(amounts.items(), before, strict=True):
                total = int(old or 0) + amount
                changes += (name, old or b"", str(total) if total else b"")
            if self.writer.script(scripts.SWAP_ONCE, keys, changes):
                return
        raise StoreError(f"the sums in Redis at {self.address.shown} are changed by others all the time")

    @understood
    def sums(self) -> dict[tuple[str, ...], dict[str, int]]:
        """See `Counters`."""
        sums: dict[tuple[str, ...], dict[str, int]] = {}
        for field, amount in _pairs(self.writer.run("HGETALL", rows.SUMS)):
            try:
                label, name = json.loads(field)
                sums.setdefault(tuple(label), {})[name] = int(amount)
            except (ValueError, TypeError):
                continue  # nothing that we have written
        return sums

    @understood
    def jot(self, journal: str, lines: Sequence[bytes], most: int) -> None:
        """See `Journals`."""
        key = rows.JOURNAL + journal
        if not most:
            self.writer.run("DEL", key)
        elif lines:
            self.writer.each([("LPUSH", key, *lines), ("LTRIM", key, 0, most - 1)])

    @understood
    def jotted(self, journal: str, limit: int) -> list[bytes]:
        """See `Journals`."""
        if limit <= 0:
            return []
        found: list[bytes] = self.writer.run("LRANGE", rows.JOURNAL + journal, 0, limit - 1)
        return found

    @understood
    def secret(self, name: str) -> bytes:
        """See `Maintenance`."""
        found = self.writer.run("HGET", rows.SECRETS, name)
        if found is None:
            self.writer.run("HSETNX", rows.SECRETS, name, secrets.token_bytes(32))
            found = self.writer.run("HGET", rows.SECRETS, name)
        self._secrets[name] = bytes(found)
        return self._secrets[name]

    @understood
    def kept(self, name: str) -> bytes | None:
        """See `Maintenance`."""
        found: bytes | None = self.writer.run("HGET", rows.KEPT, name)
        return found

    @understood
    def keep(self, name: str, value: bytes | None, instead_of: bytes | None) -> bool:
        """See `Maintenance`."""
        keys = (rows.KEPT, SHARDS[0].generation)
        done: int = self.writer.script(scripts.SWAP, keys, (0, name, instead_of or b"", value or b""))
        self._generation_until = 0.0
        return done == 1

    @understood
    def check(self) -> list[str]:
        """See `Maintenance`. The index is mended on the way."""
        return self._index.check()

    @understood
    def set_aside(self, now: float) -> str | None:
        """See `Maintenance`. Renames those of our keys that are something else than what we make of them."""
        suffix = time.strftime(":damaged-%Y%m%dT%H%M%SZ", time.gmtime(now))
        return self._index.set_aside(suffix)

    def shrink(self, limit_bytes: int, now: float) -> Shrunk:
        """See `Maintenance`. Redis has a bound of its own (`maxmemory`)."""
        if self.writer.closed:
            raise StoreError(f"the store in {self.address.shown} is closed")
        return Shrunk()

    def compact(self) -> int:
        """See `Maintenance`. What is in memory takes the room that it needs; the files of the servers do not."""
        return redis_files.renew(self.writer)

    def location(self) -> str:
        """See `Maintenance`."""
        return self.address.shown


def opened(url: str, how: Opening) -> RedisStore:
    """The store in the Redis of that URL."""
    return RedisStore(url, **how._asdict())


def _close(*clients: Client) -> None:
    for client in clients:
        client.close()


def _pairs(found: Any) -> Iterator[tuple[Any, Any]]:
    """Fields and values of HGETALL, which redis-py makes a dict of, where it knows the command."""
    if isinstance(found, dict):
        yield from found.items()
    else:
        yield from zip(found[::2], found[1::2], strict=True)
