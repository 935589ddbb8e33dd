"""What is stored, seen from Python: the same from a thread and from an event loop."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path

import pytest

from llm_cache import LLMCache
from llm_cache.errors import StoreError


@pytest.fixture
def cache(tmp_path: Path) -> LLMCache:
    with LLMCache(database_url=str(tmp_path / "cache.db")) as cache:
        for number in range(150):
            model = ("a", "b")[number % 2]
            cache.get_or_set(f"{number}", lambda number=number: number, "openai", model, "/v1/x", {"n": number})
        yield cache


def test_entries_are_walked_or_gathered_in_both_worlds(cache: LLMCache) -> None:
    wanted = list(cache.entries(model="a"))
    assert len(wanted) == 75

    async def both() -> None:
        assert await cache.aentries(model="a") == wanted
        assert [entry async for entry in cache.aentries(model="a")] == wanted
        assert await cache.aentries(limit=3) == list(cache.entries(limit=3))
        assert [entry async for entry in cache.aentries(model="none")] == []
        assert [entry.request["n"] async for entry in cache.aentries(namespace="default", limit=2)] == [149, 148]

    asyncio.run(both())


def test_a_walk_reads_no_further_than_it_goes(cache: LLMCache) -> None:
    first = list(islice(cache.entries(), 3))
    cache.purge(model="a")
    assert [entry.request["n"] for entry in first] == [149, 148, 147]

    async def some() -> None:
        seen = []
        async for entry in cache.aentries():
            seen.append(entry)
            if len(seen) == 5:
                break
        assert len(seen) == 5

    asyncio.run(some())


def test_a_store_that_fails_says_so_in_both(cache: LLMCache) -> None:
    cache.engine.store.close()
    with pytest.raises(StoreError):
        list(cache.entries())

    async def fails() -> None:
        with pytest.raises(StoreError):
            await cache.aentries()
        with pytest.raises(StoreError):
            [entry async for entry in cache.aentries()]

    asyncio.run(fails())
