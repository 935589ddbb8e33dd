"""One key everywhere: in other processes, under other hash seeds and on every supported Python."""

from __future__ import annotations

import base64
import json
import os
import pwd
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import llm_cache
from llm_cache.core.model import Request
from llm_cache.core.policy import Policy
from tests.key.requests import CHAT, OURS, adversarial, endpoint_at, key_of, request_of

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = Path(llm_cache.__file__).resolve().parents[1]
# Only what needs no third party: the endpoints are made here and handed over.
PROGRAM = """
import base64, json, sys
from llm_cache.core.model import Endpoint, Request
from llm_cache.core.policy import Policy
from llm_cache.core.signature import loads, sign
from llm_cache.providers.anthropic_marks import unmark

for line in sys.stdin:
    asked = json.loads(line)
    body = base64.b64decode(asked["body"])
    request = Request("POST", asked["url"], tuple(map(tuple, asked["headers"])), body)
    endpoint = Endpoint(
        "p", asked["upstream"], asked["path"], "m", False, None, tuple(map(tuple, asked["query"])),
        frozenset(asked["outside"]), unmark if asked["unmark"] else None, stream_counts=asked["stream_counts"],
    )
    print(sign(request, loads(body), endpoint, Policy(ignore_fields=frozenset(["zz", "own"]))).key)
print(sys.version_info[:2], file=sys.stderr)
"""


def told(request: Request) -> dict:
    endpoint = endpoint_at(request.url)
    return {
        "url": request.url,
        "headers": request.headers,
        "body": base64.b64encode(request.body).decode(),
        "upstream": endpoint.upstream,
        "path": endpoint.path,
        "query": endpoint.query,
        "outside": sorted(endpoint.outside),
        "unmark": endpoint.unmark is not None,
        "stream_counts": endpoint.stream_counts,
    }


def requests() -> list[Request]:
    return [*map(request_of, OURS), *(Request("POST", CHAT, (), body) for body in adversarial(200))]


def keys_in(python: str, *options: str, **variables: str) -> list[str]:
    """The keys of all requests, in a process of their own."""
    done = subprocess.run(
        [python, *options, "-c", PROGRAM],
        input="".join(json.dumps(told(request)) + "\n" for request in requests()),
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"], **variables},
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


POLICY = Policy(ignore_fields=frozenset({"own", "zz"}))


@pytest.fixture(scope="module")
def ours() -> list[str]:
    found = [key_of(request, POLICY) for request in requests()]
    print(f"\n{len(found)} requests have one key in every process")
    return found


@pytest.mark.parametrize("seed", ["0", "1", "4294967295", "random"])
def test_a_key_is_the_same_under_every_hash_seed(ours, seed):
    assert keys_in(sys.executable, PYTHONHASHSEED=seed) == ours


@pytest.mark.parametrize(
    ("options", "variables"),
    [(("-OO",), {}), (("-X", "utf8=0"), {"LC_ALL": "C"}), (("-X", "int_max_str_digits=640"), {})],
)
def test_a_key_is_the_same_under_other_settings(ours, options, variables):
    assert keys_in(sys.executable, *options, **variables) == ours


def interpreter(version: str) -> str | None:
    """Where that Python is, by the project's own means; None in a package without its tools."""
    tool = ROOT / "tools" / "test_everywhere.py"
    if not tool.is_file():
        return None
    found = runpy.run_path(str(tool))["interpreter"](version)
    return None if found is None else str(found)


@pytest.fixture
def real_home(monkeypatch):
    """Pythons are installed in the home of whoever runs the tests."""
    monkeypatch.setenv("HOME", pwd.getpwuid(os.getuid()).pw_dir)


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_a_key_is_the_same_on_every_python(ours, version, real_home):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    assert keys_in(python) == ours


def test_a_key_does_not_depend_on_how_deep_the_program_is(ours):
    """Recursion is bounded by the body, not by what is left of the stack, wherever a program can still work."""

    def deep(levels: int) -> list[str]:
        if levels:
            return deep(levels - 1)
        return [key_of(request, POLICY) for request in requests()[:200]]

    assert deep(300) == ours[:200]
