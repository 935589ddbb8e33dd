"""What one hit takes of a proxy's CPU with one worker and two, and of a proxy and its Redis where nothing is in memory.

The unit costs behind the sums in docs/explanation/speed.md. Needs `wrk`, and a redis-server in the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.edge import _wrk
from benchmarks.measure import PRICES_LOADED_S, Result
from benchmarks.peer import REPLY, REQUEST
from benchmarks.proxy import CONNECTIONS, _cpu_s, _free_port, _load, _server
from llm_cache.testing import FakeUpstream, Reply

BODY = json.dumps(REQUEST)


def _family(pid: int) -> list[int]:
    """A process and all that came of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


@contextmanager
def _redis(folder: str) -> Iterator[tuple[int, str]]:
    port = _free_port()
    program = Path(sys.executable).parent / "redis-server"
    command = [str(program), "--port", str(port), "--save", "", "--dir", folder, "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            time.sleep(1)
            yield process.pid, f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _ready(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10):
            return
        time.sleep(0.2)
    raise TimeoutError("the proxy did not begin")


def _measured(serve: list[str], others: list[int], *, quick: bool) -> tuple[float, float]:
    """Microseconds of CPU for a hit: of the proxy's processes, and of these others."""
    port = _free_port()
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        upstream = stack.enter_context(FakeUpstream(split="whole"))
        upstream.reply("/v1/chat/completions", Reply(json=REPLY))
        program = [sys.executable, "-m", "llm_cache.cli.main", "serve", "--port", str(port)]
        command = ["env", *serve[:-2], *program, *serve[-2:], "--upstream", f"openai={upstream.url}/v1"]
        pid = stack.enter_context(_server(command, port, home))
        _ready(port)
        script = Path(home, "ask.lua")
        script.write_text(
            'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
            f'wrk.headers["authorization"] = "Bearer sk-bench"\nwrk.body = [==[{BODY}]==]\n'
        )
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer sk-bench\r\ncontent-length: {len(BODY)}\r\n\r\n"
        )
        asyncio.run(_load(port, (head + BODY).encode(), CONNECTIONS * 10))
        time.sleep(PRICES_LOADED_S)
        ours, theirs = [], []
        for _ in range(3 if quick else 5):
            before = sum(map(_cpu_s, _family(pid))), sum(map(_cpu_s, others))
            done = _wrk(port, script, 3)
            ours.append((sum(map(_cpu_s, _family(pid))) - before[0]) / done * 1e6)
            theirs.append((sum(map(_cpu_s, others)) - before[1]) / done * 1e6)
        return statistics.median(ours), statistics.median(theirs)


def run(*, quick: bool) -> list[Result]:
    """One worker, two, and a Redis behind one that keeps nothing in memory."""
    if shutil.which("wrk") is None or not Path("/proc/self/stat").exists():
        print("fleet: left out, since there is no wrk here.", file=sys.stderr)
        return []
    one, _ = _measured(["--workers", "1"], [], quick=quick)
    two, _ = _measured(["--workers", "2"], [], quick=quick)
    with tempfile.TemporaryDirectory() as folder, _redis(folder) as (pid, url):
        named = [f"LLMCACHE_DATABASE_URL={url}"]
        near, near_redis = _measured([*named, "--workers", "1"], [pid], quick=quick)
        far, far_redis = _measured([*named, "LLMCACHE_MEMORY_MB=0", "--workers", "1"], [pid], quick=quick)
    what = "proxy hit, µs of CPU"
    return [
        Result(
            f"{what}, 2 workers, {os.cpu_count()} cores", "1 worker", f"{two:.1f}", f"{one:.1f}", f"{two / one:.2f}x",
            "under 1.3x", two / one < 1.3, {"ours_us": two, "theirs_us": one, "figure": two / one},
        ),
        *(
            Result(
                f"{what}, Redis, {where}", "redis-server", f"{ours:.1f}", f"{theirs:.2f}", "", "none", True,
                {"ours_us": ours, "theirs_us": theirs, "figure": ours},
            )
            for where, ours, theirs in (("in memory", near, near_redis), ("memory_mb=0", far, far_redis))
        ),
    ]  # fmt: skip
