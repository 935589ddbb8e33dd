"""Programs in other languages: the JavaScript SDKs and curl, pointed at the proxy by a variable or an argument."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from llm_cache.proxy.surroundings import surroundings
from llm_cache.testing import (
    FakeUpstream,
    anthropic_message,
    anthropic_stream,
    openai_chat,
    openai_chat_stream,
    openai_responses,
)

from .running import ASK, Running, running

NODE = Path(__file__).parents[1] / "node"
PLACE = Path(__file__).parents[2] / ".venvs" / "node"
"""Beside the other environments, where no gate looks for our own files."""
CHAT = "/v1/chat/completions"


def modules() -> None:
    """The SDKs, if they are there or can be had; else the test is skipped and says why."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on the path")
    PLACE.mkdir(parents=True, exist_ok=True)
    for file in NODE.iterdir():
        shutil.copy(file, PLACE)
    if (PLACE / "node_modules" / "openai").exists():
        return
    quick = ["--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0", "--fetch-timeout=15000"]
    done = subprocess.run(["npm", "ci", *quick], cwd=PLACE, capture_output=True, text=True, timeout=50)
    if done.returncode:
        pytest.skip(f"npm cannot install the SDKs: {done.stderr.strip().splitlines()[-1:]}")


@pytest.mark.sdk
def test_the_javascript_sdks_call_once(upstream: FakeUpstream, database: str) -> None:
    modules()
    upstream.script(CHAT, openai_chat("Hello!"), openai_chat_stream(["Hel", "lo!"]))
    upstream.reply("/v1/responses", openai_responses("Hello!"))
    upstream.script("/v1/messages", anthropic_message("Hello!"), anthropic_stream(["Hel", "lo!"]))
    with running(upstream.url, database_url=database, proxy_tokens={"node": "secret"}) as proxy:
        keys = {"OPENAI_API_KEY": "none", "ANTHROPIC_API_KEY": "none"}
        environ = surroundings({**os.environ, **keys}, proxy.url, "secret", offline=False)
        for _ in range(2):
            done = subprocess.run(
                ["node", "twice.mjs"], cwd=PLACE, env=environ, capture_output=True, text=True, timeout=50
            )
            assert done.stdout.splitlines() == ["Hello!"] * 5 + ["true malformed_header"], done.stderr
            assert upstream.count() == 5


def test_curl(upstream: FakeUpstream, proxy: Running, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not on the path")
    upstream.reply(CHAT, openai_chat("Hello!"))
    body = tmp_path / "body.json"
    # Over a kilobyte, curl used to ask whether it may go on; over a megabyte it still does.
    body.write_text(json.dumps({**ASK, "metadata": {"note": "x" * 1_100_000}}))
    key = ["-H", "authorization: Bearer sk-test", "-H", "content-type: application/json"]
    small = json.dumps(ASK)
    for data, expected in ((small, "miss"), (small, "hit"), (f"@{body}", "hit")):
        done = subprocess.run(
            ["curl", "-sS", "--compressed", "-D", "-", *key, "-d", data, proxy.url + CHAT],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert f"x-llm-cache: {expected}" in done.stdout, done.stderr
        assert done.stdout.endswith("}")
    assert upstream.count() == 1
