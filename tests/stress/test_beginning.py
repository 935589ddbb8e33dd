"""Many processes that begin at once where there is no file yet: each can keep and read, and all have the same keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache import LLMCache

PROGRAM = """
import json, sys
from llm_cache import LLMCache

place, number, key = sys.argv[1:]
more = {"enable_encryption": True, "encryption_key": key} if key else {}
print("ready", flush=True)
sys.stdin.readline()
with LLMCache(database_url=place, **more) as cache:
    names = [f"{number}-{each}" for each in range(3)]
    for name in names:
        assert cache.get_or_set(name, lambda: name, "openai", "gpt-4", "/v1/chat/completions", {}) == name
    found = {
        "kept": [cache.get(name) is not None for name in names],
        "failures": cache.stats().reasons.get("fail", {}),
        "secret": cache.engine.store.secret("scope").hex(),
    }
print(json.dumps(found))
"""


@pytest.mark.parametrize("key", [pytest.param("", marks=pytest.mark.slow), "a key of nobody"], ids=["plain", "sealed"])
def test_eight_that_begin_at_once_agree(tmp_path: Path, key: str) -> None:
    path = tmp_path / "new" / "cache.db"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, path, str(number), key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for number in range(8)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    secrets = set()
    for process in running:
        out, log = process.communicate(timeout=50)
        assert log == ""
        found = json.loads(out)
        assert (found["kept"], found["failures"]) == ([True] * 3, {})
        secrets.add(found["secret"])
    assert len(secrets) == 1
    more = {"enable_encryption": True, "encryption_key": key} if key else {}
    with LLMCache(database_url=str(path), **more) as cache:
        assert cache.stats().entries == 24
        assert all(cache.get(f"{number}-{each}") for number in range(8) for each in range(3))
        assert cache.check() == []
