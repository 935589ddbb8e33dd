"""Promise 1: what comes out of a record is what went in."""

from __future__ import annotations

import decimal
import hashlib
import random
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard
from hypothesis import given

from llm_cache.codec import zstd
from llm_cache.codec.codec import Codec, sealed_with, to_pico, to_usd
from llm_cache.core.model import Entry, Frame, Head, Request, Row
from llm_cache.errors import FormatError, UncacheableError
from tests.codec.codec_samples import BARE, PLAIN, SAMPLES, as_kept, entries, without_request
from tests.codec.golden_records import KEYS, load, records

PACKED, RAW = Codec(), Codec(compress=False)


@given(entries)
def test_every_entry_comes_back(entry: Entry) -> None:
    for codec in (PACKED, RAW):
        row = codec.encode(entry)
        assert codec.decode(row) == without_request(entry, len(row.value))
        assert codec.asked(row) == entry.asked


@pytest.mark.parametrize("name", SAMPLES)
def test_columns_say_what_the_entry_says(name: str) -> None:
    entry = SAMPLES[name]
    row = PACKED.encode(entry)
    assert row == Row(
        bytes.fromhex(entry.key),
        row.value,
        entry.kind,
        entry.provider,
        entry.model,
        entry.endpoint,
        entry.namespace,
        entry.stream,
        entry.status,
        entry.created_at,
        entry.expires_at,
        entry.input_tokens,
        entry.output_tokens,
        to_pico(entry.cost_usd),
        entry.latency_ms,
        entry.hits,
        entry.last_hit_at,
    )


@pytest.mark.parametrize("file", records(), ids=lambda file: file.stem)
def test_records_of_earlier_versions_are_read_for_ever(file) -> None:
    row, entry = load(file)
    codecs = (Codec(keys=lambda: KEYS),) if sealed_with(row) else (PACKED, RAW)
    for codec in codecs:
        assert codec.decode(row) == replace(entry, asked=None)
        assert codec.asked(row) == entry.asked


def test_there_are_golden_records() -> None:
    assert len(records()) >= 20


def test_records_are_compressed_when_it_helps() -> None:
    body = b'{"text": "' + b"all work and no play " * 500 + b'"}'
    entry = replace(PLAIN, frames=(Frame(body, 0),), asked=Request("POST", "u", (), body))
    assert len(PACKED.encode(entry).value) < 1000
    assert len(RAW.encode(entry).value) > 2 * len(body)
    # Raw ones are no larger than they need be: nothing is gained by packing these.
    assert PACKED.encode(BARE).value == RAW.encode(BARE).value


def test_a_hit_does_not_look_at_the_request() -> None:
    row = PACKED.encode(replace(PLAIN, asked=Request("POST", "u", (), bytes(range(256)) * 100)))
    broken = row._replace(value=row.value[:-1] + bytes([row.value[-1] ^ 1]))
    assert PACKED.decode(broken) == PACKED.decode(row)
    with pytest.raises(FormatError):
        PACKED.asked(broken)


def test_the_size_limit() -> None:
    codec = Codec(max_bytes=1000)
    fits = replace(PLAIN, frames=(Frame(bytes(1000), 0),), asked=None)
    assert codec.decode(codec.encode(fits)).body == bytes(1000)
    for size in (100_000, 10_000_000):
        with pytest.raises(UncacheableError, match="over the limit"):
            codec.encode(replace(PLAIN, frames=(Frame(bytes(size), 0),)))
        # A request only explains; the answer is kept without it.
        row = codec.encode(replace(fits, asked=Request("POST", "u", (), bytes(size))))
        assert codec.asked(row) is None
        assert codec.decode(row).body == bytes(1000)


STREAMED = SAMPLES["stream"]


