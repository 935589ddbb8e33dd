from __future__ import annotations

from pathlib import Path

from llm_cache.stores.base import Backend
from llm_cache.stores.memory import MemoryStore
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.testing.contract import StoreContract


class TestMemory(StoreContract):
    def make_store(self, folder: Path) -> Backend:
        return MemoryStore()


class TestSqlite(StoreContract):
    persistent = True

    def make_store(self, folder: Path) -> Backend:
        return SqliteStore(folder / "cache.db")
