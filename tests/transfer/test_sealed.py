"""Exports of sealed stores: nothing of a prompt or an answer unless it is asked for, and back without loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache import LLMCache
from tests.transfer.conftest import REPLY

COMMAND = str(Path(sys.executable).with_name("llm-cache"))
CANARY = "marimba-canary"
SEALED = {"LLMCACHE_ENCRYPTION": "true", "LLMCACHE_ENCRYPTION_KEY": "a passphrase"}


def run(place, *arguments, status=0, **variables):
    environ = {**os.environ, "LLMCACHE_DATABASE_URL": str(place), **variables}
    done = subprocess.run([COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def ask(cache):
    fetched = []

    def fetch():
        fetched.append(1)
        return {"answer": CANARY, **json.loads(REPLY)}

    value = cache.get_or_set("key", fetch, "openai", "gpt-4o", "/v1/chat/completions", {"prompt": CANARY})
    assert value["answer"] == CANARY
    return not fetched


def sealed(place):
    return LLMCache(database_url=str(place), enable_encryption=True, encryption_key="a passphrase")


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "cache.db"
    with sealed(place) as cache:
        assert not ask(cache)
        assert ask(cache)
    return place


def test_an_export_says_nothing_and_goes_back_into_its_store(place, tmp_path):
    file = tmp_path / "out.jsonl"
    assert "1 are sealed" in run(place, "export", str(file), **SEALED)
    (line,) = file.read_text().splitlines()
    assert CANARY not in line
    exported = json.loads(line)
    assert (exported["provider"], exported["model"], exported["hits"]) == ("openai", "gpt-4o", 1)
    # Whoever has no key can take a copy all the same.
    run(place, "export", str(tmp_path / "other.jsonl"))
    assert (tmp_path / "other.jsonl").read_text().splitlines() == [line]
    run(place, "purge", "--all", "--yes", **SEALED)
    run(place, "import", str(file), **SEALED)
    run(place, "export", str(tmp_path / "again.jsonl"), **SEALED)
    assert (tmp_path / "again.jsonl").read_text().splitlines() == [line]
    with sealed(place) as cache:
        assert ask(cache)


def test_decrypted_it_goes_anywhere(place, tmp_path):
    file = tmp_path / "out.jsonl"
    run(place, "export", str(file), "--decrypt", **SEALED)
    assert CANARY in file.read_text()
    plain, other = tmp_path / "plain.db", tmp_path / "other.db"
    run(plain, "import", str(file))
    with LLMCache(database_url=str(plain)) as cache:
        assert ask(cache)
    run(other, "import", str(file), LLMCACHE_ENCRYPTION="true", LLMCACHE_ENCRYPTION_KEY="another one")
    with LLMCache(database_url=str(other), enable_encryption=True, encryption_key="another one") as cache:
        assert ask(cache)


@pytest.mark.parametrize("variables", [{}, {"LLMCACHE_ENCRYPTION": "true", "LLMCACHE_ENCRYPTION_KEY": "another one"}])
def test_what_could_not_be_opened_is_not_taken_in(place, tmp_path, variables):
    file = tmp_path / "out.jsonl"
    run(place, "export", str(file), **SEALED)
    said = run(tmp_path / "other.db", "import", str(file), status=1, **variables)
    assert "export it with --decrypt" in said


@pytest.mark.parametrize("wrong", [{"sealed": "AAAA"}, {"sealed": "!"}, {"input_tokens": -1}, {"cost_usd": "x"}])
def test_a_forged_line_is_refused(place, tmp_path, wrong):
    file = tmp_path / "out.jsonl"
    run(place, "export", str(file), **SEALED)
    file.write_text(json.dumps({**json.loads(file.read_text()), **wrong}) + "\n")
    assert "line 1" in run(place, "import", str(file), status=1, **SEALED)
