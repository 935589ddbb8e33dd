"""Promise 3: whatever is wrong with the store, the call succeeds, with one warning and a counter."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

import httpx
import pytest

from llm_cache import ConfigError, LLMCache, wrap
from llm_cache.testing import openai_chat

ASK = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


def a_folder(path: Path) -> None:
    path.mkdir()


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def truncated(path: Path) -> None:
    with LLMCache(database_url=str(path)) as cache:
        for number in range(200):
            cache.get_or_set(f"key {number}", lambda: "x" * 500, "openai", "gpt-4", "/v1/chat/completions", {})
    whole = path.read_bytes()
    for beside in (f"{path}-wal", f"{path}-shm"):
        Path(beside).unlink(missing_ok=True)
    path.write_bytes(whole[: len(whole) // 2])


def unreachable(path: Path) -> None:
    path.parent.joinpath("file").write_text("not a folder")
    path.symlink_to(path.parent / "file" / "cache.db")


@pytest.mark.parametrize("damage", [a_folder, random_bytes, truncated, unreachable])
def test_a_store_that_is_useless_costs_a_miss_and_never_a_call(damage, upstream, database, caplog):
    damage(Path(database))
    upstream.reply(CHAT, openai_chat("hello"))
    caplog.set_level(logging.WARNING, "llm_cache")
    with LLMCache(database_url=database) as cache, httpx.Client(trust_env=False) as client, wrap(client, cache):
        for _ in range(3):
            reply = client.post(upstream.url + CHAT, json=ASK)
            assert reply.json()["choices"][0]["message"]["content"] == "hello"
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 3


def test_a_store_that_another_process_has_locked_costs_a_miss_and_never_a_call(upstream, database, caplog):
    upstream.reply(CHAT, openai_chat("hello"))
    with LLMCache(database_url=database, write_timeout_ms=200) as cache, httpx.Client(trust_env=False) as client:
        with wrap(client, cache):
            client.post(upstream.url + CHAT, json={**ASK, "n": 1})
            other = sqlite3.connect(database, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                assert client.post(upstream.url + CHAT, json=ASK).status_code == 200
            assert client.post(upstream.url + CHAT, json={**ASK, "n": 1}).extensions["llm_cache"].status == "hit"
            other.rollback()
            other.close()


def test_a_full_disk_costs_the_store_and_never_a_call(upstream, database):
    upstream.reply(CHAT, openai_chat("hello"))
    with LLMCache(database_url=database) as cache, httpx.Client(trust_env=False) as client, wrap(client, cache):
        client.post(upstream.url + CHAT, json=ASK)

        def full(row: object) -> None:
            raise OSError(28, "No space left on device")

        cache.engine.store.put = full
        for number in range(5):
            ask = {**ASK, "seed": number}
            assert client.post(upstream.url + CHAT, json=ask).status_code == 200
        assert client.post(upstream.url + CHAT, json=ASK).extensions["llm_cache"].status == "hit"


@pytest.mark.parametrize(
    "settings",
    [
        {"default_ttl_days": 0},
        {"default_ttl_days": -1},
        {"default_ttl_days": float("nan")},
        {"mode": "sometimes"},
        {"namespace": ""},
        {"backend": "mongodb"},
        {"no_such_setting": 1},
        {"enable_encryption": True},
        {"dont_store": "everything"},
    ],
)
def test_what_is_wrong_in_the_configuration_is_raised_at_construction(settings, database):
    with pytest.raises(ConfigError) as caught:
        LLMCache(database_url=database, **settings)
    assert next(iter(settings)).split("_")[-1] in str(caught.value)
    assert "\n" not in str(caught.value)
