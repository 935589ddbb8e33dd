"""What an installation brings, used with the standard library alone: it must work where nothing but the wheel is."""

from __future__ import annotations

import json
import pkgutil
import re
import signal
import subprocess
import sys
import urllib.request
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from urllib.parse import urljoin

import pytest

import llm_cache
from llm_cache.testing import openai_chat
from tests.cli.conftest import COMMAND

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# What each may be without; everything else is imported by what every installation has.
OLD = sys.version_info < (3, 11)
LIBRARIES = {"llm_cache.httpx": "httpx", "llm_cache.httpx2": "httpx2", "llm_cache.testing.contract": "pytest"}


def test_every_module_can_be_imported():
    names = [found.name for found in pkgutil.walk_packages(llm_cache.__path__, "llm_cache.")]
    assert len(names) > 200
    for name in names:
        # Python 3.10 has an httpx2 at most that llm_cache.httpx2 refuses.
        if (library := LIBRARIES.get(name)) is None or (find_spec(library) and not (OLD and library == "httpx2")):
            import_module(name)


def test_what_the_package_says_of_itself():
    about = distribution("llm-cache")
    points = {(point.group, point.name) for point in about.entry_points}
    assert points == {("console_scripts", "llm-cache"), ("pytest11", "llm-cache")}
    assert "Typing :: Typed" in about.metadata.get_all("Classifier")
    assert about.metadata["License-Expression"] == "MIT"
    ran = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert about.version in ran.stdout


@pytest.fixture
def proxy(upstream):
    upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
    command = [COMMAND, "serve", "--port", "0", "--upstream", f"openai={upstream.url}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        while not (found := re.search(r"serves on (http://\S+)", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        yield found[1]
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(20) == 0


def get(url, body=None, **headers):
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    with NO_PROXY.open(request, timeout=20) as reply:
        return reply.read().decode(), reply.headers


def test_the_proxy_its_pages_and_the_command_over_one_store(proxy, upstream, run):
    call = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    there = {"content_type": "application/json", "authorization": "Bearer sk-mine"}
    first, _ = get(f"{proxy}/v1/chat/completions", call, **there)
    again, headers = get(f"{proxy}/v1/chat/completions", call, **there)
    assert first == again
    assert headers["X-LLM-Cache"] == "hit"
    assert upstream.count() == 1
    assert "llm_cache_hits_total 1" in get(f"{proxy}/metrics")[0]

    page, _ = get(f"{proxy}/dashboard")
    files = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert len(files) > 4
    for file in files:
        assert get(urljoin(f"{proxy}/dashboard", file))[0], file

    (entry,) = json.loads(run("list", "--json").out)
    assert entry["model"] == "gpt-4o"
    assert run("show", entry["key"][:12]).out
    run("doctor")
