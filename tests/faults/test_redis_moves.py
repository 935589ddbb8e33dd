"""A name that means another server by now, and connections that somebody has closed: nobody has to restart anything."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from llm_cache.stores.redis import RedisStore
from llm_cache.testing.contract import a_row
from tests.faults.redis_faults import Cable, until
from tests.faults.test_redis_faults import filled, plain, recovered, text, told
from tests.redis_servers import Server, serving


def test_a_failover_behind_one_name(server: Server, cable: Cable, tmp_path: Path) -> None:
    """As managed services do it: the old master becomes a replica, and keeps its connections; the name leads on."""
    with filled(cable) as cache, serving(tmp_path / "other", replicaof=f"127.0.0.1 {server.port}") as other:
        until(lambda: other.client().info("replication")["master_link_status"] == "up")
        other.client().execute_command("REPLICAOF", "NO", "ONE")
        server.client().execute_command("REPLICAOF", "127.0.0.1", other.port)
        cable.far = other.port
        try:
            recovered(cache)
            for number in range(3):
                assert plain(cache, number) == text(number)
            assert cache.engine.access.healthy
            kept = {row.key for row in cache.engine.store.scan()}
            with_all = RedisStore(other.url, read_timeout_ms=5000, write_timeout_ms=5000)
            assert {row.key for row in with_all.scan()} == kept
            with_all.close()
        finally:
            cable.cut()
            server.client().execute_command("REPLICAOF", "NO", "ONE")


def test_a_server_that_closes_what_is_idle_costs_nothing(
    server: Server, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    with filled(cable, read_timeout_ms=5000, write_timeout_ms=5000) as cache:
        for _ in range(3):
            server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.05)
            assert plain(cache, 1) == text(1)
            cache.engine.store.put(a_row(7))
        assert cache.engine.ledger.flush()
        assert cache.stats().reasons.get("fail", {}) == {}
    assert told(caplog) == []
