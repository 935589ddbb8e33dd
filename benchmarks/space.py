"""How many bytes an entry takes, and what a hit pays to unpack it: `python -m benchmarks.space`. It judges nothing.

The generated corpus says other things than the one that the dictionary was made of: its text is that of this project's
documentation. Recorded traffic is used where there is some.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tools.make_dictionary import samples
from tools.sample_text import Maker

from llm_cache.codec.codec import Codec
from llm_cache.core.model import Entry, Frame, Head, Request, Usage
from llm_cache.core.recorder import kept_headers
from llm_cache.stores.registry import open_store
from llm_cache.testing.traffic import load_traffic

DOCS = Path(__file__).resolve().parent.parent / "docs"
ROUNDS = 40


def _entry(number: int, url: str, sent: object, asked: bytes, kept: object, chunks: list[bytes], waits: Maker) -> Entry:
    at, frames = 0, []
    for chunk in chunks:
        at += waits.number(3_000, 40_000)
        frames.append(Frame(chunk, at))
    return Entry(
        key=f"{number:064x}",
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


def generated(seed: int) -> Iterator[tuple[str, Entry]]:
    """Kind and entry."""
    prose = " ".join(" ".join(file.read_text(encoding="utf-8").split()) for file in sorted(DOCS.rglob("*.md")))
    make = Maker(seed, prose)
    for number, (kind, *made) in enumerate(samples(seed, ROUNDS, make)):
        yield kind, _entry(number, *made, make)


def recorded() -> Iterator[tuple[str, Entry]]:
    """Likewise, of recorded traffic; cut into events, since chunks were not recorded."""
    make = Maker(1)
    for number, exchange in enumerate(load_traffic()):
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
    with tempfile.TemporaryDirectory() as folder:
        for name, entries in (("plain of 1 KB", plain), ("streams of 50 chunks", streams)):
            file = Path(folder) / f"{len(entries)}-{name[:5]}.db"
            store = open_store(str(file))
            for entry in entries:
                store.put(codec.encode(entry))
            store.compact()
            store.close()
            print(f"{name}: {file.stat().st_size / len(entries):.0f} bytes of file for each of {len(entries)}")


if __name__ == "__main__":
    main()
