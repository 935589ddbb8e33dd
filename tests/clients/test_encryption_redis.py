"""Promise 7 on Redis: no key and no value there tells a prompt, an answer, or a digest that confirms a guess at one."""

from __future__ import annotations

from typing import Any

import pytest

from llm_cache import LLMCache
from llm_cache.clients.rekeying import Rekeying
from llm_cache.codec import ring
from llm_cache.errors import ConfigError
from tests.clients.test_encryption import ANSWER, CANARY, TELL_TALES, ask
from tests.redis_servers import Server


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "LOG2_N", 4)


def opened(server: Server, key: str | None = "secret") -> LLMCache:
    return LLMCache(
        database_url=server.url,
        enable_encryption=key is not None,
        encryption_key=key,
        read_timeout_ms=5000,
        write_timeout_ms=5000,
    )


def everything(server: Server) -> bytes:
    """Every key and every value, as they are and not as Redis packs them."""
    client, found = server.client(), []
    for name in client.scan_iter(count=1000):
        kind = client.type(name)
        reads: dict[bytes, Any] = {
            b"string": lambda name=name: client.get(name),
            b"hash": lambda name=name: client.hgetall(name),
            b"list": lambda name=name: client.lrange(name, 0, -1),
            b"set": lambda name=name: client.smembers(name),
            b"zset": lambda name=name: client.zrange(name, 0, -1),
        }
        found += [name, *_flat(reads[kind]())]
    return b"\n".join(found)


def _flat(value: Any) -> list[bytes]:
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    return [value] if isinstance(value, bytes) else list(value)


def assert_silent(server: Server) -> None:
    found = everything(server)
    assert b"gpt-4" in found
    for secret in TELL_TALES:
        assert secret not in found, secret


def test_nothing_can_be_read_there(redis_server: Server) -> None:
    with opened(redis_server) as cache:
        for name in (None, CANARY, "x"):
            assert ask(cache, name) == (ANSWER, True)
            assert ask(cache, name) == (ANSWER, False)
        cache.delete(CANARY)
        cache.stats()
        assert_silent(redis_server)
    assert_silent(redis_server)
    with pytest.raises(ConfigError, match="does not open"):
        opened(redis_server, "wrong")


def test_what_was_plain_is_sealed_by_rekey(redis_server: Server) -> None:
    with opened(redis_server, None) as cache:
        ask(cache)
        ask(cache, CANARY)
    assert any(secret in everything(redis_server) for secret in TELL_TALES)
    with opened(redis_server) as cache:
        assert ask(cache) == (ANSWER, False)
        assert Rekeying(cache.engine.store, "secret", "secret", fresh=False).run().rows == 2
        assert ask(cache) == (ANSWER, False)
        assert ask(cache, CANARY) == (ANSWER, False)
    assert_silent(redis_server)
    with opened(redis_server, "secret") as cache:
        assert Rekeying(cache.engine.store, "secret", "other").run().rows == 2
    with opened(redis_server, "other") as cache:
        assert ask(cache) == (ANSWER, False)
    assert_silent(redis_server)


def test_a_redis_that_is_not_there_costs_no_error() -> None:
    with LLMCache(
        database_url="redis://127.0.0.1:1/0", enable_encryption=True, encryption_key="secret", read_timeout_ms=50
    ) as cache:
        assert ask(cache) == (ANSWER, True)
