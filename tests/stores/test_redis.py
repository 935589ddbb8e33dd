"""What Redis does by itself: expiry and eviction, and that the index and the totals stay right all the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from llm_cache.errors import StoreBusy
from llm_cache.stores.base import EVERYTHING, Filter
from llm_cache.stores.redis import RedisStore
from llm_cache.stores.redis_rows import BATCH, SHARDS, TAGS, shard_of, shards_of
from llm_cache.testing.contract import a_row
from tests.redis_servers import Server, serving

SLOW_POLICIES = [
    pytest.param(policy, marks=pytest.mark.slow) for policy in ("allkeys-lfu", "volatile-ttl", "volatile-random")
]


@pytest.fixture
def store(redis_server: Server) -> Iterator[RedisStore]:
    store = RedisStore(redis_server.url, read_timeout_ms=5000, write_timeout_ms=5000)
    yield store
    store.close()


def name_of(number: int) -> str:
    key = a_row(number).key
    return shard_of(key).prefix + key.hex()


def test_the_shards_are_spread_evenly_over_a_clusters_slots() -> None:
    assert [key_slot(tag.encode()) // 512 for tag in TAGS] == list(range(32))


def test_all_of_a_shard_lies_in_one_slot() -> None:
    for shard in SHARDS:
        names = (*shard.names, shard.prefix + "x", shard.leases + "y")
        assert len({key_slot(name.encode()) for name in names}) == 1


@pytest.mark.parametrize("prefix", ["0", "7", "f", "00", "0f", "3a", "ff", "123"])
def test_a_prefix_names_the_shards_that_may_have_it(prefix: str) -> None:
    possible = {shard_of(bytes([first])) for first in range(256) if f"{first:02x}"[: len(prefix)] == prefix[:2]}
    assert set(shards_of(prefix)) == possible


def test_a_row_lives_as_long_as_it_may_be_served_and_no_longer(redis_server: Server) -> None:
    client, now = redis_server.client(), 1_000_000.0
    store = RedisStore(redis_server.url, keep_expired_s=50, clock=lambda: now)
    store.put(a_row(1, expires_at=now + 100))
    store.put(a_row(2, expires_at=None))
    store.put(a_row(3, expires_at=now - 5))
    # What expires by a clock that is far from Redis' own lives just as long; what has expired before it came, a while.
    assert 149_000 < client.pttl(name_of(1)) <= 150_000
    assert client.pttl(name_of(2)) == -1
    assert 109_000 < client.pttl(name_of(3)) <= 110_000
    store.put(a_row(1, expires_at=None))
    assert client.pttl(name_of(1)) == -1


def test_what_has_expired_leaves_no_trace(store: RedisStore, redis_server: Server) -> None:
    for number in range(20):
        store.put(a_row(number, model=f"m{number % 2}", expires_at=time.time() + (0.05 if number % 2 else 1000)))
    assert store.summary().entries == 20
    time.sleep(0.1)
    found = store.summary()
    assert (found.entries, found.models) == (10, ("m0",))
    assert found.size_bytes == sum(len(a_row(number).value) for number in range(0, 20, 2))
    assert len(list(store.scan())) == 10
    store.remove(EVERYTHING)
    left = {key for key in redis_server.client().scan_iter() if not key.endswith(b":generation")}
    assert left == set()


def test_writing_alone_keeps_the_index_from_outgrowing_the_entries(store: RedisStore, redis_server: Server) -> None:
    client = redis_server.client()
    for number in range(3000):
        store.put(a_row(number))
        client.delete(name_of(max(0, number - 100)))
    assert client.dbsize() - 5 * 32 <= 100
    indexed = sum(client.zcard(shard.index) for shard in SHARDS)
    assert indexed < 400


@pytest.mark.parametrize("policy", ["allkeys-random", "volatile-lru", *SLOW_POLICIES])
def test_totals_are_right_after_an_eviction(tmp_path: Path, policy: str) -> None:
    with serving(tmp_path, maxmemory="6mb", maxmemory_policy=policy) as server:
        store = RedisStore(server.url, write_timeout_ms=5000)
        for number in range(4000):
            store.put(a_row(number, value=bytes(3000), provider=f"p{number % 3}", expires_at=4e9))
        client = server.client()
        assert client.info("stats")["evicted_keys"] > 500
        # So that nothing more is evicted while we count.
        client.config_set("maxmemory", "100mb")
        there = {key for key in client.scan_iter(count=1000) if b":entry:" in key}
        found = store.summary()
        assert found.entries == len(there)
        assert found.size_bytes == 3000 * len(there)
        assert {row.key.hex().encode() for row in store.scan()} == {key[-64:] for key in there}
        assert store.check() == []
        assert store.remove(EVERYTHING) == len(there)
        assert not [key for key in client.scan_iter() if b":entry:" in key]


def test_totals_that_were_evicted_are_made_anew_also_where_their_number_is_right(
    store: RedisStore, redis_server: Server
) -> None:
    """As many come as there were, and others go: only that they began anew tells that they are of others."""
    first = a_row(0)
    same = [number for number in range(400) if shard_of(a_row(number).key) is shard_of(first.key)][:8]
    for number in same[:4]:
        store.put(a_row(number, provider="old"))
    redis_server.client().delete(shard_of(first.key).names[3], *(name_of(number) for number in same[:4]))
    for number in same[4:]:
        store.put(a_row(number, value=b"x" * 100, provider="new"))
    found = store.summary()
    assert (found.entries, found.size_bytes, found.providers) == (4, 400, ("new",))


@pytest.mark.parametrize("part", range(4))
def test_a_lost_part_of_the_index_is_made_anew(store: RedisStore, redis_server: Server, part: int) -> None:
    for number in range(200):
        store.put(a_row(number, model=f"m{number % 3}"))
    before = store.summary()
    for shard in SHARDS[::2]:
        redis_server.client().delete(shard.names[part])
    if part < 2:
        # Either of the two is made anew from the other; with both gone, only `check` finds the entries.
        redis_server.client().delete(*[shard.names[1 - part] for shard in SHARDS[:2]])
        assert store.check() == []
    assert store.summary() == before
    assert len(list(store.scan())) == 200


def test_hits_bring_a_lost_entry_back_into_the_index(store: RedisStore, redis_server: Server) -> None:
    store.put(a_row(1))
    redis_server.client().delete(*shard_of(a_row(1).key).names)
    assert list(store.scan()) == []
    store.touch({a_row(1).key: (1, 5.0)})
    assert [row.key for row in store.scan()] == [a_row(1).key]
    assert store.summary().entries == 1


def test_an_emptied_database_is_another_generation(store: RedisStore, redis_server: Server) -> None:
    before = store.generation()
    redis_server.client().flushall()
    other = RedisStore(redis_server.url)
    assert other.generation() != before


def test_an_emptied_database_gets_its_secrets_back_from_who_goes_on_using_them(redis_server: Server) -> None:
    """Else a host that begins later would take all callers for others than those who go on do."""
    now = 100.0
    running = RedisStore(redis_server.url, read_timeout_ms=5000, monotonic=lambda: now)
    secret = running.secret("scope")
    running.generation()
    redis_server.client().flushall()
    now += 1.0
    running.generation()
    later = RedisStore(redis_server.url, read_timeout_ms=5000)
    assert later.secret("scope") == secret
    assert running.secret("scope") == secret
    for store in (running, later):
        store.close()


def test_a_purge_elsewhere_is_seen_a_second_later_and_asked_for_once_a_second(redis_server: Server) -> None:
    now = 100.0
    store = RedisStore(redis_server.url, monotonic=lambda: now)
    other = RedisStore(redis_server.url)
    other.put(a_row(1))
    before = store.generation()
    other.remove(Filter(key_prefix=a_row(1).key.hex()))
    asked = redis_server.client().info("commandstats")["cmdstat_get"]["calls"]
    assert [store.generation() for _ in range(100)] == [before] * 100
    assert redis_server.client().info("commandstats")["cmdstat_get"]["calls"] == asked
    now += 1.0
    assert store.known_generation() is None
    assert store.generation() != before


def test_no_call_enumerates_keys(store: RedisStore, redis_server: Server) -> None:
    client = redis_server.client()
    client.config_resetstat()
    for number in range(50):
        store.put(a_row(number))
        store.get(a_row(number).key)
        store.generation()
    store.touch({a_row(1).key: (1, 5.0)})
    store.price([(a_row(1).key, a_row(1).created_at, 7)])
    store.add({("a",): {"x": 1}})
    list(store.scan())
    store.summary()
    store.remove(EVERYTHING)
    used = set(client.info("commandstats"))
    assert "cmdstat_evalsha" in used
    assert not used & {f"cmdstat_{name}" for name in ("keys", "scan", "hscan", "zscan", "hgetall_all", "randomkey")}


def test_one_lookup_is_one_command(store: RedisStore, redis_server: Server) -> None:
    client = redis_server.client()
    store.put(a_row(1))
    store.get(a_row(1).key)
    client.config_resetstat()
    store.get(a_row(1).key)
    used = client.info("commandstats")
    assert {name: used[name]["calls"] for name in used if "config" not in name} == {"cmdstat_hmget": 1}


def test_a_fork_speaks_over_connections_of_its_own(store: RedisStore) -> None:
    store.put(a_row(1))
    child = os.fork()
    if not child:
        code = 1
        try:
            for number in range(100, 200):
                store.put(a_row(number))
                assert store.get(a_row(number).key) == a_row(number)
            code = 0
        finally:
            os._exit(code)
    for number in range(2, 100):
        store.put(a_row(number))
        assert store.get(a_row(number).key) == a_row(number)
    assert os.waitpid(child, 0)[1] == 0
    assert store.summary().entries == 199


def test_a_script_that_the_server_has_forgotten_is_sent_again(store: RedisStore, redis_server: Server) -> None:
    store.put(a_row(1))
    redis_server.client().script_flush()
    store.put(a_row(2))
    assert store.summary().entries == 2
    redis_server.client().script_flush()
    assert store.summary().entries == 2


def test_what_is_not_ours_is_set_aside(store: RedisStore, redis_server: Server) -> None:
    client = redis_server.client()
    assert store.set_aside(1.0) is None
    client.set(SHARDS[3].index, "something else")
    assert [SHARDS[3].index in finding for finding in store.check()] == [True]
    moved = store.set_aside(1.0)
    assert moved == f"{SHARDS[3].index}:damaged-19700101T000001Z"
    assert client.get(moved) == b"something else"
    assert store.check() == []
    for number in range(50):
        store.put(a_row(number))
    assert store.summary().entries == 50


def test_rows_that_are_damaged_are_no_rows(store: RedisStore, redis_server: Server) -> None:
    client = redis_server.client()
    for number in range(5):
        store.put(a_row(number))
    client.hset(name_of(0), "c", b"\xc1garbage")
    client.hdel(name_of(1), "v")
    client.hset(name_of(2), "h", "many")
    client.hset(name_of(3), "v", "longer than it was")
    assert [store.get(a_row(number).key) for number in range(3)] == [None] * 3
    assert [row.key for row in store.scan()] == [a_row(4).key, a_row(3).key]
    assert any("not as long" in finding for finding in store.check())


def test_a_turned_bit_in_columns_harms_nobody_else(store: RedisStore, redis_server: Server) -> None:
    """Scripts about many entries come across one whose columns cannot be read, here or in the index, and go on."""
    client, row = redis_server.client(), a_row(0)
    neighbours = [number for number in range(600) if shard_of(a_row(number).key) is shard_of(row.key)][:10]
    columns = shard_of(row.key).names[1]
    store.put(row)
    whole = client.hget(name_of(0), "c")
    for place in range(0, len(whole), 4):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        for spoilt in (name_of(0), columns):
            client.flushall()
            for number in {0, *neighbours}:
                store.put(a_row(number))
            field = "c" if spoilt != columns else row.key.hex()
            client.hset(spoilt, field, bytes(broken))
            found = store.get(row.key)
            assert found is None or found.value == row.value
            store.touch({a_row(number).key: (1, 5.0) for number in {0, *neighbours}})
            store.price([(a_row(number).key, a_row(number).created_at, 7) for number in {0, *neighbours}])
            others = set(neighbours) - {0}
            assert {(store.get(a_row(n).key).hits, store.get(a_row(n).key).cost_pico) for n in others} == {(1, 7)}
            store.check()
            assert {row.key for row in store.scan()} >= {a_row(number).key for number in others}
            assert store.summary().entries >= len(others)
            store.put(row)
            assert store.get(row.key) == row._replace(hits=0, last_hit_at=None)
            assert store.check() == []
            assert store.summary().entries == len({0, *neighbours})


def test_hits_that_are_no_number_begin_anew(store: RedisStore, redis_server: Server) -> None:
    for number in range(2):
        store.put(a_row(number))
    redis_server.client().hset(name_of(0), mapping={"h": "many", "l": "long ago"})
    store.touch({a_row(number).key: (2, 5.0) for number in range(2)})
    assert [(store.get(a_row(number).key).hits, store.get(a_row(number).key).last_hit_at) for number in range(2)] == [
        (2, 5.0)
    ] * 2


def test_a_batch_is_added_once_also_when_it_was_done_without_an_answer(redis_server: Server) -> None:
    """A paused server does what has timed out when it comes to, and what was tried again after that."""
    store = RedisStore(redis_server.url, read_timeout_ms=200, write_timeout_ms=200)
    store.add({("a",): {"n": 1}}, ("me", 1))
    redis_server.send(signal.SIGSTOP)
    try:
        for _ in range(3):
            with pytest.raises(StoreBusy):
                store.add({("a",): {"n": 10, "pico": 2**70}}, ("me", 2))
    finally:
        redis_server.send(signal.SIGCONT)
    other = RedisStore(redis_server.url, read_timeout_ms=5000, write_timeout_ms=5000)
    for store in (other, RedisStore(redis_server.url, read_timeout_ms=5000, write_timeout_ms=5000)):
        store.add({("a",): {"n": 10, "pico": 2**70}}, ("me", 2))
    assert other.sums() == {("a",): {"n": 11, "pico": 2**70}}
    other.add({("a",): {"n": 100}}, ("me", 3))
    other.add({("a",): {"n": 1000}}, ("you", 1))
    other.add({("a",): {"n": 100}}, ("me", 3))
    assert other.sums()["a",]["n"] == 1111
    assert 3_000_000 < redis_server.client().pttl(BATCH + "me") <= 3_600_000


def test_one_entry_is_removed_without_a_walk_through_all(store: RedisStore, redis_server: Server) -> None:
    for number in range(300):
        store.put(a_row(number))
    client = redis_server.client()
    store.remove(Filter(key_prefix=a_row(0).key.hex()))
    client.config_resetstat()
    where = Filter(key_prefix=a_row(1).key.hex())
    assert [row.key for row in store.scan(where)] == [a_row(1).key]
    assert store.summary(where).entries == 1
    assert store.remove(Filter(key_prefix=a_row(1).key.hex(), created_before=a_row(1).created_at)) == 0
    assert store.remove(where) == 1
    assert store.remove(where) == 0
    stats = client.info("commandstats")
    assert stats["cmdstat_hget"]["calls"] < 40
    assert "cmdstat_zrange" not in stats
    assert store.summary().entries == 298


def test_its_files_hold_nothing_of_what_was_removed_once_they_are_written_anew(tmp_path: Path) -> None:
    given = {"appendonly": "yes", "save": "3600 1", "rdbcompression": "no"}
    with serving(tmp_path / "redis", **given) as server:
        store = RedisStore(server.url, read_timeout_ms=5000, write_timeout_ms=5000)
        store.put(a_row(1, value=b"the canary sings"))
        server.client().save()
        store.remove(EVERYTHING)
        files = [file for file in (tmp_path / "redis").rglob("*") if file.is_file()]
        assert any(b"the canary sings" in file.read_bytes() for file in files)
        assert store.compact() >= 0
        files = [file for file in (tmp_path / "redis").rglob("*") if file.is_file()]
        assert not any(b"the canary sings" in file.read_bytes() for file in files)
        store.close()