def test_a_reply_of_the_full_size_in_chunks_of_a_network_fits() -> None:
    size = 16 * 1024 * 1024
    chunk = bytes(1400)
    frames = tuple(Frame(chunk, number * 1_000_000) for number in range(size // 1400))
    row = PACKED.encode(replace(STREAMED, frames=frames))
    assert PACKED.decode(row).frames == as_kept(replace(STREAMED, frames=frames)).frames


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "no hex"},
        {"key": "\udcff"},
        {"model": "\ud800"},
        {"head": Head(200, (("a", "\ud800"),))},
        {"head": Head(200, ((1, 2),))},
        {"created_at": None},
        {"frames": ((1, 2),)},
        {"asked": Request("POST", "\udcff", (), b"")},
        {"cost_usd": "1"},
    ],
    ids=repr,
)
def test_what_cannot_be_written_is_uncacheable(changes) -> None:
    try:
        row = PACKED.encode(replace(PLAIN, **changes))
        PACKED.decode(row)
    except (UncacheableError, FormatError):
        return
    pytest.fail("written")


@pytest.mark.parametrize(
    ("usd", "pico"),
    [
        (None, None),
        ("0", 0),
        ("0.000000000001", 1),
        ("0.0000000000005", 0),
        ("0.0000000000015", 2),
        ("-0.25", -250_000_000_000),
        ("9223372.036854775807", 2**63 - 1),
        ("123456789012345678901234567890.5", 123456789012345678901234567890_500_000_000_000),
        ("NaN", None),
        ("Infinity", None),
    ],
)
def test_money_is_whole_pico_dollars_under_any_context(usd: str | None, pico: int | None) -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        context.traps[decimal.Inexact] = True
        assert to_pico(None if usd is None else Decimal(usd)) == pico
        back = to_usd(pico)
    if usd is not None and pico is not None and abs(pico) > 2:
        assert back == Decimal(usd)
        assert str(back) == str(Decimal(f"{pico}e-12"))


def test_numbers_may_be_of_any_type_and_zero_of_any_sign() -> None:
    row = PACKED.encode(replace(PLAIN, created_at=5, expires_at=-0.0, latency_ms=-0.0))
    assert [str(part) for part in (row.created_at, row.expires_at, row.latency_ms)] == ["5.0", "0.0", "0.0"]


def test_threads_do_not_share_a_decompressor() -> None:
    row, wrong = PACKED.encode(STREAMED), []
    whole = PACKED.decode(row)

    def work() -> None:
        wrong.extend(1 for _ in range(300) if PACKED.decode(row) != whole or PACKED.encode(STREAMED) != row)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_dictionary_is_what_it_was_when_it_was_released() -> None:
    for number, (name, digest) in zstd.DICTIONARIES.items():
        data = (Path(zstd.__file__).parent / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        assert 0 < number < 256
    assert zstd.DICTIONARY in zstd.DICTIONARIES


def test_a_small_reply_takes_half_of_what_it_takes_without_the_dictionary() -> None:
    body = b"""{"id": "chatcmpl-Xq7", "object": "chat.completion", "created": 1760000000, "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Rivers carry silt.", "refusal": null,
    "annotations": []}, "logprobs": null, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9}}"""
    entry = replace(PLAIN, frames=(Frame(body, 1),))
    alone = len(zstandard.ZstdCompressor(level=19).compress(body))
    assert len(PACKED.encode(entry).value) < alone
    assert PACKED.decode(PACKED.encode(entry)).body == body


def test_large_replies_come_back_too() -> None:
    body = bytes(random.Random(3).choices(b"abcdef ", k=300_000))
    entry = replace(PLAIN, frames=(Frame(body, 5), Frame(b"", 4), Frame(body[:9], 2**40)))
    assert PACKED.decode(PACKED.encode(entry)).frames == as_kept(entry).frames
    # Beside a large request they are kept as they are.
    entry = replace(entry, asked=Request("POST", "u", (), body))
    assert PACKED.decode(PACKED.encode(entry)).frames == entry.frames
