"""What is exported comes back as it was: rows, hits, times, order, bytes, on every kind of store."""

from __future__ import annotations

import gzip
import io
import json
import os
from dataclasses import replace

import pytest
import zstandard

from llm_cache import LLMCache
from llm_cache.errors import FormatError, StoreError
from llm_cache.stores.base import Filter
from llm_cache.transfer.exporting import export
from llm_cache.transfer.files import output
from tests.transfer.conftest import NOON, ODD, Point, an_entry, exported, fill, imported


@pytest.fixture
def other():
    with LLMCache(backend="memory") as made:
        yield made


@pytest.fixture(params=["memory", "redis"])
def another_kind(request):
    if request.param == "memory":
        yield request.getfixturevalue("other")
        return
    with LLMCache(database_url=request.getfixturevalue("redis_server").url, read_timeout_ms=5000) as made:
        yield made


@pytest.mark.parametrize("array", [False, True])
def test_export_import_export_gives_the_same_bytes_on_another_store(filled, another_kind, tmp_path, array):
    other = another_kind
    first = exported(filled, array=array)
    file = tmp_path / "dump"
    file.write_bytes(first)
    done = imported(other, file)
    assert (done.added, done.seen) == (len(ODD) + 5, len(ODD) + 5)
    assert exported(other, array=array) == first
    # And not only what an export shows: rows are equal to the last bit, hits and times among them.
    assert list(other.engine.store.scan()) == list(filled.engine.store.scan())


def test_values_come_back_as_values(filled, other, tmp_path):
    file = tmp_path / "dump.jsonl"
    file.write_bytes(exported(filled))
    imported(other, file)

    def fetch():
        raise AssertionError("it is stored")

    assert other.get_or_set("point", fetch, "acme", "m", "/x", {}) == Point(1, 2)
    assert other.get_or_set("bytes", fetch, "acme", "m", "/x", {}) == (b"\xff", 1.5, {3, 4})
    assert list(other.get_or_set("stream", fetch, "acme", "m", "/x", {}, stream=True)) == ["a", {"b": 1}]


def test_a_line_is_an_entry_and_readable(filled):
    lines = exported(filled).split(b"\n")
    assert lines.pop() == b""
    records = [json.loads(line) for line in lines]
    assert [record["key"] for record in records] == [row.key.hex() for row in filled.engine.store.scan()]
    (record,) = (record for record in records if record["key"] == ODD[0].key)
    assert record["request"]["messages"][0]["content"] == "hé"
    assert record["response"]["choices"][0]["message"]["content"] == record["text"] == "hello"
    assert record["cost_usd"] == "0.000012345678"
    assert json.loads(exported(filled, array=True)) == records


def test_an_empty_store_exports_nothing(cache):
    assert exported(cache) == b""
    assert json.loads(exported(cache, array=True)) == []


def test_only_what_matches_is_exported(filled):
    records = [json.loads(line) for line in exported(filled, where=Filter(namespace="tëam")).splitlines()]
    assert [record["key"] for record in records] == [ODD[2].key]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".zstd", ".GZ"])
def test_files_are_packed_by_suffix_and_unpacked_by_content(filled, other, tmp_path, suffix):
    file = tmp_path / f"dump{suffix}"
    with output(str(file)) as opened:
        export(filled.engine, opened)
    data = file.read_bytes()
    if suffix in {".jsonl.gz", ".GZ"}:
        data = gzip.decompress(data)
    elif suffix != ".jsonl":
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    assert data == exported(filled)
    renamed = file.rename(tmp_path / "anything")
    assert imported(other, renamed).added == len(ODD) + 5
    assert exported(other) == data


