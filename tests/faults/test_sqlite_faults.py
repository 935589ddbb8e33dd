"""Promise 3: whatever happens to the store, calls have their answers in time, and it is told once and counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_cache import LLMCache
from llm_cache.errors import EntryError
from llm_cache.runtime.writer import writer
from tests.faults.sqlite_faults import DAMAGE, FAULTS, disk_full, small_disk
from tests.runtime.staging import PATIENCE_S, settled

DEADLINE_MS = 200
KEPT = range(8)
QUIET = {
    "folder_removed",
    "folder_read_only",
    "file_removed",
    "file_replaced",
    "copied_over",
    "emptied",
    "header_overwritten",
}
Call = Callable[[LLMCache, int], str]


def text(number: int) -> str:
    return f"answer {number} " + "x" * 3000


def plain(cache: LLMCache, number: int) -> str:
    return cache.get_or_set(f"key {number}", lambda: text(number), "openai", "m", "/v1/x", {"n": number})


def in_a_task(cache: LLMCache, number: int) -> str:
    async def fetch() -> str:
        return text(number)

    return asyncio.run(cache.aget_or_set(f"key {number}", fetch, "openai", "m", "/v1/x", {"n": number}))


@pytest.fixture(params=[plain, in_a_task], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "cache.db"


@contextlib.contextmanager
def filled(path: Path) -> Iterator[LLMCache]:
    with LLMCache(
        database_url=str(path),
        memory_mb=0,
        enable_compression=False,
        read_timeout_ms=DEADLINE_MS,
        write_timeout_ms=DEADLINE_MS,
    ) as cache:
        for number in KEPT:
            assert plain(cache, number) == text(number)
        assert cache.engine.ledger.flush()
        yield cache


def works(cache: LLMCache, call: Call, number: int) -> bool:
    """Whether what is called now is kept."""
    assert call(cache, number) == text(number)
    return cache.get(f"key {number}") is not None


def weathered(cache: LLMCache, call: Call, fault: contextlib.AbstractContextManager[None]) -> int:
    """Go through it, and come out working; how many failures were counted."""
    calls = len(KEPT)
    with fault:
        for number in [*KEPT, *range(100, 106)]:
            # Right in any case: from the store, or from the upstream.
            assert call(cache, number) == text(number)
            calls += 1
        # What is done behind the calls fails as quietly.
        cache.engine.ledger.flush()
        assert writer().drain(PATIENCE_S)
    attempts = iter(range(200, 300_000))

    def again() -> bool:
        nonlocal calls
        calls += 1
        return works(cache, call, next(attempts)) and cache.engine.access.healthy

    settled(again)
    settled(cache.engine.ledger.flush)
    stats = cache.stats()
    counted = stats.hits + stats.misses
    # A new file begins a new account; what was flushed into the old one is to be found there.
    assert counted == calls or counted in range(calls - len(KEPT) - 14, calls + 1)
    return stats.total.store_failures


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines of the log, those that tell of the same thing twice being a failure."""
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [record for record in records if record.exc_info], "a traceback"
    again = [record for record in records if "works again" in record.getMessage()]
    first = [str(record.msg) + str(record.args[:1]) for record in records if record not in again]
    # A store that works for a moment and fails again is told of again.
    assert len(first) <= len(set(first)) + len(again), first
    return [record.getMessage() for record in records]


