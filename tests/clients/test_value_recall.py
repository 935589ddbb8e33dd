"""`get_or_set` with a key, the third time: by the short way, and never what the long way would not have given."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time

import pytest

from llm_cache import CacheMissError, LLMCache, last_call, options

WHAT = {"provider": "openai", "model": "gpt-4", "endpoint": "/v1/chat/completions", "request_data": {"q": 1}}


class Asked:
    def __init__(self, cache):
        self.cache = cache
        self.fetched = 0

    def fetch(self):
        self.fetched += 1
        return {"n": self.fetched}

    def __call__(self, key="key", **more):
        return self.cache.get_or_set(key, self.fetch, **{**WHAT, **more})["n"]


@pytest.fixture(params=[64, 0], ids=["in memory", "in the file"])
def ask(tmp_path, request):
    with LLMCache(database_url=str(tmp_path / "cache.db"), memory_mb=request.param) as cache:
        asked = Asked(cache)
        for _ in range(3):
            assert asked() == 1
        yield asked


def test_it_is_told_like_any_other_hit(ask):
    assert ask() == 1
    call = last_call()
    assert (call.status, call.reason, len(call.key)) == ("hit", None, 64)
    stats = ask.cache.stats()
    assert (stats.hits, stats.misses) == (3, 1)
    (entry,) = ask.cache.entries()
    assert entry.hits == 3


def test_each_caller_has_a_value_of_its_own(ask):
    first = ask.cache.get_or_set("key", ask.fetch, **WHAT)
    first["n"] = "spoilt"
    assert ask() == 1


def test_a_purge_by_anybody_shows_in_the_next_call(ask, tmp_path):
    with LLMCache(database_url=str(tmp_path / "cache.db")) as other:
        assert other.delete("key")
    assert ask() == 2


def test_options_count(ask):
    with options(mode="refresh"):
        assert ask() == 2
    assert ask() == ask() == 2
    with options(namespace="other"):
        assert ask() == 3
    with options(sample=1):
        assert ask() == 4
    with options(mode="off"):
        assert ask() == 5
        assert last_call().status == "bypass"
    with options(mode="offline"):
        assert ask() == 2
        with pytest.raises(CacheMissError):
            ask("another key")


def test_an_expired_answer_is_fetched_anew(ask):
    for _ in range(3):
        assert ask("short", ttl_days=0.5 / 86_400) == 2
    time.sleep(0.6)
    assert ask("short", ttl_days=0.5 / 86_400) == 3


def test_a_key_is_not_mixed_up_with_what_equals_it(ask):
    with pytest.raises(Exception, match=r".") as first:
        ask(1)
    with pytest.raises(type(first.value)):
        ask(True)


def test_streams_and_values_of_one_key_stay_apart(ask):
    stream = ask.cache.get_or_set("key", lambda: iter(["a", "b"]), **WHAT, stream=True)
    assert list(stream) == ["a", "b"]
    assert list(ask.cache.get_or_set("key", lambda: iter(["c"]), **WHAT, stream=True)) == ["a", "b"]
    assert ask() == 2


def test_coroutines_take_it_too(ask):
    async def fetch():
        raise AssertionError("not called")

    async def many():
        return [(await ask.cache.aget_or_set("key", fetch, **WHAT))["n"] for _ in range(3)]

    assert asyncio.run(many()) == [1, 1, 1]


def test_on_a_sealed_store_it_is_not_taken(tmp_path):
    with LLMCache(database_url=str(tmp_path / "s.db"), enable_encryption=True, encryption_key="secret") as cache:
        asked = Asked(cache)
        assert [asked() for _ in range(4)] == [1, 1, 1, 1]
        assert not cache._recall._known


def test_an_answer_that_was_damaged_since_is_told_of_once_and_fetched_anew(tmp_path, caplog):
    path = tmp_path / "cache.db"
    with LLMCache(database_url=str(path), memory_mb=0) as cache:
        ask = Asked(cache)
        assert ask() == ask() == ask() == 1
        with contextlib.closing(sqlite3.connect(path)) as file, file:
            (value,) = file.execute("SELECT value FROM entries").fetchone()
            # Behind the header and both checksums the reply begins.
            file.execute("UPDATE entries SET value = ?", (value[:45] + bytes([value[45] ^ 1]) + value[46:],))
        assert ask() == ask() == 2
        assert last_call().status == "hit"
    assert len([record for record in caplog.records if "counts as a miss" in record.message]) == 1


def test_without_memory_each_hit_reads_the_file_once(tmp_path, monkeypatch):
    with LLMCache(database_url=str(tmp_path / "cache.db"), memory_mb=0) as cache:
        ask = Asked(cache)
        assert ask() == ask() == 1
        store, read = cache.engine.access.store, []
        get = store.get
        monkeypatch.setattr(store, "get", lambda key: read.append(key) or get(key))
        assert ask() == ask() == 1
    assert len(read) == 2
