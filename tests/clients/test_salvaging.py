"""What can still be read of a damaged file is in the cache again, and nothing that no checksum vouches for."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_cache import LLMCache, Mode
from llm_cache.clients.salvaging import Salvaged, files_aside, salvage, salvaged_before
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.stores.sqlite_pages import Pages
from tests.stores.golden_files import FOLDER, SUMS, expected

PAGE = 4096
COUNT = 60
KEY = {"enable_encryption": True, "encryption_key": "first key of all"}


def text(number: int) -> str:
    # Some are longer than a page.
    return f"{number}: " + "".join(chr(97 + (number * each) % 26) for each in range(number * 120))


def cache_of(path: Path, **more: object) -> LLMCache:
    return LLMCache(database_url=str(path), memory_mb=0, **more)


def fill(path: Path, question: str = "question", **more: object) -> None:
    with cache_of(path, **more) as cache:
        for number in range(COUNT):
            ask = {"messages": [{"role": "user", "content": f"{question} {number}"}]}
            cache.get_or_set(f"key {number}", lambda number=number: text(number), "openai", "m", "/v1/x", ask)
            if number == 7:
                assert cache.get_or_set("key 7", pytest.fail, "openai", "m", "/v1/x", ask) == text(7)


def pages_of(data: bytearray, *kinds: int) -> Iterator[int]:
    return (at for at in range(PAGE, len(data), PAGE) if data[at] in kinds)


def truncated(data: bytearray) -> bytearray:
    return data[: len(data) * 2 // 3 // PAGE * PAGE + 700]


def zeroed(data: bytearray) -> bytearray:
    for at in list(pages_of(data, 0x0D))[4::9]:
        data[at : at + PAGE] = bytes(PAGE)
    return data


def without_header(data: bytearray) -> bytearray:
    data[:PAGE] = os.urandom(PAGE)
    return data


def without_indices(data: bytearray) -> bytearray:
    for at in list(pages_of(data, 0x0A, 0x02, 0x05)):
        data[at : at + PAGE] = os.urandom(PAGE)
    return data


Damage = Callable[[bytearray], bytearray]


def damage(path: Path, how: Damage) -> None:
    path.write_bytes(how(bytearray(path.read_bytes())))


def set_aside(path: Path, **more: object) -> tuple[LLMCache, Path]:
    """A cache whose first look finds the damage and begins anew."""
    cache = cache_of(path, **more)
    assert cache.engine.store.check() or cache.engine.store.set_aside(0) is None
    cache.engine.store.set_aside(1_700_000_000)
    (file,) = files_aside(cache.engine)
    return cache, file


def answers(cache: LLMCache) -> int:
    """How many can be had again; each must be what it was."""
    found = 0
    for number in range(COUNT):
        value = cache.get_or_set(f"key {number}", lambda: None, "openai", "m", "/v1/x", {})
        assert value in {None, text(number)}
        found += value is not None
    return found


@pytest.mark.parametrize(
    ("how", "least"), [(truncated, COUNT // 3), (zeroed, COUNT // 2), (without_header, COUNT), (without_indices, COUNT)]
)
@pytest.mark.parametrize("more", [{}, KEY], ids=["plain", "sealed"])
def test_what_can_be_read_is_in_the_cache_again(
    tmp_path: Path, how: Damage, least: int, more: dict[str, object]
) -> None:
    path = tmp_path / "cache.db"
    fill(path, **more)
    damage(path, how)
    cache, file = set_aside(path, **more)
    with cache:
        done = salvage(cache.engine, file)
        assert done.added >= least
        assert done == Salvaged(added=done.added, damaged=done.damaged)
        assert cache.stats().entries == done.added
        assert salvaged_before(cache.engine, file) == done.added
        if done.added == COUNT:
            # The statistics are what they were; once, however often it is done.
            assert salvage(cache.engine, file) == Salvaged(there=COUNT)
            assert (cache.stats().hits, cache.stats().misses) == (1, COUNT)
            assert cache.get("key 7").hits == 1
            assert cache.get("key 9").request == {"messages": [{"role": "user", "content": "question 9"}]}
        assert answers(cache) == done.added
        assert cache.check() == []


def test_what_is_newer_in_the_cache_stays(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    fill(path)
    damage(path, without_header)
    cache, file = set_aside(path)
    with cache:
        cache.get_or_set("key 3", lambda: "newer", "openai", "m", "/v1/x", {})
        done = salvage(cache.engine, file)
        assert done == Salvaged(added=COUNT - 1, there=1)
        assert cache.get_or_set("key 3", pytest.fail, "openai", "m", "/v1/x", {}) == "newer"


@pytest.mark.parametrize("header", [True, False])
def test_what_was_purged_does_not_come_back(tmp_path: Path, header: bool) -> None:
    path = tmp_path / "cache.db"
    fill(path)
    with cache_of(path) as cache:
        for number in range(COUNT):
            if number % 4:
                cache.delete(f"key {number}")
    if not header:
        damage(path, without_header)
    aside = shutil.move(path, tmp_path / "cache.db.damaged-1")
    with cache_of(path) as cache:
        assert salvage(cache.engine, Path(aside)) == Salvaged(added=COUNT // 4)


def test_what_is_in_the_log_alone_is_found(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with cache_of(path) as cache:
        for number in range(20):
            cache.get_or_set(f"key {number}", lambda number=number: text(number), "openai", "m", "/v1/x", {})
        for part in ("", "-wal"):
            shutil.copyfile(f"{path}{part}", tmp_path / f"copy.db.damaged-1{part}")
    aside = tmp_path / "copy.db.damaged-1"
    aside.write_bytes(b"")
    whole = Path(f"{aside}-wal").read_bytes()
    with cache_of(tmp_path / "copy.db") as cache:
        assert salvage(cache.engine, aside).added == 20
    # A log that breaks off is read up to its last commit.
    Path(f"{aside}-wal").write_bytes(whole[: len(whole) * 3 // 4])
    with cache_of(tmp_path / "other.db") as cache:
        assert 0 < salvage(cache.engine, aside).added < 20


def test_a_row_that_was_changed_is_left(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    fill(path)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE entries SET created_at = created_at + 1 WHERE id % 10 = 0")
        raw.execute("UPDATE groups SET model = 'x'")
    raw.close()
    damage(path, without_header)
    cache, file = set_aside(path)
    with cache:
        # Whose group cannot be believed: no model of that name has vouched for it.
        assert salvage(cache.engine, file) == Salvaged(damaged=COUNT)
        cache.get_or_set("new", lambda: "new", "openai", "m", "/v1/x", {})
        # By now the cache knows the group again.
        assert salvage(cache.engine, file) == Salvaged(added=COUNT - COUNT // 10, damaged=COUNT // 10)


def test_an_answer_whose_request_is_damaged_is_kept_without_it(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    # Of more than 4 KB, else there is one checksum for both.
    fill(path, "".join(map(str, range(2000))))
    store = SqliteStore(path)
    for row in store.scan():
        store.put(row._replace(value=row.value[:-1] + bytes([row.value[-1] ^ 1])))
    store.close()
    damage(path, without_header)
    cache, file = set_aside(path)
    with cache:
        assert salvage(cache.engine, file).added == COUNT
        assert cache.get("key 3").request is None
        assert answers(cache) == COUNT


def test_a_sealed_file_needs_its_key(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    fill(path, **KEY)
    damage(path, without_header)
    cache, file = set_aside(path, enable_encryption=False)
    with cache:
        assert salvage(cache.engine, file) == Salvaged(sealed=COUNT)
        assert salvaged_before(cache.engine, file) is None
    # Later, with the key: that of the file is opened, although the new file has another ring.
    with cache_of(path, **KEY) as cache:
        assert salvage(cache.engine, file) == Salvaged(added=COUNT)
        assert answers(cache) == COUNT


def test_a_new_file_has_the_secrets_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    fill(path)
    with cache_of(path) as cache:
        secret = cache.engine.store.secret("proxy scope")
    damage(path, truncated)
    cache, _ = set_aside(path)
    with cache:
        assert cache.engine.store.secret("proxy scope") == secret


@pytest.mark.parametrize("file", sorted(FOLDER.glob("schema-*.db")), ids=lambda file: file.stem)
def test_files_of_every_schema_are_read(file: Path) -> None:
    from llm_cache.stores.sqlite_salvage import found_in, rows_in

    found = found_in(file)
    assert found.sums == SUMS
    assert sorted(rows_in(file, found.groups)) == sorted(expected())
    assert found.secrets.keys() == {"scope"}


def test_noise_is_no_row(tmp_path: Path) -> None:
    file = tmp_path / "noise"
    for seed in range(30):
        data = bytearray(os.urandom(PAGE * 6))
        for at in range(0, len(data), PAGE):
            data[at] = 0x0D
            data[at + 3] = seed % 4
        if seed % 2:
            data[:16] = b"SQLite format 3\0"
        file.write_bytes(data)
        with Pages(file) as pages:
            assert all(isinstance(record, tuple) for record in pages.records())


def test_calls_go_on_meanwhile_without_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    fill(path)
    damage(path, truncated)
    cache, file = set_aside(path, mode=Mode.READ_WRITE)
    with cache:
        for row in range(5):
            cache.get_or_set(f"while {row}", lambda: "x", "openai", "m", "/v1/x", {})
        done = salvage(cache.engine, file)
        assert cache.stats().entries == done.added + 5


def test_nothing_of_a_sealed_file_is_readable_afterwards(tmp_path: Path) -> None:
    path, silent = tmp_path / "cache.db", {**KEY, "enable_compression": False}
    fill(path, "xylophone", **silent)
    damage(path, without_header)
    cache, file = set_aside(path, **silent, log_level="DEBUG", log_file=tmp_path / "cache.log")
    with cache:
        assert salvage(cache.engine, file).added == COUNT
        assert answers(cache) == COUNT
        assert cache.get("key 9").request == {"messages": [{"role": "user", "content": "xylophone 9"}]}
    logging.getLogger("llm_cache").handlers.clear()
    found = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert len(found) > 100_000
    for secret in (b"xylophone", text(40)[:60].encode(), b"key 40"):
        assert secret not in found
