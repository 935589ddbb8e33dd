"""Looks at many entries in Redis: scanning, summing up and removing by the index, and mending it. No call comes here.

Redis removes entries without a word, so the index may name some that are gone. What has expired is known by its time;
that Redis was full and evicted something, its own count tells. The index itself may be evicted where the policy allows
that (`allkeys-…`): then entries are looked for, which takes a walk over all keys of the database.
"""

from __future__ import annotations

import contextlib
import heapq
import secrets
import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_cache.core.model import Row
from llm_cache.errors import StoreError
from llm_cache.stores import redis_rows, redis_scripts
from llm_cache.stores.base import EVERYTHING, Filter, Summary
from llm_cache.stores.redis_rows import FIELDS, ID, SEED, SHARDS, Shard, bare_row, row_of, shards_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_cache.stores.redis_client import Client

PAGE = 128
"""Index entries of one shard that are read at once."""
_FETCHED, _FETCHED_BYTES = 64, 4 << 20
"""How many entries are read at once, and how many bytes: values may be large."""
_BATCH = 200
_REST = 10
"""After mending, nobody begins again for that many times as long as it took."""
_FAR = float("inf")


class Found(NamedTuple):
    """What the index knows of an entry; sorts newest first, then by key."""

    age: float
    id: str
    row: Row
    size: int
    columns: bytes
    shard: Shard


def _names_one(where: Filter) -> bool:
    return where.key_prefix is not None and len(where.key_prefix) == ID


