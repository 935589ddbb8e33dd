"""A thousand slow streams at once through one worker: memory and CPU they take, and what a first byte is late by."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Result

CHUNKS, PAUSE_S = 20, 0.5
WARM = 50
LONG = 50
"""How many streams of 200 chunks are compared, kept and passed through alone."""
# A provider that says a word every half second, in a process of its own so that its work is not counted as ours.
UPSTREAM = """
import asyncio, json, sys
count, pause = int(sys.argv[1]), float(sys.argv[2])
delta = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n"
word = "data: " + json.dumps({**delta, "choices": [{"index": 0, "delta": {"content": "word "}}]}) + "\\n\\n"
last = "data: " + json.dumps({**delta, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + "\\n\\n"

def chunk(text):
    return b"%x\\r\\n%b\\r\\n" % (len(text), text.encode())

async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\\r\\n")[0])
            body = json.loads(await reader.readexactly(length))
            # Quick ones end after their first word, which must not come with the end: that waits for the store.
            words, rest = {"quick": (1, 0.005), "long": (199, 0.01)}.get(body.get("user"), (count - 1, pause))
            writer.write(HEAD)
            for _ in range(words):
                writer.write(chunk(word))
                await writer.drain()
                await asyncio.sleep(rest)
            writer.write(chunk(last + "data: [DONE]\\n\\n") + b"0\\r\\n\\r\\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Figures:
    """What so many streams at once came to.

    Attributes:
        whole: how many ended as they should.
        kib_per_stream: memory of the proxy while all are under way, above what it took before, for each.
        cpu_us_per_chunk: its CPU time from the first to the last, for each chunk.
        added_ms: the median by which a first byte is later than without it, one call at a time.
        kept_us, relayed_us: CPU time for a chunk of long streams, whether they are kept or passed through alone.
    """

    streams: int
    whole: int
    kib_per_stream: float
    cpu_us_per_chunk: float
    added_ms: float
    kept_us: float
    relayed_us: float


def _request(number: int, kind: str = "", more: str = "") -> bytes:
    ask = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"Question {number}?"}]}
    body = json.dumps({**ask, "user": kind}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}{more}authorization: Bearer sk-bench\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def _stream(port: int, request: bytes) -> tuple[bool, float]:
    """Whether a stream came whole, and after how many seconds its first byte came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        began = time.perf_counter()
        writer.write(request)
        got = await reader.readuntil(b"data: ")
        first_s = time.perf_counter() - began
        while not got.endswith(b"0\r\n\r\n"):
            data = await reader.read(65536)
            if not data:
                return False, first_s
            got = (got + data)[-64:]
        return True, first_s
    finally:
        writer.close()


async def _first_bytes(port: int, numbers: Iterator[int], count: int) -> list[float]:
    return [(await _stream(port, _request(next(numbers), "quick")))[1] for _ in range(count)]


async def _per_chunk_us(pid: int, port: int, numbers: Iterator[int], more: str) -> float:
    """CPU time for a chunk of long streams."""
    before_s = _cpu_s(pid)
    streams = [_stream(port, _request(next(numbers), "long", more)) for _ in range(LONG)]
    assert all(whole for whole, _ in await asyncio.gather(*streams))
    return (_cpu_s(pid) - before_s) / (LONG * 200) * 1e6


def _memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _started(command: list[str], home: str, *, wait: bool = True) -> Iterator[tuple[int, str]]:
    """A process, and the first line that it says."""
    with subprocess.Popen(
        command, env={**os.environ, "HOME": home}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline() if wait else ""
        finally:
            process.terminate()
            process.communicate(timeout=20)


def _port_in(log: Path) -> int:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        said = log.read_text() if log.exists() else ""
        if "\n" in said:
            return int(said.partition("http://127.0.0.1:")[2].split()[0])
        time.sleep(0.05)
    raise TimeoutError("the proxy did not begin")


def measure(streams: int, chunks: int = CHUNKS, pause_s: float = PAUSE_S, rounds: int = 3) -> Figures:
    """Send so many streams through one worker at once; then, in so many rounds, long ones kept and not."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as home:
        with _started([sys.executable, "-c", UPSTREAM, str(chunks), str(pause_s)], home) as (_, line):
            upstream = int(line)
            log = Path(home) / "log"
            serve = [sys.executable, "-m", "llm_cache.cli.main", "serve", "--port", "0", "--log-file", str(log)]
            serve += ["--upstream", f"openai=http://127.0.0.1:{upstream}/v1"]
            with _started(serve, home, wait=False) as (pid, _):
                port = _port_in(log)
                return asyncio.run(_measure(pid, port, upstream, streams, chunks, pause_s, rounds))


async def _measure(
    pid: int, port: int, upstream: int, streams: int, chunks: int, pause_s: float, rounds: int
) -> Figures:
    numbers = iter(range(10**9))
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(4):
        theirs += await _first_bytes(upstream, numbers, WARM)
        ours += await _first_bytes(port, numbers, WARM)
    before_kib, before_s = _memory_kib(pid), _cpu_s(pid)
    running = [asyncio.ensure_future(_stream(port, _request(next(numbers)))) for _ in range(streams)]
    await asyncio.sleep(chunks * pause_s * 0.75)
    during_kib = _memory_kib(pid)
    whole = await asyncio.gather(*running, return_exceptions=True)
    spent_s = _cpu_s(pid) - before_s
    kept: list[float] = []
    relayed: list[float] = []
    for _ in range(rounds):
        kept.append(await _per_chunk_us(pid, port, numbers, ""))
        relayed.append(await _per_chunk_us(pid, port, numbers, "x-llm-cache-mode: off\r\n"))
    return Figures(
        streams,
        sum(not isinstance(each, BaseException) and each[0] for each in whole),
        (during_kib - before_kib) / streams,
        spent_s / (streams * chunks) * 1e6,
        (statistics.median(ours[WARM:]) - statistics.median(theirs[WARM:])) * 1000,
        statistics.median(kept),
        statistics.median(relayed),
    )


def run(*, quick: bool) -> list[Result]:
    """Memory, CPU, what keeping costs beside relaying, and the first byte."""
    if not Path("/proc/self/stat").exists():
        return []
    found = measure(200 if quick else 1000)
    ratio = found.kept_us / found.relayed_us
    name = f"{found.whole} of {found.streams} slow streams, one worker"
    rows = (
        ("memory per stream", f"{found.kib_per_stream:.0f} KiB", "under 100 KiB", found.kib_per_stream < 100),
        ("CPU per chunk, calls included", f"{found.cpu_us_per_chunk:.0f} µs", "none", True),
        ("CPU per chunk of long ones", f"{ratio:.2f}x relaying alone", "under 2x", ratio < 2),
        ("first byte later by", f"{found.added_ms:.2f} ms", "under 1 ms", found.added_ms < 1),
    )
    data = {
        "kib_per_stream": found.kib_per_stream,
        "cpu_us_per_chunk": found.cpu_us_per_chunk,
        "added_ms": found.added_ms,
        "whole": float(found.whole),
        "kept_us": found.kept_us,
        "relayed_us": found.relayed_us,
    }
    whole = found.whole == found.streams
    return [
        Result(f"{name}: {what}", "the provider alone", shown, "", shown, target, met and whole, data)
        for what, shown, target, met in rows
    ]
