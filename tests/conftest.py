"""What all tests share: a home of their own, and no configuration from outside. It must not hold tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_cache.testing import FakeUpstream
from tests.redis_servers import Server, serving

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def pytest_collection_finish() -> None:
    """What is imported by now stays, and need not be looked through at each collection: with every SDK it is much."""
    # It asks the collector who holds what when it is imported, and is imported at the end of every run.
    import hypothesis  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the configuration or the cache of whoever runs it."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in list(os.environ):
        settings = name.startswith("LLMCACHE_") and name != "LLMCACHE_TEST_TRAFFIC"
        if settings or name in {"XDG_CONFIG_HOME", "XDG_CACHE_HOME", *_PROXIES}:
            monkeypatch.delenv(name)


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """A provider on loopback, started, with nothing to say yet."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def database(tmp_path: Path) -> str:
    """Where a test's cache is."""
    return str(tmp_path / "cache.db")


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis that all tests of this worker share; `redis_server` is how to ask for it."""
    with serving(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_process: Server) -> Server:
    """A Redis with nothing in it. It must be left running, with the settings that it has."""
    redis_process.client().flushall()
    return redis_process
