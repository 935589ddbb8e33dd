"""`llm-cache ui`: the address it prints works, and nothing else at that port does; others use the file meanwhile."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from llm_cache import LLMCache
from tests.cli.conftest import COMMAND, Run, call, run
from tests.proxy.running import NO_PROXY

__all__ = ["run"]  # a fixture


@contextmanager
def ui(*arguments: str, **variables: str):
    """The command as it runs, and the address it has printed."""
    environ = {**os.environ, **variables}
    with subprocess.Popen(
        [COMMAND, "ui", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, process.stderr and process.stderr.read()
            yield process, url
        finally:
            if process.poll() is None:
                process.kill()


def test_it_serves_the_configured_store_until_it_is_stopped():
    with LLMCache() as cache, ui("--no-open") as (process, url), httpx.Client(**NO_PROXY) as client:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/~[\w-]{32}/dashboard/", url)
        assert client.get(url).headers["content-type"].startswith("text/html")
        assert client.get(f"{url}api/entries").json()["entries"] == []
        call(cache, "one")  # in this process, while the other one looks
        assert len(client.get(f"{url}api/entries").json()["entries"]) == 1
        writes = {"x-llm-cache-dashboard": "1"}
        done = client.post(f"{url}api/purge", json={"everything": True, "confirm": True}, headers=writes)
        assert done.json() == {"count": 1, "deleted": True}
        assert cache.get("one") is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert out == ""
        assert "Traceback" not in err
        assert "stop it with Ctrl-C" in err


def test_without_its_token_there_is_nothing():
    with ui("--no-open") as (process, url), httpx.Client(**NO_PROXY) as client:
        origin, _, rest = url.partition("/~")
        for path in ("", "/", "/dashboard/", "/~/dashboard/", f"/~{rest[1:]}", "/~x/dashboard/api/entries", f"/{rest}"):
            answer = client.get(origin + path)
            assert answer.status_code == 401, path
            assert "entries" not in answer.text
        assert client.get(url, headers={"host": "evil.example.com"}).status_code == 403
        assert client.get(f"{url}api/entries", headers={"origin": "https://evil.example.com"}).status_code == 403
        # It is the dashboard alone: nothing is relayed.
        assert client.post(url.replace("/dashboard/", "/v1/chat/completions"), json={}).status_code in {404, 405}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_port_that_is_taken_is_one_sentence(run: Run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run("ui", "--no-open", "--port", str(port), status=2)
    assert f"port {port}" in ran.err
    assert ran.out == ""


def test_memory_is_nothing_that_others_see(run: Run):
    assert "nobody else sees" in run("ui", "--no-open", status=1, LLMCACHE_DATABASE_URL=":memory:").err


def test_wrong_usage(run: Run):
    run("ui", "--port", "99999", status=2)
    run("ui", "--odd", status=2)
    assert "Example:" in run("ui", "--help").out


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_a_browser_is_opened_where_there_is_one(tmp_path):
    told = tmp_path / "told"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}\n')
    browser.chmod(0o755)
    for arguments, display, opens in ((["--no-open"], ":0", False), ([], "", False), ([], ":0", True)):
        told.unlink(missing_ok=True)
        variables = {"BROWSER": f"{browser} %s", "DISPLAY": display, "WAYLAND_DISPLAY": ""}
        with ui(*arguments, **variables) as (process, url):
            with httpx.Client(**NO_PROXY) as client:
                client.get(url)
            _wait_for(told if opens else Path(os.devnull))
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        assert told.exists() == opens
        if opens:
            assert told.read_text().strip() == url


def _wait_for(path: Path) -> None:
    import time

    for _ in range(500):
        if path.exists() and (path.is_char_device() or path.read_text()):
            return
        time.sleep(0.01)
