"""The page about Redis: its Python runs, `doctor` has nothing to say about its settings, its user may do enough."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache.clients import cache as caches
from llm_cache.stores.redis import RedisStore
from llm_cache.testing.contract import a_row
from tests.redis_servers import Server, serving
from tests.stores.test_redis_addresses import works

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "redis.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_its_python_runs(redis_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCACHE_DATABASE_URL", redis_server.url)
    monkeypatch.setenv("LLMCACHE_READ_TIMEOUT_MS", "5000")
    monkeypatch.setattr(caches, "_default", None)
    found: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "redis.md", "exec"), found)
    assert found["first"] == found["second"]
    assert (found["stats"].hits, found["stats"].misses) == (1, 1)


def test_doctor_has_nothing_to_say_about_its_settings(tmp_path: Path) -> None:
    (conf,) = [block for block in blocks("text") if not block.startswith("ACL")]
    with serving(tmp_path / "redis", **dict(line.split() for line in conf.splitlines())) as server:
        ran = subprocess.run(
            [str(Path(sys.executable).with_name("llm-cache")), "doctor", "--json"],
            env={**os.environ, "LLMCACHE_DATABASE_URL": server.url, "LLMCACHE_READ_TIMEOUT_MS": "5000"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    found = json.loads(ran.stdout)
    assert [each for each in found["checks"] if each["status"] != "ok"] == []


def test_its_user_may_do_what_a_cache_does(redis_server: Server) -> None:
    (line,) = [block for block in blocks("text") if block.startswith("ACL")]
    words = line.replace("PASSWORD", "geheim").split()
    client = redis_server.client()
    client.execute_command(*words)
    try:
        works(redis_server.url.replace("//", "//cache:geheim@"))
        more = re.search(r"need `([^`]+)` for that", PAGE.replace("\n", " "))
        assert more
        client.execute_command("ACL", "SETUSER", "cache", *more[1].split())
        store = RedisStore(redis_server.url.replace("//", "//cache:geheim@"), write_timeout_ms=5000)
        assert store.compact() == 0
        store.close()
    finally:
        client.execute_command("ACL", "DELUSER", "cache")


def test_an_entry_takes_the_room_that_it_says(redis_server: Server) -> None:
    client, record = redis_server.client(), os.urandom(450)
    store = RedisStore(redis_server.url, read_timeout_ms=5000, write_timeout_ms=5000)
    before = client.info("memory")["used_memory"]
    for number in range(3000):
        store.put(a_row(number, value=record, expires_at=4e9))
    beside = (client.info("memory")["used_memory"] - before) / 3000 - len(record)
    store.close()
    said = re.search(r"its record and ([\d.]+) KB beside it", PAGE)
    assert said
    # Servers differ: Valkey 8 takes a fifth less.
    assert 0.7 < beside / (float(said[1]) * 1000) < 1.1
