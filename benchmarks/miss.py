"""What the proxy adds to a call that it has to send on, plain or streamed, and what it takes before its first call.

The provider is a process of its own that answers at once. CPU is that of the proxy's process, read from `/proc`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from benchmarks.measure import Result
from benchmarks.peer import REPLY, REQUEST
from benchmarks.proxy import _cpu_s, _free_port, _server
from benchmarks.streams import UPSTREAM, _memory_kib, _started

AT_ONCE = 16
CHUNKS = 50
# Answers every request with the same JSON, in a process of its own.
PLAIN = """
import asyncio, sys
BODY = sys.argv[1].encode()
REPLY = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(BODY) + BODY

async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\\r\\n")[0])
            await reader.readexactly(length)
            writer.write(REPLY)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def request(number: int, *, stream: bool = False, headers: str = "", model: str = "gpt-4o-mini") -> bytes:
    """One that nobody has asked before."""
    body = json.dumps({**REQUEST, "model": model, "seed": number, **({"stream": True} if stream else {})}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}authorization: Bearer sk-bench\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def ask(port: int, requests: list[bytes]) -> list[float]:
    """Send them one after the other on one connection; seconds that each took to its last byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    for each in requests:
        begun = time.perf_counter()
        writer.write(each)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        if b"content-length:" in head:
            await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        else:
            last = b""
            while not last.endswith(b"0\r\n\r\n"):
                data = await reader.read(65536)
                assert data, "broken off"
                last = (last + data)[-8:]
        taken.append(time.perf_counter() - begun)
    writer.close()
    return taken


async def _load(port: int, requests: list[bytes]) -> None:
    await asyncio.gather(*(ask(port, requests[number::AT_ONCE]) for number in range(AT_ONCE)))


def cpu_per_call(pid: int, port: int, requests: list[bytes]) -> float:
    """Microseconds of the process's CPU for each of these requests, some of them at once."""
    before = _cpu_s(pid)
    asyncio.run(_load(port, requests))
    return (_cpu_s(pid) - before) / len(requests) * 1e6


@contextmanager
def upstream(program: str, *arguments: str) -> Iterator[int]:
    """A provider in a process of its own; its port."""
    with tempfile.TemporaryDirectory() as home:
        with _started([sys.executable, "-c", program, *arguments], home) as (_, line):
            yield int(line)


@contextmanager
def proxy(provider: int) -> Iterator[tuple[int, int]]:
    """Ours, with one worker; its process and its port."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as home:
        serve = [sys.executable, "-m", "llm_cache.cli.main", "serve", "--port", str(port)]
        with _server([*serve, "--upstream", f"openai=http://127.0.0.1:{provider}/v1"], port, home) as pid:
            # Connections are accepted before all is loaded.
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30).close()
            yield pid, port


def _added(*, quick: bool, numbers: Iterator[int]) -> list[Result]:
    direct: list[float] = []
    through: list[float] = []
    with upstream(PLAIN, json.dumps(REPLY)) as provider, proxy(provider) as (pid, port):
        kib = _memory_kib(pid)
        for _ in range(6 if quick else 30):
            each = [request(next(numbers)) for _ in range(30)]
            direct += asyncio.run(ask(provider, each))[5:]
            through += asyncio.run(ask(port, each))[5:]
    added_ms = (statistics.median(through) - statistics.median(direct)) * 1000
    ours, theirs = (
        f"{statistics.median(each) * 1000:.2f} ms (p99 {sorted(each)[len(each) * 99 // 100] * 1000:.1f})"
        for each in (through, direct)
    )
    data = {"added_ms": added_ms, "figure": added_ms}
    return [
        Result(
            "proxy miss", "the provider alone", ours, theirs, f"+{added_ms:.2f} ms",
            "under +0.4 ms", added_ms < 0.4, data,
        ),
        Result(
            "memory of a worker before its first call", "", f"{kib / 1024:.0f} MiB", "", f"{kib / 1024:.0f} MiB",
            "under 60 MB", kib * 1024 < 60e6, {"kib": float(kib), "figure": kib / 1024},
        ),
    ]  # fmt: skip


def _streams(*, quick: bool, numbers: Iterator[int]) -> Result:
    kept: list[float] = []
    relayed: list[float] = []
    with upstream(UPSTREAM, str(CHUNKS), "0") as provider, proxy(provider) as (pid, port):
        for _ in range(3 if quick else 8):
            for headers, times in (("x-llm-cache-mode: off\r\n", relayed), ("", kept)):
                each = [request(next(numbers), stream=True, headers=headers) for _ in range(AT_ONCE * 12)]
                times.append(cpu_per_call(pid, port, each))
    ours, theirs = statistics.median(kept[1:]), statistics.median(relayed[1:])
    return Result(
        f"stream of {CHUNKS} chunks, relayed and recorded", "relayed alone, by the same proxy",
        f"{ours:,.0f} µs of CPU", f"{theirs:,.0f} µs of CPU", f"{ours / theirs:.2f}x", "under 2x", ours / theirs <= 2,
        {"ours_us": ours, "theirs_us": theirs, "figure": ours / theirs},
    )  # fmt: skip


def run(*, quick: bool) -> list[Result]:
    """Three results: latency of a miss, memory, and CPU of a stream."""
    if not Path("/proc/self/stat").exists():
        return []
    numbers = count(1)
    return [*_added(quick=quick, numbers=numbers), _streams(quick=quick, numbers=numbers)]
