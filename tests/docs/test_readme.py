"""The README's Python runs as written, top to bottom, against a provider on loopback; its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache.clients import cache as caches
from llm_cache.testing import openai_chat

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL))
COMMANDS = sorted(
    {*re.findall(r"`llm-cache ([a-z]+)", README), *re.findall(r"^llm-cache ([a-z]+)", SHELL, re.MULTILINE)}
)


@pytest.mark.sdk
def test_every_python_block_runs(upstream, monkeypatch, tmp_path):
    pytest.importorskip("openai")
    upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + "/v1")
    monkeypatch.setattr(caches, "_default", None)
    monkeypatch.chdir(tmp_path)
    names = {"ask": lambda prompt: {"answer": prompt}}
    assert len(BLOCKS) >= 5
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"README.md, Python block {number + 1}", "exec"), names)
    assert names["first"] == names["second"]
    assert names["answer"] == {"answer": "What is AI?"}
    assert upstream.count() <= len(BLOCKS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_named_exists(command):
    done = subprocess.run(
        [sys.executable, "-m", "llm_cache.cli.main", command, "--help"], check=False, capture_output=True, timeout=30
    )
    assert done.returncode == 0
    assert b"Usage" in done.stdout