def test_packed_files_are_the_same_bytes_each_time(filled, tmp_path):
    for name in ("a.gz", "b.gz"):
        with output(str(tmp_path / name)) as opened:
            export(filled.engine, opened)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_damaged_records_are_left_out_and_counted(filled):
    row = next(filled.engine.store.scan(Filter(key_prefix=ODD[0].key)))
    filled.engine.store.put(row._replace(value=row.value[:-1]))
    file = io.BytesIO()
    done = export(filled.engine, file)
    assert (done.entries, done.unreadable) == (len(ODD) + 4, 1)
    assert len(file.getvalue().splitlines()) == len(ODD) + 4


def put(cache, entry, hits=0):
    cache.engine.store.put(cache.engine.codec.encode(entry))
    if hits:
        cache.engine.store.touch({bytes.fromhex(entry.key): (hits, NOON + 90)})


def row(cache, number=1):
    return cache.engine.store.get(bytes.fromhex(an_entry(number).key))


def test_the_newer_of_two_stays(cache, other, tmp_path):
    file = tmp_path / "dump"
    put(cache, an_entry(1), hits=3)
    file.write_bytes(exported(cache))
    put(other, an_entry(1, (b"older",), created_at=NOON - 1), hits=9)
    done = imported(other, file)
    assert (done.added, done.replaced, done.older, done.same) == (0, 1, 0, 0)
    assert row(other) == row(cache)

    newer = an_entry(1, (b"newer",), created_at=NOON + 99)
    put(other, newer, hits=1)
    done = imported(other, file)
    assert (done.added, done.replaced, done.older, done.same) == (0, 0, 1, 0)
    assert row(other).created_at == newer.created_at
    assert row(other).hits == 1


def test_importing_again_changes_nothing_and_goes_on_where_it_was(cache, other, tmp_path):
    file = tmp_path / "dump"
    for number in range(1, 9):
        put(cache, an_entry(number), hits=number)
    file.write_bytes(exported(cache))
    # What an import that was killed may leave: some rows, some without their hits.
    put(other, an_entry(8), hits=8)
    put(other, an_entry(7))
    done = imported(other, file)
    assert (done.added, done.same) == (6, 2)
    assert exported(other) == exported(cache)
    assert imported(other, file).same == 8
    assert exported(other) == exported(cache)


def test_hits_that_came_since_are_kept(cache, other, tmp_path):
    file = tmp_path / "dump"
    put(cache, an_entry(1), hits=2)
    file.write_bytes(exported(cache))
    imported(other, file)
    other.engine.store.touch({bytes.fromhex(an_entry(1).key): (3, NOON + 500)})
    imported(other, file)
    assert (row(other).hits, row(other).last_hit_at) == (5, NOON + 500)


def test_a_dry_run_changes_nothing(cache, other, tmp_path):
    file = tmp_path / "dump"
    put(cache, an_entry(1), hits=2)
    file.write_bytes(exported(cache))
    assert imported(other, file, dry_run=True).added == 1
    assert list(other.engine.store.scan()) == []


def test_redacted_lines_hold_nothing_that_was_written(cache):
    secret = "xyzzy-secret"
    body = json.dumps({"model": "gpt-4o", secret: secret, "messages": [{"role": "user", "content": secret}]}).encode()
    reply = json.dumps({"choices": [{"message": {"role": "assistant", "content": secret}}], "embedding": [1.5, 2]})
    entry = an_entry(1, (reply.encode(),), body=body)
    put(cache, replace(entry, head=head_with(secret)))
    data = exported(cache, redact=True)
    assert secret.encode() not in data
    assert entry.key.encode() not in data
    (record,) = map(json.loads, data.splitlines())
    assert record["request"]["messages"] == [{"role": "user", "content": "[12 characters]"}]
    assert record["response"]["embedding"] == "[2 numbers]"
    assert (record["provider"], record["cost_usd"], record["redacted"]) == ("openai", "0.000012345678", True)


def head_with(secret):
    return replace(ODD[0].head, headers=(("x-request-id", secret),))