class Index:
    """The index of all shards."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._evicted: dict[str, str] = {}
        self._rest_until = 0.0

    # --- looking ---------------------------------------------------------------------------

    def scan(self, where: Filter, limit: int | None) -> Iterator[Row]:
        """Rows newest first. What is gone is passed over, and forgotten."""
        self.mend()
        left = _FAR if limit is None else limit
        found = self._found(where)
        while left > 0:
            batch = self._batch(found, left)
            if not batch:
                return
            rows = self._client.each(("HMGET", each.shard.prefix + each.id, *FIELDS) for each in batch)
            gone = []
            for each, fields in zip(batch, rows, strict=True):
                row = row_of(each.row.key, fields)
                if row is None:
                    gone.append(each)
                elif row.created_at == each.row.created_at and where.matches(row):
                    yield row
                    left -= 1
            self._forget(gone)

    @staticmethod
    def _batch(found: Iterator[Found], left: float) -> list[Found]:
        batch, size = [], 0
        for each in islice(found, int(min(left, _FETCHED))):
            batch.append(each)
            size += each.size
            if size > _FETCHED_BYTES:
                break
        return batch

    def summary(self, where: Filter) -> Summary:
        """Totals of what matches."""
        self.mend()
        if where == EVERYTHING:
            return self._totals()
        count, size, providers, models = 0, 0, set(), set()
        for shard in shards_of(where.key_prefix):
            for page in self._pages(shard, where):
                # Only of what is there: the index may be behind.
                there = self._client.each(("EXISTS", shard.prefix + each.id) for each in page)
                self._forget([each for each, exists in zip(page, there, strict=True) if not exists])
                for each in (each for each, exists in zip(page, there, strict=True) if exists):
                    count, size = count + 1, size + each.size
                    providers.add(each.row.provider)
                    models.add(each.row.model)
        return Summary(count, size, tuple(sorted(providers)), tuple(sorted(models)))

    def _totals(self) -> Summary:
        count, size, providers, models = 0, 0, set(), set()
        for answer in self._sound_totals():
            totals = dict(zip(answer[3][::2], answer[3][1::2], strict=True))
            count += int(totals.get(b"n", 0))
            size += int(totals.get(b"s", 0))
            providers |= {name[1:].decode("utf-8", "replace") for name in totals if name.startswith(b"p")}
            models |= {name[1:].decode("utf-8", "replace") for name in totals if name.startswith(b"m")}
        return Summary(count, size, tuple(sorted(providers)), tuple(sorted(models)))

    def _sound_totals(self) -> list[Any]:
        answers = self._ask_totals(SHARDS)
        for number, (shard, answer) in enumerate(zip(SHARDS, answers, strict=True)):
            # On a replica nothing can be mended, and what it says has to do.
            with contextlib.suppress(StoreError):
                if self._mend_shard(shard, answer):
                    answers[number] = self._ask_totals([shard])[0]
        return answers

    def _ask_totals(self, shards: Sequence[Shard]) -> list[Any]:
        return self._client.scripts(redis_scripts.TOTALS, [(shard.names, (shard.prefix,)) for shard in shards])

    def remove(self, where: Filter) -> int:
        """Removes what matches."""
        if not _names_one(where):
            self.mend(thoroughly=True)
        removed = 0
        for shard in shards_of(where.key_prefix):
            for page in self._pages(shard, where):
                keys = (*shard.names, *(shard.prefix + each.id for each in page))
                arguments: list[Any] = [shard.prefix, secrets.randbelow(SEED)]
                for each in page:
                    arguments += (each.id, each.columns)
                removed += self._client.script(redis_scripts.REMOVE, keys, arguments)
        return removed

    def _found(self, where: Filter) -> Iterator[Found]:
        """What matches by the index, of all shards, newest first."""
        shards = shards_of(where.key_prefix)
        return heapq.merge(*((each for page in self._pages(shard, where) for each in page) for shard in shards))

    def _pages(self, shard: Shard, where: Filter) -> Iterator[list[Found]]:
        """What matches by the index of one shard, a page at a time, newest first."""
        if _names_one(where):
            yield from self._one(shard, where)
            return
        before = where.created_before
        # A score is the age, negative for what is after 1970: the newest have the lowest.
        score, after = "-inf" if before is None else repr(-before), ""
        if before is not None:
            after = "g"  # after every id of that instant, as the bound is exclusive
        while True:
            answer = self._client.script(redis_scripts.PAGE, shard.names, (shard.prefix, score, after, PAGE))
            page, dead = [], []
            for id_, age, columns in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
                score, after = age.decode(), id_.decode()
                bare = None if columns is None else bare_row(bytes.fromhex(after), columns)
                if bare is None or len(after) != ID:
                    dead.append(after)
                    continue
                if where.created_since is not None and -float(score) < where.created_since:
                    break
                row, size = bare
                if where.matches(row):
                    page.append(Found(float(score), after, row, size, columns, shard))
            with contextlib.suppress(StoreError):  # a replica is left as it is
                self._mend_ids(shard, dead)
            if page:
                yield page
            if len(answer) < 3 * PAGE or (where.created_since is not None and -float(score) < where.created_since):
                return

    def _one(self, shard: Shard, where: Filter) -> Iterator[list[Found]]:
        """The same of the one entry that is named, which need not be looked for."""
        id_ = where.key_prefix or ""
        columns = self._client.run("HGET", shard.prefix + id_, "c")
        bare = None if columns is None else bare_row(bytes.fromhex(id_), columns)
        if bare is None:
            with contextlib.suppress(StoreError):
                self._mend_ids(shard, [id_])
        elif where.matches(bare[0]):
            yield [Found(-bare[0].created_at, id_, *bare, columns, shard)]

    # --- mending -----------------------------------------------------------------------------

    def mend(self, *, thoroughly: bool = False) -> None:
        """Take out of the index what Redis has evicted since the last look, and find what it does not name.

        A large store is not looked through all the time, unless `thoroughly`. A server that may not be written to is
        left as it is.
        """
        now = time.monotonic()
        if now < self._rest_until and not thoroughly:
            return
        evicted, walk = self._evictions()
        if evicted == self._evicted:
            return
        with contextlib.suppress(StoreError):
            for shard in SHARDS:
                self._mend_all(shard)
            if walk:
                self._find_orphans()
            self._evicted = evicted
        ended = time.monotonic()
        self._rest_until = ended + _REST * (ended - now)

    def _evictions(self) -> tuple[dict[str, str], bool]:
        """Each server's own count of what it has evicted, if any; and whether that may be anything."""
        evicted, anything = {}, False
        for name, answer in self._client.nodes("INFO").items():
            about = answer if isinstance(answer, dict) else {}
            if int(about.get("evicted_keys", 0)):
                evicted[name] = f"{about.get('run_id')}:{about['evicted_keys']}"
                anything = anything or str(about.get("maxmemory_policy", "")).startswith("allkeys")
        return evicted, anything

    def _mend_all(self, shard: Shard) -> None:
        for page in self._pages(shard, EVERYTHING):
            self._mend_ids(shard, [each.id for each in page])
        self._mend_shard(shard, self._ask_totals([shard])[0])

    def _mend_shard(self, shard: Shard, answer: Any) -> bool:
        """Take out what has expired, and see that index, columns and totals are of one mind; whether they were not."""
        due, indexed, described, flat = answer
        totals = dict(zip(flat[::2], flat[1::2], strict=True))
        counted = int(totals.get(b"n", 0))
        if not due and indexed == described == counted and b"x" not in totals:
            return False
        while due and self._client.script(redis_scripts.SWEEP, shard.names, (shard.prefix, _BATCH)) == _BATCH:
            pass
        if indexed != described:
            # One of them was evicted: each is made anew from the other.
            for page in self._pages(shard, EVERYTHING):
                self._mend_ids(shard, [each.id for each in page])
            for ids in self._ids("HSCAN", shard.names[1]):
                self._mend_ids(shard, ids)
        if not due or indexed != described or b"x" in totals:
            self._client.script(redis_scripts.RECOUNT, shard.names, (shard.prefix,))
        return True

    def _ids(self, command: str, key: str) -> Iterator[list[str]]:
        cursor: Any = 0
        while True:
            cursor, found = self._client.run(command, key, cursor, "COUNT", _BATCH)
            yield [name.decode() for name in found]
            if not int(cursor):
                return

    def _mend_ids(self, shard: Shard, ids: Sequence[str]) -> None:
        if ids:
            self._client.script(redis_scripts.MEND, shard.names, (shard.prefix, *ids))

    def _forget(self, gone: Sequence[Found]) -> None:
        with contextlib.suppress(StoreError):
            for each in gone:
                self._mend_ids(each.shard, [each.id])

    def _find_orphans(self) -> None:
        """Enter entries that the index does not name."""
        by_prefix = {shard.prefix: shard for shard in SHARDS}
        for name in self._client.nodes("PING"):
            cursor: Any = 0
            while True:
                cursor, found = self._client.node(
                    name, "SCAN", cursor, "MATCH", f"{redis_rows.PREFIX}:*:entry:*", "COUNT", 1000
                )
                ids: dict[Shard, list[str]] = {}
                for key in found:
                    text = key.decode("ascii", "replace")
                    shard = by_prefix.get(text[:-ID])
                    if shard is not None:
                        ids.setdefault(shard, []).append(text[-ID:])
                for shard, theirs in ids.items():
                    self._mend_ids(shard, theirs)
                if not int(cursor):
                    break

    # --- looking for damage --------------------------------------------------------------------

    def check(self) -> list[str]:
        """Mends the index as a whole, and says which entries are not what they should be."""
        place = self._client.address.shown
        foreign = [
            f"The key {key} in Redis at {place} is a {kind}, which is not ours." for key, kind in self._foreign()
        ]
        if foreign:
            return foreign
        with contextlib.suppress(StoreError):
            self._find_orphans()
            for shard in SHARDS:
                self._mend_all(shard)
        odd = 0
        for shard in SHARDS:
            for page in self._pages(shard, EVERYTHING):
                sizes = self._client.each(("HSTRLEN", shard.prefix + each.id, "v") for each in page)
                there = self._client.each(("EXISTS", shard.prefix + each.id) for each in page)
                odd += sum(
                    bool(exists) and size != each.size for each, size, exists in zip(page, sizes, there, strict=True)
                )
        return [f"{odd} entries in Redis at {place} are not as long as they say."] if odd else []

    def set_aside(self, suffix: str) -> str | None:
        """Rename what is not ours; one of the new names."""
        moved = None
        for key, _ in self._foreign():
            moved = key + suffix
            self._client.run("RENAME", key, moved)
        return moved

    def _foreign(self) -> list[tuple[str, str]]:
        """Those of our keys that somebody has made something else of."""
        kinds = ("zset", "hash", "zset", "hash", "string")
        wanted = [(key, kind) for shard in SHARDS for key, kind in zip(shard.names, kinds, strict=True)]
        wanted += [(key, "hash") for key in (redis_rows.SUMS, redis_rows.SECRETS, redis_rows.KEPT)]
        found = self._client.each(("TYPE", key) for key, _ in wanted)
        texts = [kind.decode() if isinstance(kind, bytes) else str(kind) for kind in found]
        return [(key, kind) for (key, right), kind in zip(wanted, texts, strict=True) if kind not in {right, "none"}]