@pytest.mark.parametrize("name", FAULTS)
def test_calls_go_on(path: Path, call: Call, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with filled(path) as cache:
        failures = weathered(cache, call, FAULTS[name](path))
    lines = told(caplog)
    # Some leave no trace: a folder that is removed is made anew at the next write.
    # What of the header is in the log is written over the noise.
    if name not in QUIET:
        assert failures
        assert lines
        assert len(lines) <= 8
    if name not in DAMAGE | QUIET:
        assert not list(path.parent.glob("*.damaged-*"))


def test_calls_go_on_when_the_disk_is_full(path: Path, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(path.parent), filled(path) as cache:
        failures = weathered(cache, call, disk_full(path))
        assert cache.check() == []
    assert failures
    assert any("full" in line or "I/O" in line for line in told(caplog))


@contextlib.contextmanager
def at_rest(path: Path, name: str) -> Iterator[LLMCache]:
    """A file that is damaged while nobody uses it."""
    with filled(path):
        pass
    with FAULTS[name](path), LLMCache(database_url=str(path), memory_mb=0) as cache:
        yield cache


@contextlib.contextmanager
def in_use(path: Path, name: str) -> Iterator[LLMCache]:
    """One that is damaged under those who use it."""
    with filled(path) as cache, FAULTS[name](path):
        yield cache


@pytest.mark.parametrize(
    ("when", "name"),
    [
        *[(in_use, name) for name in ("overwritten", "truncated")],
        # Another file's bytes are damage only beside a log that is not theirs, and with it may be whole all the same.
        *[(at_rest, name) for name in sorted(DAMAGE - {"copied_over"})],
    ],
)
def test_a_damaged_file_is_set_aside_and_told_of_once(
    path: Path, call: Call, when: Callable[..., Any], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with when(path, name) as cache:
        for number in KEPT:
            assert call(cache, number) == text(number)
        assert writer().drain(PATIENCE_S)
        # From then on it is a store like any other.
        settled(lambda: works(cache, call, 50))
        assert cache.check() == []
        (aside,) = [file for file in path.parent.glob("*.damaged-*") if not file.name.endswith(("-wal", "-shm"))]
        assert cache.engine.ledger.flush()
        assert cache.stats().reasons["fail"]["damaged"] >= 1
    lines = [record.getMessage() for record in caplog.records if "takes its place" in record.getMessage()]
    assert len(lines) == 1
    assert str(aside) in lines[0]


@pytest.mark.slow
def test_a_store_that_pauses_for_five_seconds_holds_up_no_call(path: Path, call: Call) -> None:
    with filled(path) as cache:
        with FAULTS["holder_paused"](path):
            began = time.monotonic()
            longest, number = 0.0, 1000
            while time.monotonic() - began < 5:
                before = time.monotonic()
                assert call(cache, number) == text(number)
                longest = max(longest, time.monotonic() - before)
                number += 1
            print(f"{number - 1000} calls in 5 s, the longest took {longest * 1000:.0f} ms")
        settled(lambda: works(cache, call, number) and cache.engine.access.healthy)
        assert cache.stats().total.store_failures
        assert cache.check() == []


# --- records ----------------------------------------------------------------------------------------


def test_a_flipped_bit_at_any_byte_of_a_record_is_a_miss(path: Path, call: Call) -> None:
    with filled(path) as cache:
        store = cache.engine.store
        row = next(store.scan())
        number = next(each for each in KEPT if cache.get(f"key {each}").key == row.key.hex())
        failures = 0
        # The envelope and the request in full, the answer's many equal bytes here and there.
        places = [*range(min(700, len(row.value))), *range(700, len(row.value), 61)]
        for place in places:
            broken = bytearray(row.value)
            broken[place] ^= 1 << place % 8
            store.put(row._replace(value=bytes(broken)))
            assert call(cache, number) == text(number)
            found = store.get(row.key)
            if found.value == bytes(broken):
                # A hit, then, for the request that is kept beside the answer is no part of it.
                with pytest.raises(EntryError):
                    cache.engine.codec.asked(found)
                continue
            # The call has mended it.
            failures += 1
        assert cache.engine.ledger.flush()
        assert cache.stats().reasons["fail"]["decode"] == failures > len(places) - 60


def test_noise_anywhere_in_the_file_is_never_an_answer(path: Path, call: Call) -> None:
    with filled(path):
        pass
    good = path.read_bytes()
    for place in range(0, len(good), max(1, len(good) // 60)):
        broken = bytearray(good)
        broken[place : place + 8] = bytes(byte ^ 0x55 for byte in broken[place : place + 8])
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(broken)
        with LLMCache(database_url=str(path), memory_mb=0) as cache:
            for number in KEPT:
                assert call(cache, number) == text(number)


def test_a_damaged_request_changes_no_answer_and_is_never_shown(path: Path) -> None:
    with filled(path) as cache:
        store = cache.engine.store
        # Of more than 4 KB: it has a checksum of its own, since a hit has no use for it.
        asked = {"n": 3, "text": "".join(map(str, range(2000)))}
        long = cache.set("long", "the answer", "openai", "m", "/v1/x", asked)
        row = store.get(bytes.fromhex(long))
        for place in range(len(row.value) - 3000, len(row.value), 97):
            broken = bytearray(row.value)
            broken[place] ^= 1 << place % 8
            store.put(row._replace(value=bytes(broken)))
            assert cache.get_or_set("long", pytest.fail, "openai", "m", "/v1/x", {}) == "the answer"
            with pytest.raises(EntryError, match="damaged"):
                cache.find(long)
            assert cache.get("long") is None
            assert all(entry.key != long for entry in cache.entries())
        store.put(row)
        assert cache.find(long)[0].request == asked
