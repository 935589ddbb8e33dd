"""One caching proxy for several teams, on Redis: each shares with itself, none with another, and keys can change.

    REDIS_URL=redis://localhost:6379/0 python examples/team_proxy.py

Without REDIS_URL a redis-server of the PATH, or beside this Python, is started for as long as this runs.
"""

import stand_in  # noqa: F401, I001 - not for your own programs: plays the provider where there is no key

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai

TOKENS = {"search": secrets.token_urlsafe(16), "support": secrets.token_urlsafe(16)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*command: str, **environ: str) -> Iterator[None]:
    """A program for as long as the block runs; ended as a supervisor would end it."""
    process = subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def redis() -> Iterator[str]:
    if "REDIS_URL" in os.environ:
        yield os.environ["REDIS_URL"]
        return
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("redis-server", path=beside)
    if program is None:
        raise SystemExit("set REDIS_URL, or install redis-server")
    port = free_port()
    with running(program, "--port", str(port), "--save", "", "--dir", tempfile.mkdtemp()):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def proxy(database_url: str) -> Iterator[str]:
    port = free_port()
    serve = [
        sys.executable,
        "-m",
        "llm_cache.cli.main",
        "serve",
        "--port",
        str(port),
        "--workers",
        "2",
    ]  # llm-cache serve
    # Not as --token NAME=SECRET: arguments can be seen in the list of processes.
    tokens = ",".join(f"{name}={secret}" for name, secret in TOKENS.items())
    with running(
        *serve, LLMCACHE_DATABASE_URL=database_url, LLMCACHE_PROXY_TOKENS=tokens, LLMCACHE_LOG_LEVEL="WARNING"
    ):
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url


def ask(url: str, team: str, provider_key: str) -> None:
    """What a service of that team does: two settings, and nothing else is different."""
    client = openai.OpenAI(
        base_url=f"{url}/v1", api_key=provider_key, default_headers={"X-LLM-Cache-Token": TOKENS[team]}
    )
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Summarise the new travel policy."}]
    )
    print(f"{team:<8} {raw.headers['x-llm-cache']:<5} {raw.headers['cache-status']}")
    client.close()


def metrics(url: str, team: str) -> Iterator[str]:
    """What Prometheus reads."""
    request = urllib.request.Request(f"{url}/metrics", headers={"X-LLM-Cache-Token": TOKENS[team]})
    with urllib.request.urlopen(request) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith(("llm_cache_hits_total ", "llm_cache_misses_total ", "llm_cache_workers ")):
                yield line


def main() -> None:
    key = os.environ["OPENAI_API_KEY"]
    with redis() as database_url, proxy(database_url) as url:
        ask(url, "search", key)
        ask(url, "search", key)
        ask(url, "support", key)  # the same question and the same key, but another team: its own call
        if key == "stand-in":
            ask(url, "search", "a new key")  # rotated: the token's name is what counts, so the cache is not empty
        print(*metrics(url, "search"), sep="\n")


if __name__ == "__main__":
    main()
