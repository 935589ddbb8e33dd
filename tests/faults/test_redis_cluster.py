"""A cluster that loses a master, fails over, or moves a slot: calls go on, and what was kept is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_cache import LLMCache
from llm_cache.errors import StoreError
from llm_cache.stores.base import EVERYTHING
from llm_cache.stores.redis import RedisStore
from llm_cache.stores.redis_rows import SHARDS, shard_of
from llm_cache.testing.contract import a_row
from tests.cli.conftest import COMMAND
from tests.faults.redis_faults import until
from tests.faults.test_redis_faults import plain, recovered, text, told
from tests.redis_servers import NODES, Server, cluster, cluster_info
from tests.runtime.staging import settled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
MANY = range(60)
"""Enough that every node has some."""


@pytest.fixture(scope="module")
def shared_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with cluster(tmp_path_factory.mktemp("cluster"), appendonly="yes", appendfsync="always") as nodes:
        yield nodes


@pytest.fixture
def nodes(shared_nodes: list[Server]) -> list[Server]:
    for node in shared_nodes:
        node.client().flushall()
    return shared_nodes


def url_of(nodes: list[Server]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def opened(nodes: list[Server]) -> LLMCache:
    return LLMCache(database_url=url_of(nodes), memory_mb=0, read_timeout_ms=500, write_timeout_ms=1000)


def doctor(nodes: list[Server]) -> dict[str, Any]:
    environ = {**os.environ, "LLMCACHE_DATABASE_URL": url_of(nodes), "LLMCACHE_READ_TIMEOUT_MS": "2000"}
    ran = subprocess.run(
        [COMMAND, "doctor", "--json"], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    assert ran.returncode == (0 if found["ok"] else 1)
    return found


def fill(cache: LLMCache) -> None:
    for number in MANY:
        assert plain(cache, number) == text(number)
    settled(cache.engine.ledger.flush)


def kept(cache: LLMCache) -> int:
    return sum(cache.get(f"key {number}") is not None for number in MANY)


def test_a_master_that_is_killed_costs_misses_until_it_is_back(
    nodes: list[Server], caplog: pytest.LogCaptureFixture
) -> None:
    """No replica takes its place, and the cluster serves nothing at all (`cluster-require-full-coverage`)."""
    with opened(nodes) as cache:
        fill(cache)
        nodes[1].kill()
        try:
            until(lambda: cluster_info(nodes[0])["cluster_state"] == "fail")
            began = time.monotonic()
            for number in [*MANY, *range(200, 220)]:
                assert plain(cache, number) == text(number)
            assert time.monotonic() - began < 40
            assert not doctor(nodes)["ok"]
        finally:
            nodes[1].start()
        until(lambda: all(cluster_info(node)["cluster_state"] == "ok" for node in nodes))
        recovered(cache)
        assert kept(cache) == len(MANY)
        assert cache.check() == []
        settled(cache.engine.ledger.flush)
        assert cache.stats().reasons["fail"]["get"] >= 20
    assert len(told(caplog)) <= 8


def test_a_node_that_hangs_is_not_waited_for_by_every_call(nodes: list[Server]) -> None:
    with opened(nodes) as cache:
        fill(cache)
        nodes[2].send(signal.SIGSTOP)
        try:
            began = time.monotonic()
            for number in [*MANY, *range(200, 240)]:
                assert plain(cache, number) == text(number)
            took_s = time.monotonic() - began
        finally:
            nodes[2].send(signal.SIGCONT)
        # Of a hundred calls each would else wait for a lookup, a lease and a write: 250 s.
        assert took_s < 50
        until(lambda: all(cluster_info(node)["cluster_state"] == "ok" for node in nodes))
        recovered(cache)
        assert kept(cache) == len(MANY)


def test_one_whose_first_node_is_gone_is_reached_by_another(nodes: list[Server]) -> None:
    gone = Server(nodes[0].folder / "nobody")
    with opened([gone, *nodes]) as cache:
        fill(cache)
        assert kept(cache) == len(MANY)


def test_a_slot_that_moves_away_under_calls(nodes: list[Server]) -> None:
    """Keys of a shard are here and there while it moves (ASK, TRYAGAIN), and then all there (MOVED)."""
    shard = SHARDS[0]
    slot = nodes[0].client().execute_command("CLUSTER", "KEYSLOT", shard.index)
    ids = [node.client().execute_command("CLUSTER", "MYID") for node in nodes]
    rows = [a_row(number) for number in range(2000) if shard_of(a_row(number).key) is shard][:30]
    client, store = nodes[0].client(), RedisStore(url_of(nodes), read_timeout_ms=2000, write_timeout_ms=5000)
    for row in rows:
        store.put(row)
    assert store.summary().entries == len(rows)
    refused: set[str] = set()
    nodes[1].client().execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    try:
        while keys := client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
            # What is looked up is found on whichever side it is; what cannot be done just now is an error of ours.
            assert all(store.get(row.key) == row._replace(hits=0) for row in rows)
            try:
                store.put(rows[0])
                store.summary()
            except StoreError as error:
                refused.add(str(error).partition(" moves ")[2])
            client.execute_command("MIGRATE", "127.0.0.1", nodes[1].port, "", 0, 5000, "KEYS", *keys)
    finally:
        for node in nodes[::-1]:
            node.client().execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    assert refused == {"what was asked for to another node just now"}
    assert all(store.get(row.key) == row._replace(hits=0) for row in rows)
    for row in rows:
        store.put(row._replace(value=b"new"))
    assert store.check() == []
    assert store.summary().entries == len(list(store.scan())) >= len(rows)
    # And back, so that the next test finds what it expects.
    store.remove(EVERYTHING)
    store.close()
    for node in nodes:
        node.client().flushall()
    for node in nodes:
        node.client().execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[0])


def test_doctor_looks_at_a_whole_cluster(nodes: list[Server]) -> None:
    with opened(nodes) as cache:
        fill(cache)
    found = doctor(nodes)
    assert found["ok"]
    told_of = [each["message"] for each in found["checks"] if each["name"] == "redis"]
    assert sum("answers in" in each for each in told_of) == NODES
    assert any("the cluster is whole and has 3 masters" in each for each in told_of)


def test_a_replica_takes_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with cluster(tmp_path / "nodes", replicas=True, cluster_node_timeout="4000") as nodes, opened(nodes) as cache:
        fill(cache)
        for node in nodes[:NODES]:
            node.client().wait(1, 5000)
        nodes[0].kill()
        # Calls go on while nobody has that third of the keys.
        for number in range(300, 320):
            assert plain(cache, number) == text(number)
        until(lambda: nodes[NODES].client().info("replication")["role"] == "master", 30)
        until(lambda: all(cluster_info(node)["cluster_state"] == "ok" for node in nodes[1:]), 30)
        recovered(cache)
        assert kept(cache) == len(MANY)
        for number in MANY:
            assert plain(cache, number) == text(number)
        # The old one comes back as a replica, and nobody notices.
        nodes[0].start()
        until(lambda: nodes[0].client().info("replication")["role"] == "slave", 30)
        recovered(cache)
        assert cache.check() == []
        # And a failover that somebody asks for, as when a machine is taken out of service.
        nodes[NODES + 1].client().execute_command("CLUSTER", "FAILOVER")
        until(lambda: nodes[NODES + 1].client().info("replication")["role"] == "master", 30)
        for number in MANY:
            assert plain(cache, number) == text(number)
        recovered(cache)
        assert kept(cache) == len(MANY)
        settled(cache.engine.ledger.flush)
        store = cache.engine.store
        listed = {row.key for row in store.scan()}
        there = {
            bytes.fromhex(name[-64:].decode())
            for node in nodes
            if node.client().info("replication")["role"] == "master"
            for name in node.client().scan_iter(match="*:entry:*", count=1000)
        }
        assert listed == there
        assert cache.stats().entries == len(there)
        for row in store.scan():
            cache.engine.codec.decode(row)
            cache.engine.codec.asked(row)
    told(caplog)


def test_the_first_connection_to_a_cluster_that_is_down(nodes: list[Server], caplog: pytest.LogCaptureFixture) -> None:
    for node in nodes:
        node.kill()
    try:
        with opened(nodes) as cache:
            began = time.monotonic()
            for number in range(20):
                assert plain(cache, number) == text(number)
            assert time.monotonic() - began < 20
            for node in nodes:
                node.start()
            until(lambda: all(cluster_info(node)["cluster_state"] == "ok" for node in nodes))
            recovered(cache)
    finally:
        for node in nodes:
            if node.process is None or node.process.poll() is not None:
                node.start()
    assert len(told(caplog)) <= 8
