"""How many bytes an entry takes, and what a hit pays to unpack it. `python -m benchmarks.space` prints each kind.

The generated corpus says other things than the one that the dictionary was made of: its text is that of this project's
documentation. Recorded traffic is used where there is some. Everything in the file counts: columns, indices, unused
parts of pages, the log once it is written back.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tools.make_dictionary import samples
from tools.sample_text import Maker

from benchmarks.measure import Result
from llm_cache.codec.codec import Codec
from llm_cache.core.model import Entry, Frame, Head, Request, Usage
from llm_cache.core.recorder import kept_headers
from llm_cache.stores.registry import open_store
from llm_cache.testing.traffic import load_traffic

DOCS = Path(__file__).resolve().parent.parent / "docs"
ROUNDS = 40
_PLAIN_TARGET, _STREAM_TARGET = 600, 900
_KINDS = {
    "chat of 1 KB, with its request": (
        _PLAIN_TARGET,
        lambda entry: not entry.stream and 900 <= len(entry.body) <= 1100,
    ),
    "stream of 50 chunks": (_STREAM_TARGET, lambda entry: _is_stream(entry) and b"obfuscation" not in entry.body),
    "stream of 50 chunks, padded with random letters": (
        _STREAM_TARGET,
        lambda entry: _is_stream(entry) and b"obfuscation" in entry.body,
    ),
}


def _is_stream(entry: Entry) -> bool:
    return entry.stream and 45 <= len(entry.frames) <= 55


def _entry(number: int, url: str, sent: object, asked: bytes, kept: object, chunks: list[bytes], waits: Maker) -> Entry:
    at, frames = 0, []
    for chunk in chunks:
        at += waits.number(3_000, 40_000)
        frames.append(Frame(chunk, at))
    return Entry(
        key=hashlib.sha256(b"%d" % number).hexdigest(),
        kind="http",
        provider="openai",
        model="gpt-4o-mini",
        endpoint="/v1/chat/completions",
        namespace="default",
        head=Head(200, kept),  # type: ignore[arg-type]
        frames=tuple(frames),
        stream=len(chunks) > 1,
        created_at=1_760_000_000.123 + number,
        expires_at=1_762_592_000.123 + number,
        asked=Request("POST", url, sent, asked),  # type: ignore[arg-type]
        usage=Usage(21, 34, 0, None, 0, None, None),
        latency_ms=812.5,
        answered_model="gpt-4o-mini-2024-07-18",
    )


def generated(seed: int, rounds: int = ROUNDS) -> Iterator[tuple[str, Entry]]:
    """Kind and entry."""
    prose = " ".join(" ".join(file.read_text(encoding="utf-8").split()) for file in sorted(DOCS.rglob("*.md")))
    make = Maker(seed, prose)
    for number, (kind, *made) in enumerate(samples(seed, rounds, make)):
        yield kind, _entry(number, *made, make)


def recorded() -> Iterator[tuple[str, Entry]]:
    """Likewise, of recorded traffic if there is some; cut into events, since chunks were not recorded."""
    make = Maker(1)
    try:
        exchanges = load_traffic()
    except FileNotFoundError:
        return
    for number, exchange in enumerate(exchanges):
        if not exchange.ok:
            continue
        body = exchange.response
        chunks = [part + b"\n\n" for part in body.split(b"\n\n") if part] if exchange.stream else [body]
        made = (
            f"https://{exchange.host}{exchange.path}",
            (),
            exchange.request,
            kept_headers(exchange.response_headers),
        )
        yield f"{exchange.provider} {'stream' if exchange.stream else 'plain'}", _entry(number, *made, chunks, make)


def _decoding_us(codec: Codec, entry: Entry) -> float:
    row, times = codec.encode(entry), []
    for _ in range(300):
        begun = time.perf_counter_ns()
        codec.decode(row)
        times.append(time.perf_counter_ns() - begun)
    return statistics.median(times) / 1000


def _print(name: str, entries: list[Entry], codec: Codec) -> None:
    sizes = [len(codec.encode(entry).value) for entry in entries]
    body = statistics.mean(len(entry.body) for entry in entries)
    asked = statistics.mean(len(entry.asked.body) for entry in entries if entry.asked)
    chunks = statistics.mean(len(entry.frames) for entry in entries)
    us = statistics.median(_decoding_us(codec, entry) for entry in entries[:5])
    print(
        f"{name:24} {len(entries):5} {chunks:7.0f} {asked:8.0f} {body:8.0f} {statistics.mean(sizes):8.0f}"
        f" {statistics.median(sizes):8.0f} {us:8.1f}"
    )


def main() -> None:
    """Print both corpora, and two entries of the sizes that are promised."""
    codec = Codec()
    print(f"{'':24} {'n':>5} {'chunks':>7} {'request':>8} {'reply':>8} {'record':>8} {'median':>8} {'µs':>8}")
    for corpus in (generated(77), recorded()):
        by: dict[str, list[Entry]] = {}
        for kind, entry in corpus:
            by.setdefault(kind, []).append(entry)
        for kind, entries in by.items():
            _print(kind, entries, codec)
        print()
    found = list(generated(78))
    plain = [e for _, e in found if not e.stream and 900 <= len(e.body) <= 1100]
    streams = [e for _, e in found if e.stream and 45 <= len(e.frames) <= 55]
    _print("plain of 1 KB", plain, codec)
    _print("streams of 50 chunks", streams, codec)
    for name, entries in (("plain of 1 KB", plain), ("streams of 50 chunks", streams)):
        print(f"{name}: {_in_a_file(entries):.0f} bytes of file for each of {len(entries)}")


def _in_a_file(entries: list[Entry]) -> float:
    """Bytes on the disk for each entry, as a program leaves them when it ends."""
    codec = Codec()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"{folder}/cache.db")
        for entry in entries:
            store.put(codec.encode(entry))
        store.close()
        return sum(file.stat().st_size for file in Path(folder).iterdir()) / len(entries)


def _sent(entries: list[Entry]) -> float:
    return statistics.mean(len(entry.body) + len(entry.asked.body if entry.asked else b"") for entry in entries)


def run(*, quick: bool) -> list[Result]:
    """What entries of the sizes that are promised take, and recorded ones as they are."""
    found = [entry for _, entry in generated(78, 300 if quick else 3000)]
    results = []
    for name, (target, is_one) in _KINDS.items():
        entries = [entry for entry in found if is_one(entry)]
        results.append(_result(f"bytes of a {name}", entries, f"under {target}", target))
    traffic = [entry for _, entry in recorded()]
    if traffic:
        results.append(_result("bytes of an entry of recorded traffic", traffic, "", None))
    return results


def _result(name: str, entries: list[Entry], target: str, most: float | None) -> Result:
    ours, theirs = _in_a_file(entries), _sent(entries)
    data = {"ours": ours, "theirs": theirs, "entries": len(entries)}
    met = most is None or ours < most
    return Result(name, "as sent", f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.2f}x", target, met, data)


if __name__ == "__main__":
    main()
