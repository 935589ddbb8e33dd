"""Hits and misses of our proxy beside LiteLLM's, set up as its documentation says for production, one worker each.

Needs `.venvs/peer-litellm`. Compared by the CPU time of the servers' processes for each request.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from benchmarks.measure import PRICES_LOADED_S, Result
from benchmarks.miss import PLAIN, ask, cpu_per_call, proxy, request, upstream
from benchmarks.peer import REPLY
from benchmarks.peers import python_of
from benchmarks.proxy import _free_port

STARTS_WITHIN_S = 120
# https://docs.litellm.ai/docs/proxy/prod and /docs/proxy/caching: quiet, in production mode, cached in memory.
CONFIGURATION = {
    # No keys of its own, as with ours: what it costs to check them is not what is measured.
    "general_settings": {"disable_spend_logs": True, "dangerously_permit_weak_or_unset_master_key": True},
    "litellm_settings": {"cache": True, "cache_params": {"type": "local"}, "set_verbose": False, "num_retries": 0},
}
ENVIRONMENT = {
    "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_DOCS": "True", "LITELLM_TELEMETRY": "False", "USE_AIOHTTP_TRANSPORT": "True",
}  # fmt: skip


@contextmanager
def litellm(python: str, provider: int) -> Iterator[tuple[int, int]]:
    """Its proxy in front of a provider; its process and its port."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as home:
        model = {"model": "openai/gpt-4o-mini", "api_base": f"http://127.0.0.1:{provider}/v1", "api_key": "sk-bench"}
        models = [{"model_name": "gpt-4o-mini", "litellm_params": model}]
        # JSON is YAML.
        configuration = Path(home, "config.yaml")
        configuration.write_text(json.dumps({**CONFIGURATION, "model_list": models}))
        command = [str(Path(python).parent / "litellm"), "--config", str(configuration), "--port", str(port)]
        command += ["--host", "127.0.0.1", "--num_workers", "1"]
        environment = {**os.environ, **ENVIRONMENT, "HOME": home}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environment, cwd=home, **quiet) as process:
            try:
                _wait(port)
                yield process.pid, port
            finally:
                process.kill()


def _wait(port: int) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError("LiteLLM's proxy did not begin")


def _compared(name: str, ours: list[float], theirs: list[float], target: float) -> Result:
    our_rate, their_rate = 1e6 / statistics.median(ours), 1e6 / statistics.median(theirs)
    return Result(
        name,
        "LiteLLM's proxy, tuned",
        f"{our_rate:,.0f} per core-second",
        f"{their_rate:,.0f} per core-second",
        f"{our_rate / their_rate:,.0f}x the rate",
        f"at least {target:g}x",
        our_rate / their_rate >= target,
        {"ours_per_core_s": our_rate, "theirs_per_core_s": their_rate, "figure": our_rate / their_rate},
    )


def run(*, quick: bool) -> list[Result]:
    """Two results: hits and misses."""
    python = python_of("peer-litellm", make=not quick)
    if python is None or not Path("/proc/self/stat").exists():
        print("gateway: left out, since .venvs/peer-litellm is not made.", file=sys.stderr)
        return []
    numbers = count(1)
    with ExitStack() as stack:
        provider = stack.enter_context(upstream(PLAIN, json.dumps(REPLY)))
        servers = [stack.enter_context(proxy(provider)), stack.enter_context(litellm(python, provider))]
        same = request(0)
        for _, port in servers:
            asyncio.run(ask(port, [same] * 20))
        time.sleep(PRICES_LOADED_S)
        hits: list[list[float]] = [[], []]
        misses: list[list[float]] = [[], []]
        for _ in range(3 if quick else 5):
            for place, (pid, port) in enumerate(servers):
                # As many as either can answer in a second or so.
                some = 160 if place else 32_000
                hits[place].append(cpu_per_call(pid, port, [same] * some))
                misses[place].append(cpu_per_call(pid, port, [request(next(numbers)) for _ in range(160)]))
    return [_compared("proxy hit, one worker", *hits, 400), _compared("proxy miss, one worker", *misses, 5)]
