"""Files that no export ever wrote: refused with the line that is wrong, within bounds, and nothing is changed."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest
import zstandard

from llm_cache.errors import FormatError
from llm_cache.transfer.importing import count, read_entries
from llm_cache.transfer.records import entry_of, line_of
from tests.transfer.conftest import an_entry, exported

LIMIT = 16 * 1024 * 1024


@pytest.fixture
def lines(cache):
    for number in range(1, 4):
        cache.engine.store.put(cache.engine.codec.encode(an_entry(number)))
    return exported(cache).splitlines(keepends=True)


def refused(path, data, limit=LIMIT):
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        list(read_entries(str(path), limit))
    assert "\n" not in str(caught.value)
    return str(caught.value)


CHANGES = [
    ({"key": "AB" * 32}, "key"),
    ({"key": "../../etc/passwd"}, "key"),
    ({"key": None}, "key"),
    ({"kind": "pickle"}, "kind"),
    ({"status": 500}, "status"),
    ({"created_at": -1}, "created_at"),
    ({"created_at": "2026-01-01"}, "created_at"),
    ({"created_at": 1e300}, "created_at"),
    ({"expires_at": -5}, "expires_at"),
    ({"latency_ms": -1}, "latency_ms"),
    ({"hits": -1}, "hits"),
    ({"hits": 2**64}, "hits"),
    ({"usage": {"terms": "x" * 1_000_000}}, "terms"),
    ({"usage": {"terms": 7}}, "terms"),
    ({"usage": {"billed_pico": -1}}, "billed_pico"),
    ({"usage": {"web_searches": 2**63}}, "web_searches"),
    ({"usage": {"cache_write_1h_tokens": "5"}}, "cache_write_1h_tokens"),
    ({"hits": 1.5}, "hits"),
    ({"cost_usd": "NaN"}, "cost_usd"),
    ({"cost_usd": "1e9"}, "cost_usd"),
    ({"cost_usd": 0.5}, "cost_usd"),
    ({"cost_usd": "9999999"}, "cost_usd"),
    ({"usage": {"input_tokens": -3}}, "input_tokens"),
    ({"reply": None}, "reply"),
    ({"redacted": True}, "redact"),
    ({"stream": "no"}, "stream"),
    ({"provider": 7}, "provider"),
]
REPLIES = [
    ({"frames": [[5, 0]]}, "frames"),
    ({"frames": [[-1, 0]]}, "frames"),
    ({"frames": [[10**9, 0]]}, "frames"),
    ({"frames": "many"}, "frames"),
    ({"form": "yaml"}, "form"),
    ({"form": "text"}, "form"),
    ({"form": None, "body": {"base64": "!!"}}, "base64"),
    ({"form": None, "body": 7}, "form"),
    ({"headers": [["x-request-id", "a\r\nset-cookie: b"]]}, "header"),
    ({"headers": [["x-request-id"]]}, "headers"),
]


@pytest.mark.parametrize(("change", "named"), CHANGES)
def test_what_no_entry_could_be_is_refused_with_its_line(lines, tmp_path, change, named):
    changed = json.dumps(json.loads(lines[1]) | change).encode() + b"\n"
    message = refused(tmp_path / "dump.jsonl", lines[0] + b"\n" + changed + lines[2])
    assert f"{tmp_path}/dump.jsonl, line 3: " in message
    assert named in message


@pytest.mark.parametrize(("change", "named"), REPLIES)
def test_replies_that_do_not_fit_themselves_are_refused(lines, tmp_path, change, named):
    record = json.loads(lines[0])
    record["reply"] |= change
    message = refused(tmp_path / "dump", json.dumps(record).encode())
    assert "line 1: " in message
    assert named in message


def test_headers_that_are_never_kept_are_left_out(lines):
    record = json.loads(lines[0])
    record["reply"]["headers"] += [["set-cookie", "a=b"], ["x-ratelimit-limit", "3"]]
    record["asked"]["headers"] = [["authorization", "Bearer sk-1"], ["openai-beta", "x"]]
    record["asked"]["url"] = "https://user:pass@api.openai.com/v1/x?api-version=1"
    entry = entry_of(line_of(json.dumps(record).encode()))
    assert entry.head == an_entry().head
    assert entry.asked.headers == (("openai-beta", "x"),)
    assert entry.asked.url == "https://api.openai.com/v1/x?api-version=1"


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b"{",
        b"{}",
        b"[]x",
        b"[1]",
        b"[{}",
        b'[{"a":"b',
        b"[{},]",
        b"[,]",
        b"[{} {}]",
        b'"text"',
        b"null",
        b"\x00" * 100,
        b"\xff\xfe",
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"key":' + b"[" * 100_000,
        b'{"key": "' + b"9" * 10_000,
        gzip.compress(b"x" * 100, mtime=0)[:-10],
        b"\x1f\x8bnot gzip",
        b"\x28\xb5\x2f\xfdnot zstd",
        zstandard.compress(b'{"a":1}')[:-3],
        b"SQLite format 3\0" + b"\0" * 100,
    ],
)
def test_garbage_is_refused(tmp_path, data):
    refused(tmp_path / "dump", data)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_packed_file_that_is_cut_off_is_refused(lines, tmp_path, pack):
    data = pack(b"".join(lines))
    assert len(list(read_entries(str(whole(tmp_path, data)), LIMIT))) == 3
    for cut in range(1, len(data), 7):
        if data[:cut] not in {b"\x1f", b"\x28", b"\x28\xb5", b"\x28\xb5\x2f"}:
            refused(tmp_path / "dump", data[:cut])


def whole(tmp_path, data):
    path = tmp_path / "whole"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("beginning", [b"", b"[", b'{"key":"'])
def test_what_unpacks_to_more_than_any_entry_takes_bounded_memory(tmp_path, beginning, packed):
    data = beginning + b"a" * 100_000_000
    path = tmp_path / "bomb"
    path.write_bytes(zstandard.compress(data) if packed else data)
    del data
    tracemalloc.start()
    with pytest.raises(FormatError, match="longer than 7 MB"):
        list(read_entries(str(path), 1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


def test_arrays_of_any_layout_are_read_and_lines_counted(lines, tmp_path):
    records = [json.loads(line) for line in lines]
    path = tmp_path / "dump.json"
    for layout in ({}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}):
        path.write_text("\n " + json.dumps(records, **layout) + "\n\n")
        assert [entry.key for entry in read_entries(str(path), LIMIT)] == [record["key"] for record in records]
    records[2]["hits"] = -1
    text = json.dumps(records, indent=2)
    line = text[: text.rindex('{\n    "key"')].count("\n") + 1
    assert f"line {line}: it has -1 hits" in refused(path, text.encode())


def test_a_damaged_file_is_seen_before_anything_is_imported(lines, cache, tmp_path):
    path = tmp_path / "dump"
    path.write_bytes(lines[0] + lines[1][:-20])
    with pytest.raises(FormatError, match="line 2"):
        count(str(path), cache.engine)
    path.write_bytes(b"".join(lines))
    assert count(str(path), cache.engine) == 3


def test_an_answer_over_the_limit_is_refused(cache, tmp_path):
    cache.engine.store.put(cache.engine.codec.encode(an_entry(1, (b"x" * 3_000_000,))))
    message = refused(tmp_path / "dump", exported(cache), limit=100_000)
    assert "line 1: it is longer than" in message
