from __future__ import annotations

from pathlib import Path

import pytest

from llm_cache.errors import ConfigError
from llm_cache.stores.memory import MemoryStore
from llm_cache.stores.redis import RedisStore
from llm_cache.stores.registry import kind_of, open_store
from llm_cache.stores.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///cache.db", "{cwd}/cache.db"),
        ("sqlite:///deep/er/cache.db", "{cwd}/deep/er/cache.db"),
        ("sqlite:////var/tmp/cache.db", "/var/tmp/cache.db"),
        ("sqlite:///~/cache.db", "{home}/cache.db"),
        ("~/cache.db", "{home}/cache.db"),
        ("cache.db", "{cwd}/cache.db"),
        ("/var/tmp/x y%20.db", "/var/tmp/x y%20.db"),
        ("C:cache.db", "{cwd}/C:cache.db"),
    ],
)
def test_urls_of_files(url: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    store = open_store(url)
    assert isinstance(store, SqliteStore)
    assert store.location() == place.format(cwd=tmp_path, home=tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", [":memory:", "sqlite://", "sqlite:///:memory:"])
def test_urls_of_memory(url: str) -> None:
    assert isinstance(open_store(url), MemoryStore)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://u:secret@h:1/5", "redis://h:1/5"),
        ("rediss://:secret@host?db=2", "rediss://host:6379/2"),
        ("redis://[::1]:7/0", "redis://[::1]:7/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("unix://:secret@/run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("redis+cluster://u:secret@h,i:7000", "redis+cluster://h:6379,i:7000"),
    ],
)
def test_urls_of_redis_open_nothing_and_show_no_password(url: str, place: str) -> None:
    assert kind_of(url).name == "redis"
    store = open_store(url)
    assert isinstance(store, RedisStore)
    assert store.location() == place


@pytest.mark.parametrize("url", ["", "  ", "postgres://u:secret@h/db", "sqlite://host/db", "://x", "SQLITE:///x"])
def test_what_is_no_url_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///relative") as raised:
        open_store(url)
    assert "secret" not in str(raised.value)