PLACES = {
    "sqlite": lambda request, path: {"database_url": str(path)},
    "sealed": lambda request, path: {"database_url": str(path), "enable_encryption": True, "encryption_key": "a key"},
    "redis": lambda request, _: {"database_url": request.getfixturevalue("redis_server").url},
    "sealed redis": lambda request, _: {
        "database_url": request.getfixturevalue("redis_server").url,
        "enable_encryption": True,
        "encryption_key": "a key",
    },
}


@pytest.mark.parametrize(
    ("one", "two"),
    [("sqlite", "redis"), ("redis", "sqlite"), ("sqlite", "sealed"), ("sealed", "redis"), ("sealed redis", "sqlite")],
)
def test_from_any_kind_of_store_into_any_other_and_out_again(request, tmp_path, one, two):
    """The export of the second, in the clear, is that of the first to the byte."""
    file = tmp_path / "dump.jsonl"
    patient = {"read_timeout_ms": 10_000, "write_timeout_ms": 20_000}
    with LLMCache(**PLACES[one](request, tmp_path / "one.db"), **patient) as first:
        fill(first)
        file.write_bytes(exported(first, decrypt=True))
    with LLMCache(**PLACES[two](request, tmp_path / "two.db"), **patient) as second:
        done = imported(second, file)
        assert done.added == done.seen == len(ODD) + 5
        assert exported(second, decrypt=True) == file.read_bytes()
        assert imported(second, file).same == done.seen
        assert exported(second, decrypt=True) == file.read_bytes()


def lines_of(*entries):
    with LLMCache(backend="memory") as made:
        lines = []
        for entry, hits in entries:
            put(made, entry, hits)
            lines.append(exported(made))
            made.purge(everything=True)
    return b"".join(lines)


def test_one_key_twice_in_a_file_is_one_entry_the_newer_with_the_higher_hits(cache, tmp_path):
    file = tmp_path / "dump"
    newer = an_entry(1, created_at=NOON + 5)
    file.write_bytes(lines_of((an_entry(1, created_at=NOON), 9), (newer, 1), (newer, 4), (newer, 2)))
    done = imported(cache, file)
    assert (done.added, done.replaced, done.same) == (1, 1, 2)
    assert (row(cache).created_at, row(cache).hits) == (NOON + 5, 4)


def test_many_entries_are_written_together_but_not_too_many(cache, other, tmp_path, monkeypatch):
    file = tmp_path / "dump"
    for number in range(1, 600):
        put(cache, an_entry(number), hits=number % 3)
    for number in range(600, 608):
        put(cache, an_entry(number, (os.urandom(1_000_000),)))
    file.write_bytes(exported(cache))
    loads = []
    store = other.engine.store
    monkeypatch.setattr(store, "load", lambda rows: loads.append(sum(len(row.value) for row in rows)), raising=False)
    imported(other, file)
    assert len(loads) < 8
    assert max(loads) < 6_000_000


def test_what_comes_before_a_line_that_is_none_is_kept_and_told(cache, other, tmp_path):
    """As from standard input, which cannot be looked through beforehand."""
    file = tmp_path / "dump"
    for number in range(1, 6):
        put(cache, an_entry(number))
    file.write_bytes(exported(cache) + b"{}\n")
    told = []
    with pytest.raises(FormatError, match="line 6"):
        imported(other, file, told=lambda: told.append(1))
    assert len(told) == 5
    assert other.engine.store.summary().entries == 5


def test_what_could_not_be_written_is_not_said_to_be(cache, other, tmp_path, monkeypatch):
    file = tmp_path / "dump"
    for number in range(1, 400):
        put(cache, an_entry(number))
    file.write_bytes(exported(cache))
    told, calls = [], []

    def load(rows):
        calls.append(len(rows))
        raise StoreError("full")

    monkeypatch.setattr(other.engine.store, "load", load, raising=False)
    with pytest.raises(StoreError):
        imported(other, file, told=lambda: told.append(1))
    assert told == []
    assert len(calls) == 1
