"""Every command of the README that this project was asked for, as it is written there, on every kind of store."""

from __future__ import annotations

import io
import json
import re
import shlex
import socket

import pytest

from llm_cache import LLMCache
from llm_cache.cli import main
from tests.cli.conftest import Ran, answer, call

SEALED = {"enable_encryption": True, "encryption_key": "a key of the tests"}
READING = """
llm-cache stats
llm-cache stats --verbose
llm-cache list
llm-cache list --provider openai
llm-cache list --model gpt-4
llm-cache list --limit 10
llm-cache show <cache_key>
llm-cache show <cache_key> --output entry.json
llm-cache export cache_dump.jsonl
llm-cache export cache_dump.json --format json
llm-cache export openai_entries.jsonl --provider openai
llm-cache doctor
"""
DELETING = """
llm-cache purge --key <cache_key>
llm-cache purge --expired
llm-cache purge --older 30
llm-cache purge --model gpt-3.5-turbo
llm-cache purge --all
"""


@pytest.fixture
def run(capsys, monkeypatch):
    """The command in this process: a hundred processes would take a minute."""

    def running(*arguments, stdin="", status=0):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        got = main.run(arguments)
        out, err = capsys.readouterr()
        assert got == status, (arguments, out, err)
        assert "Traceback" not in err
        return Ran(got, out, err)

    return running


@pytest.fixture(params=["sqlite", "redis", "sealed", "sealed redis"])
def place(request, tmp_path, monkeypatch):
    """A store with entries, as the environment says it to the command; tests run in an empty folder."""
    sealed = SEALED if "sealed" in request.param else {}
    url = request.getfixturevalue("redis_server").url if "redis" in request.param else str(tmp_path / "cache.db")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("LLMCACHE_DATABASE_URL", url)
    if sealed:
        monkeypatch.setenv("LLMCACHE_ENCRYPTION", "true")
        monkeypatch.setenv("LLMCACHE_ENCRYPTION_KEY", SEALED["encryption_key"])
    with LLMCache(database_url=url, **sealed) as cache:
        for number in range(12):
            call(cache, f"gpt {number}", model="gpt-4", reply=answer(model="gpt-4-0613"))
        call(cache, "gpt 0", model="gpt-4")
        call(cache, "turbo", model="gpt-3.5-turbo")
        call(cache, "claude", provider="anthropic", model="claude-3-sonnet")
    return request.param


def ran(run, lines, key, said=""):
    """What each line prints, by the line."""
    out = {}
    for line in lines.strip().splitlines():
        words = shlex.split(line.replace("<cache_key>", key))[1:]
        out[line.removeprefix("llm-cache ")] = run(*words, stdin=said).out
    return out


def test_as_it_is_written(run, place, tmp_path):
    key = json.loads(run("list", "--model", "gpt-4", "--json").out)[0]["key"]
    out = ran(run, READING, key)
    assert re.search(r"Entries +14\n", out["stats"])
    assert re.search(r"Hits +1\n", out["stats"])
    assert re.search(r"Cost saved +\$0.06\n", out["stats"])
    assert "anthropic" in out["stats --verbose"]
    assert len(out["list"].splitlines()) == 15
    assert "anthropic" not in out["list --provider openai"]
    assert len(out["list --model gpt-4"].splitlines()) == 13
    assert len(out["list --limit 10"].splitlines()) == 11
    assert "hello" in out["show <cache_key>"]
    work = tmp_path / "work"
    assert json.loads((work / "entry.json").read_text("utf-8"))["key"] == key
    exported = [json.loads(line) for line in (work / "cache_dump.jsonl").read_text("utf-8").splitlines()]
    assert json.loads((work / "cache_dump.json").read_text("utf-8")) == exported
    assert len(exported) == 14
    only = (work / "openai_entries.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["provider"] for line in only} == {"openai"}
    assert "FAILURE" not in out["doctor"]

    out = ran(run, DELETING, key, said="y\n")
    assert out["purge --key <cache_key>"] == "1 entry deleted.\n"
    assert out["purge --expired"] == "0 entries deleted.\n"
    assert out["purge --older 30"] == "0 entries deleted.\n"
    assert out["purge --model gpt-3.5-turbo"] == "1 entry deleted.\n"
    assert out["purge --all"].endswith("12 entries deleted.\n")
    assert json.loads(run("list", "--json").out) == []
    assert json.loads(run("stats", "--json").out)["hits"] == 1
    # And back again, from what was exported.
    assert "14 entries imported" in run("import", "cache_dump.jsonl").out


def test_a_redis_that_is_not_there_is_one_sentence(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LLMCACHE_DATABASE_URL", f"redis://127.0.0.1:{nobody.getsockname()[1]}/0")
        for line in ("stats", "list", "show abc", "export out.jsonl", "purge --expired"):
            done = run(*line.split(), status=1)
            assert done.out == ""
            assert len(done.err.strip().splitlines()) == 1, done.err
            assert "Redis" in done.err
        assert "FAILURE" in run("doctor", status=1).out
    assert not (tmp_path / "out.jsonl").exists()
