"""A proxy hit beside nginx's `proxy_cache`, with the body in its key, for short and long requests.

nginx answers from its own cache in C and computes no key of JSON: it is the limit, not a rival. Needs `nginx` and `wrk`
on the PATH (Debian packages of these names). Compared by the CPU time of the server's processes for each request.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.library import REPLY
from benchmarks.measure import PRICES_LOADED_S, Result
from benchmarks.proxy import CONNECTIONS, _cpu_s, _free_port, _load, _server
from llm_cache.testing import FakeUpstream, Reply

SIZES = ((400, "0.5 KB", 1.0, False), (4900, "5 KB", 2.0, False), (400, "0.5 KB", 0.4, True))
"""Characters in the prompt, what the request comes to, how many times nginx's rate is the target, and whether each hit
is read from SQLite, opened with AES and unpacked, with nothing in memory."""
SEALED = ("LLMCACHE_ENCRYPTION=true", "LLMCACHE_ENCRYPTION_KEY=a key for the benchmark", "LLMCACHE_MEMORY_MB=0")
# Else a worker that is begun by root becomes somebody who may not write into our folder.
USER = "user root;" if getattr(os, "geteuid", int)() == 0 else ""
CONFIGURATION = """
{user} worker_processes 1; daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_body_buffer_size 64k; client_body_in_single_buffer on;
  proxy_cache_path {folder}/cache keys_zone=answers:10m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream}; proxy_cache answers; proxy_cache_methods POST; proxy_cache_valid 200 1h;
      proxy_cache_key "$request_uri|$request_body|$http_authorization"; proxy_ignore_headers Cache-Control Set-Cookie;
    }}
  }}
}}
"""


def run(*, quick: bool) -> list[Result]:
    """A result for each size of request; none where nginx or wrk is missing."""
    missing = [name for name in ("nginx", "wrk") if shutil.which(name) is None]
    if missing or not Path("/proc/self/stat").exists():
        print(f"edge: skipped, since there is no {' and no '.join(missing) or '/proc'} here.", file=sys.stderr)
        return []
    return [_one(length, label, target, sealed=sealed, quick=quick) for length, label, target, sealed in SIZES]


def _one(length: int, label: str, target: float, *, sealed: bool, quick: bool) -> Result:
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * length}]})
    ours, theirs = _free_port(), _free_port()
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        upstream = stack.enter_context(FakeUpstream(split="whole"))
        upstream.reply("/v1/chat/completions", Reply(json=REPLY))
        configuration = Path(home, "nginx.conf")
        configuration.write_text(CONFIGURATION.format(user=USER, folder=home, port=theirs, upstream=upstream.url))
        serve = ["env", *(SEALED if sealed else ()), sys.executable, "-m", "llm_cache.cli.main", "serve"]
        serve += ["--port", str(ours)]
        serve += ["--upstream", f"openai={upstream.url}/v1"]
        nginx = ["nginx", "-p", home, "-c", str(configuration)]
        ours_pid = stack.enter_context(_server(serve, ours, home))
        nginx_pid = stack.enter_context(_server(nginx, theirs, home))
        workers = Path(f"/proc/{nginx_pid}/task/{nginx_pid}/children").read_text().split()
        script = Path(home, "ask.lua")
        script.write_text(
            'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
            f'wrk.headers["authorization"] = "Bearer sk-bench"\nwrk.body = [==[{body}]==]\n'
        )
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer sk-bench\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        for port in (ours, theirs):
            asyncio.run(_load(port, (head + body).encode(), CONNECTIONS * 10))
        time.sleep(PRICES_LOADED_S)
        rates: dict[int, list[float]] = {ours: [], theirs: []}
        for _ in range(2 if quick else 5):
            for port, pids in ((ours, [ours_pid]), (theirs, [int(pid) for pid in workers])):
                before = sum(map(_cpu_s, pids))
                done = _wrk(port, script, 2 if quick else 4)
                rates[port].append(done / (sum(map(_cpu_s, pids)) - before))
    our_rate, their_rate = (sorted(each)[len(each) // 2] for each in (rates[ours], rates[theirs]))
    ratio = our_rate / their_rate
    return Result(
        f"proxy hit, one worker, {label} asked{', SQLite and AES on every hit' if sealed else ''}",
        "nginx proxy_cache",
        f"{our_rate:,.0f} per core-second",
        f"{their_rate:,.0f} per core-second",
        f"{ratio:.2f}x the rate",
        f"at least {target:g}x",
        ratio >= target,
        {"ours_per_core_s": our_rate, "theirs_per_core_s": their_rate, "figure": ratio},
    )


def _wrk(port: int, script: Path, seconds: int) -> int:
    command = ["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}/v1/chat/completions"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "Non-2xx" not in done.stdout, done.stdout
    found = re.search(r"(\d+) requests in", done.stdout)
    assert found is not None, done.stdout
    return int(found[1])
