from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_cache.stores.base import Backend
from llm_cache.stores.memory import MemoryStore
from llm_cache.stores.redis import RedisStore
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract import StoreContract
from tests import redis_servers


class TestMemory(StoreContract):
    def make_store(self, folder: Path) -> Backend:
        return MemoryStore()


class TestSqlite(StoreContract):
    persistent = True

    def make_store(self, folder: Path) -> Backend:
        return SqliteStore(folder / "cache.db")


class TestRedis(StoreContract):
    persistent = True
    shrinks = False

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: redis_servers.Server) -> None:
        self.url = redis_server.url

    def make_store(self, folder: Path) -> Backend:
        return RedisStore(self.url, read_timeout_ms=5000, write_timeout_ms=20_000)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[redis_servers.Server]]:
    with redis_servers.cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.mark.slow
class TestRedisCluster(StoreContract):
    persistent = True
    shrinks = False

    @pytest.fixture(autouse=True)
    def _empty(self, nodes: list[redis_servers.Server]) -> None:
        for node in nodes:
            node.client().flushall()
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)

    def make_store(self, folder: Path) -> Backend:
        return RedisStore(self.url, read_timeout_ms=5000, write_timeout_ms=20_000)
