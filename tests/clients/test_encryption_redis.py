"""Promise 7 on Redis: no key and no value there tells a prompt, an answer, or a digest that confirms a guess at one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_cache import LLMCache
from llm_cache.clients.rekeying import Rekeying
from llm_cache.codec import ring
from llm_cache.codec.codec import sealed_with
from llm_cache.errors import ConfigError
from llm_cache.stores.redis_rows import SHARDS
from tests.clients.test_encryption import ANSWER, CANARY, TELL_TALES, ask
from tests.redis_servers import Server, serving


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "LOG2_N", 4)


def opened(server: Server, key: str | None = "secret", **more: object) -> LLMCache:
    return LLMCache(
        database_url=server.url,
        enable_encryption=key is not None,
        encryption_key=key,
        read_timeout_ms=5000,
        write_timeout_ms=5000,
        **more,
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


def test_an_emptied_database_is_sealed_with_the_keys_that_are_in_use(redis_server: Server) -> None:
    with opened(redis_server) as running:
        ask(running)
        redis_server.client().flushall()
        time.sleep(1.1)
        assert ask(running) == (ANSWER, True)
        assert ask(running) == (ANSWER, False)
        with opened(redis_server) as other:
            assert ask(other) == (ANSWER, False)
    assert_silent(redis_server)


# --- what lies on disk -----------------------------------------------------------------------------------


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Server]:
    """A Redis that keeps a log and snapshots, which do not hide anything by compressing it."""
    with serving(tmp_path / "redis", appendonly="yes", save="3600 1", rdbcompression="no") as server:
        yield server


def files(server: Server) -> bytes:
    server.client().save()
    found = [file.read_bytes() for file in sorted(server.folder.rglob("*")) if file.is_file()]
    assert any(part[:5] == b"REDIS" for part in found), "there is no snapshot"
    return b"".join(found)


def test_nothing_can_be_read_in_its_files(on_disk: Server) -> None:
    with opened(on_disk) as cache:
        for name in (None, CANARY, "x"):
            assert ask(cache, name) == (ANSWER, True)
            assert ask(cache, name) == (ANSWER, False)
        cache.stats()
        cache.delete(CANARY)
    # What the server remembers of slow commands is also read by others.
    assert_silent(on_disk)
    found = files(on_disk)
    assert b"gpt-4" in found
    for secret in TELL_TALES:
        assert secret not in found, secret


def test_rekey_leaves_nothing_in_its_files(on_disk: Server) -> None:
    with opened(on_disk, None, enable_compression=False) as cache:
        ask(cache)
        ask(cache, CANARY)
    assert CANARY.encode() in files(on_disk)
    with opened(on_disk) as cache:
        done = Rekeying(cache.engine.store, "secret", "secret", fresh=False).run()
        assert (done.rows, done.clean) == (2, True)
    found = files(on_disk)
    for secret in TELL_TALES:
        assert secret not in found, secret


def test_who_may_not_have_files_written_anew_is_told(redis_server: Server) -> None:
    client = redis_server.client()
    client.config_set("appendonly", "yes")
    client.execute_command("ACL", "SETUSER", "default", "-bgrewriteaof")
    try:
        with opened(redis_server, None) as cache:
            ask(cache)
            done = Rekeying(cache.engine.store, None, "secret").run()
        assert (done.rows, done.clean) == (1, False)
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+bgrewriteaof")
        client.config_set("appendonly", "no")


# --- a change of the key, interrupted ---------------------------------------------------------------------


def test_both_keys_read_while_it_runs_and_it_goes_on_where_it_was_stopped(redis_server: Server) -> None:
    names = [str(number) for number in range(8)]
    with opened(redis_server, "old") as running:
        for name in names:
            ask(running, name)
        steps = iter(range(100))

        def stop() -> None:
            if next(steps) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Rekeying(running.engine.store, "old", "new", step=stop).run()
        assert len({sealed_with(row) for row in running.engine.store.scan()}) == 2
        for key in ("old", "new"):
            with opened(redis_server, key) as cache:
                assert [ask(cache, name) for name in names] == [(ANSWER, False)] * len(names)
        assert [ask(running, name) for name in names] == [(ANSWER, False)] * len(names)
        rest = Rekeying(running.engine.store, "old", "new").run().rows
        assert 0 < rest < len(names)
    with opened(redis_server, "new") as cache:
        assert [ask(cache, name) for name in names] == [(ANSWER, False)] * len(names)
    with pytest.raises(ConfigError, match="does not open"):
        opened(redis_server, "old")


@pytest.mark.slow
def test_a_change_that_is_killed_again_and_again_comes_to_its_end_under_calls(redis_server: Server) -> None:
    """The real command, killed at random moments, while others call, write and read on line."""
    command = [str(Path(sys.executable).with_name("llm-cache")), "rekey", "--new-key-env", "NEW"]
    environ = {
        **os.environ,
        "LLMCACHE_DATABASE_URL": redis_server.url,
        "LLMCACHE_ENCRYPTION": "true",
        "LLMCACHE_ENCRYPTION_KEY": "old",
        "LLMCACHE_READ_TIMEOUT_MS": "5000",
        "NEW": "new",
    }
    names = [str(number) for number in range(150)]
    with opened(redis_server, "old") as running:
        for name in names:
            ask(running, name)
        stop, wrong = threading.Event(), []

        def call() -> None:
            for number in itertools.count():
                if stop.is_set():
                    return
                if ask(running, names[number % len(names)]) != (ANSWER, False):
                    wrong.append(names[number % len(names)])

        caller = threading.Thread(target=call)
        caller.start()
        try:
            for kills in range(4):
                process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                began = _generation(redis_server)
                until = time.monotonic() + 30
                # Somewhere in the middle of the rows, further on each time.
                while _generation(redis_server) < began + 2 + 20 * kills and process.poll() is None:
                    assert time.monotonic() < until
                    time.sleep(0.002)
                process.kill()
                process.wait()
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        finally:
            stop.set()
            caller.join()
        assert done.returncode == 0, done.stderr
        assert wrong == []
    with opened(redis_server, "new") as cache:
        assert [ask(cache, name) for name in names] == [(ANSWER, False)] * len(names)
        assert len({sealed_with(row) for row in cache.engine.store.scan()}) == 1
        assert cache.stats().entries == len(names)
        assert cache.check() == []
    assert_silent(redis_server)


def _generation(server: Server) -> int:
    """How much has changed: rows that were removed or replaced, and the ring."""
    return sum(int(found or 0) for found in server.client().mget([shard.generation for shard in SHARDS]))
