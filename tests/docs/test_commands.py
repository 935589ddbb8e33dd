"""Every command line of the guides to exporting and to what was saved runs as it stands, on a cache with entries."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache import LLMCache
from tests.cli.conftest import answer, call

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "how-to"
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)


def shell(script, folder):
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path):
    with LLMCache() as cache:
        for number in range(3):
            call(cache, f"key {number}", reply=answer(f"Answer {number}."))
            call(cache, f"key {number}")
        call(cache, "other", provider="acme", model="big-7b")
    return tmp_path


def test_exporting_and_importing(folder, redis_server):
    page = (DOCS / "export-and-import.md").read_text("utf-8").replace("redis://localhost:6379/0", redis_server.url)
    first, reading, moving, opened, redacted = BLOCK.findall(page)
    said = shell(first, folder)
    assert "4 entries exported to cache_dump.jsonl.zst" in said
    assert "3 entries exported to openai_entries.jsonl" in said
    assert "0 entries imported, 4 already there" in said
    assert len(json.loads((folder / "array.json").read_text("utf-8"))) == 4
    assert "gpt-4o 0.0075 Answer 0." in shell(reading, folder)
    said = shell(moving, folder)
    assert "4 entries imported" in said
    assert re.search(r"Entries +4", said)
    assert "4 entries exported" in shell(opened, folder)
    shell(redacted, folder)
    text = (folder / "for_a_bug_report.jsonl").read_text("utf-8")
    assert "Answer" not in text
    assert "characters]" in text


def test_what_was_saved(folder):
    stats, doctor, why = BLOCK.findall((DOCS / "what-was-saved.md").read_text("utf-8"))
    assert "$0.0225" in shell(stats, folder)
    assert "big-7b" in shell(doctor, folder)
    assert shell(why, folder)
