"""A proxy hit beside a bare uvicorn application that reads the request and answers from memory.

Compared by the CPU time that the server's process spends on a request, read from `/proc`, since requests per second
of a machine that the load shares say little about the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.library import REPLY, REQUEST
from benchmarks.measure import PRICES_LOADED_S, Result
from llm_cache.testing import FakeUpstream, Reply

CONNECTIONS = 32
BODY = json.dumps(REQUEST).encode()
BARE = """
import sys, uvicorn
BODY = sys.argv[2].encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="error", access_log=False)
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _server(command: list[str], port: int, home: str) -> Iterator[int]:
    """A server in a process of its own, once it accepts connections; gives its process id."""
    process = subprocess.Popen(command, env={**os.environ, "HOME": home}, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _one(port: int, request: bytes, count: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


async def _load(port: int, request: bytes, requests: int) -> None:
    await asyncio.gather(*(_one(port, request, requests // CONNECTIONS) for _ in range(CONNECTIONS)))


def run(*, quick: bool) -> list[Result]:
    """One result: hits of one entry of about 1 KB, keep-alive connections."""
    if not Path("/proc/self/stat").exists():
        return []
    requests = CONNECTIONS * (100 if quick else 500)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer sk-bench\r\ncontent-length: {len(BODY)}\r\n\r\n"
    )
    request = head.encode() + BODY
    ours, theirs = _free_port(), _free_port()
    with tempfile.TemporaryDirectory() as home, FakeUpstream() as upstream:
        upstream.reply("/v1/chat/completions", Reply(json=REPLY))
        serve = [sys.executable, "-m", "llm_cache.cli.main", "serve", "--port", str(ours)]
        serve += ["--upstream", f"openai={upstream.url}/v1"]
        bare = [sys.executable, "-c", BARE, str(theirs), json.dumps(REPLY)]
        with _server(serve, ours, home) as our_pid, _server(bare, theirs, home) as their_pid:
            for port in (ours, theirs):
                asyncio.run(_load(port, request, CONNECTIONS * 10))
            time.sleep(PRICES_LOADED_S)
            spent = {our_pid: 0.0, their_pid: 0.0}
            rounds = 3 if quick else 5
            for _ in range(rounds):
                for pid, port in ((our_pid, ours), (their_pid, theirs)):
                    before = _cpu_s(pid)
                    asyncio.run(_load(port, request, requests))
                    spent[pid] += _cpu_s(pid) - before
            with urllib.request.urlopen(f"http://127.0.0.1:{ours}/metrics") as reply:
                metrics = reply.read().decode()
            assert upstream.count() == 1, "the proxy did not answer from its store"
            assert "llm_cache_hits_total" in metrics
    rates = {pid: rounds * requests / cpu for pid, cpu in spent.items()}
    ratio = rates[their_pid] / rates[our_pid]
    return [
        Result(
            "proxy hit, one worker, SQLite",
            "bare uvicorn application",
            f"{rates[our_pid]:,.0f} per core-second",
            f"{rates[their_pid]:,.0f} per core-second",
            f"{ratio:.2f}x the cost",
            "under 2x",
            ratio < 2,
            {"ours_per_core_s": rates[our_pid], "theirs_per_core_s": rates[their_pid], "figure": ratio},
        )
    ]
