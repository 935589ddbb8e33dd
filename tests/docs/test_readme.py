"""The README's blocks run as written: Python's each by itself, the shell's from top to bottom; its links lead on."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from llm_cache.cli.main import command as group, run
from llm_cache.clients import cache as caches
from llm_cache.config import load
from llm_cache.testing import anthropic_message, openai_chat

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
SHELL = [text for kind, text in BLOCKS if kind == "bash"]
INSTALLING = SHELL[0]
COMMANDS = sorted(
    {*re.findall(r"`llm-cache ([a-z]+)", README), *re.findall(r"^llm-cache ([a-z]+)", "\n".join(SHELL), re.MULTILINE)}
)
PORT = "8100"
pytestmark = [pytest.mark.sdk, pytest.mark.timeout(240)]


def title(block):
    return next((line for line in block.splitlines() if "llm_cache" in line and "import" in line), block[:20])


@pytest.fixture
def provider(upstream, monkeypatch, tmp_path):
    pytest.importorskip("openai")
    upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
    upstream.reply("/v1/messages", anthropic_message("Hello!"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + "/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", upstream.url)
    monkeypatch.setenv("LLMCACHE_UPSTREAMS__OPENAI", upstream.url + "/v1")
    monkeypatch.setattr(caches, "_default", None)
    monkeypatch.chdir(tmp_path)
    return upstream


@pytest.mark.parametrize("number", range(len(PYTHON)), ids=lambda number: re.sub(r"\W+", "-", title(PYTHON[number])))
def test_every_python_block_runs_by_itself(number, provider):
    if f"127.0.0.1:{PORT}" in PYTHON[number]:
        pytest.skip("runs beside the proxy, below")
    if "anthropic" in PYTHON[number]:
        pytest.importorskip("anthropic")
    block = PYTHON[number].replace("https://api.openai.com/v1", provider.url + "/v1")
    names = {"__name__": "readme"}
    exec(compile(block, f"README.md, Python block {number + 1}", "exec"), names)
    # What is said to be a hit is one, and nothing is asked twice.
    assert provider.count() == (0 if "get_or_set" in block else 1)
    if "get_or_set" in block:
        assert names["answer"]["text"].endswith("What is AI?")


def test_the_first_screen_says_what_it_is_and_how_to_begin():
    first = "\n".join(README.splitlines()[:32])
    assert "pip install" in first
    assert PYTHON[0] in first
    assert "terminal-demo.svg" in first
    assert "dashboard-overview" in first
    assert re.search(r"make bench`, \d+ \w+ 20\d\d", first)


@pytest.fixture
def shell(provider, tmp_path):
    """Runs a block as somebody at a terminal would; the port is a free one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    begun = []

    def run(block, *, behind=False):
        command = ["bash", "-ec", block.replace(PORT, port)]
        if behind:
            begun.append(
                subprocess.Popen(command, env=environ, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
            )
            for _ in range(300):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
                    return ""
                except httpx.HTTPError:
                    time.sleep(0.1)
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    yield run
    for process in begun:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


ASK = "openai.OpenAI().chat.completions.create(model='gpt-4', messages=[{'role': 'user', 'content': 'Hi'}])\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_shells_blocks_run_from_top_to_bottom(shell, provider, tmp_path):
    (tmp_path / "agent.py").write_text(f"import openai\n{ASK}")
    (tmp_path / "test_agent.py").write_text(f"import openai\ndef test_it():\n    {ASK}")
    said = {}
    for block in SHELL:
        if block != INSTALLING:
            said[block.split()[1]] = shell(block, behind=block.startswith("llm-cache serve"))
        if block.startswith("llm-cache serve"):
            (client,) = [each for each in PYTHON if f"127.0.0.1:{PORT}" in each]
            (tmp_path / "client.py").write_text(client)
            # The port in the program is changed as it is in the block.
            shell(f"sed -i s/$((8000 + 100))/{PORT}/ client.py; python client.py")
    assert "1 calls" in said["run"] or "1 call," in said["run"]
    # The same question, by another client with the same key.
    assert "x-llm-cache: hit" in said["-i"]
    assert "1 passed" in said["--llm-cache=auto"]
    assert (tmp_path / "cassettes").is_dir()
    exported = [line for line in SHELL[-1].splitlines() if line.startswith("export ")]
    assert len(exported) == 3


def test_the_variables_and_the_file_are_understood(tmp_path):
    (text,) = [text for kind, text in BLOCKS if kind == "toml"]
    (tmp_path / "config.toml").write_text(text)
    environ = dict(re.findall(r'^export (\w+)="?([^"\n]*)"?$', "\n".join(SHELL), re.MULTILINE))
    assert len(environ) == 3
    settings = load({}, {"LLMCACHE_CONFIG": str(tmp_path / "config.toml"), **environ})
    assert (settings.backend, settings.enable_encryption, settings.default_ttl_days) == ("redis", True, 30)
    assert "gpt-4" in str(settings.pricing_table)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_named_exists(command, capsys):
    assert run([command, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_every_command_that_exists_is_named():
    assert set(group.list_commands(None)) == {*COMMANDS, "import"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"])
def test_every_link_leads_to_a_file(page):
    # Those of the documentation are checked when it is built.
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not ((ROOT / page).parent / link).exists()] == []


def tool_named(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="there is no terminal to be had")
def test_the_picture_of_the_terminal_shows_what_the_demo_says(monkeypatch):
    pytest.importorskip("openai")
    tool = tool_named("picture_terminal")
    svg = (ROOT / "docs" / "_static" / tool.NAME).read_text(encoding="utf-8")
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "")
    shown, seen = tool.skeleton(tool.words_of(svg)), tool.skeleton(tool.seen("demo", "--fast"))
    assert shown == seen, "say: python tools/picture_terminal.py docs/_static"
    assert len(shown) > 20


def test_the_pictures_of_the_dashboard_show_what_it_is_made_of():
    pytest.importorskip("playwright")
    tool = tool_named("picture_dashboard")
    if tool.chromium() is None:
        pytest.skip("there is no Chromium here")
    noted = json.loads((ROOT / "docs" / "_static" / tool.SHOWN).read_text(encoding="utf-8"))
    seen = {name: tool.structure(page) for name, _, page in tool.look(("light",))}
    assert seen == noted, "say: python tools/picture_dashboard.py docs/_static"
    assert min(map(len, noted.values())) > 10
