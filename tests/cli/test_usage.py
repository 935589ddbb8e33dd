"""The command as a whole: its help, its exit statuses, one sentence for everything that goes wrong."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

from llm_cache import LLMCache
from llm_cache.cli import main
from tests.cli.conftest import COMMAND, call

COMMANDS = list(main._COMMANDS)


def test_help_lists_every_command(run):
    out = run("--help").out
    for name in COMMANDS:
        assert f"\n  {name} " in out
    assert run("-h").out == out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run, name):
    out = run(name, "--help").out
    assert out.startswith(f"Usage: llm-cache {name}")
    assert f"Example: llm-cache {name}" in out


def test_the_list_of_commands_says_what_each_says_of_itself():
    for name, help_text in main._COMMANDS.items():
        made = main.command.get_command(None, name)
        assert made.get_short_help_str(200).split(",")[0].rstrip(".") in help_text, name


def test_version(run):
    assert run("--version").out == f"llm-cache {version('llm-cache')}\n"


def test_help_imports_nothing_heavy_and_is_quick():
    code = (
        "import sys; from llm_cache.cli.main import run; run(['--help']);"
        "heavy = {'rich', 'sqlite3', 'msgspec', 'asyncio', 'zstandard', 'genai_prices', 'aiohttp', 'uvicorn', 'httpx',"
        " 'prometheus_client', 'tomllib', 'llm_cache.clients', 'llm_cache.config'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("stats", "--nonsense"),
        ("list", "--limit", "-1"),
        ("list", "--limit", "many"),
        ("show",),
        ("purge",),
        ("purge", "--dry-run"),
        ("purge", "--yes"),
        ("purge", "--older", "-1"),
        ("purge", "--older", "nan"),
        ("purge", "--all", "--expired"),
        ("serve", "--upstream", "acme"),
        ("serve", "--port", "http"),
        ("serve", "--port", "70000"),
        ("serve", "--mode", "fast"),
        ("completion", "tcsh"),
    ],
)
def test_wrong_usage_is_2(run, arguments, filled):
    ran = run(*arguments, status=2)
    assert ran.out == ""
    assert ran.err
    assert filled.exists()


@pytest.mark.parametrize("command", [("stats",), ("list",), ("show", "ab"), ("purge", "--expired"), ("config", "show")])
def test_a_wrong_configuration_is_2_and_one_sentence(run, command):
    ran = run(*command, status=2, LLMCACHE_TTL="soon")
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("llm-cache: LLMCACHE_TTL is 'soon'")


@pytest.mark.parametrize("command", [("stats",), ("list",), ("list", "--json"), ("purge", "--expired")])
def test_a_cache_that_does_not_exist_yet_is_empty_and_stays_away(run, command, home):
    assert "no cache" in run(*command).err
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "command", [("stats",), ("list",), ("list", "--json"), ("show", "ab"), ("purge", "--all", "--yes")]
)
@pytest.mark.parametrize("damage", ["random", "truncated", "foreign"])
def test_a_store_that_cannot_be_read_is_one_sentence(run, command, damage, filled):
    for extra in filled.parent.glob("*-*"):
        extra.unlink()
    if damage == "random":
        filled.write_bytes(os.urandom(8192))
    elif damage == "truncated":
        filled.write_bytes(filled.read_bytes()[:5000])
    else:
        filled.unlink()
        other = sqlite3.connect(filled)
        other.execute("CREATE TABLE theirs (x)")
        other.close()
    before = filled.read_bytes()
    ran = run(*command, status=1)
    assert ran.err.startswith("llm-cache: ")
    assert ran.err.count("\n") == 1
    assert filled.read_bytes() == before  # looking at it changes nothing


def test_a_locked_store_can_be_read_and_says_so_when_it_is_to_be_written(run, filled):
    lock = sqlite3.connect(filled, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        assert json.loads(run("list", "--json").out)
        ran = run("purge", "--all", "--yes", status=1, LLMCACHE_WRITE_TIMEOUT_MS="200")
        assert "locked" in ran.err
        assert ran.err.count("\n") == 1
    finally:
        lock.close()


def test_a_store_in_a_place_that_is_no_folder(run, tmp_path):
    (tmp_path / "file").write_text("")
    ran = run("stats", LLMCACHE_DATABASE_URL=str(tmp_path / "file" / "cache.db"))
    assert "no cache" in ran.err


def test_a_reader_that_has_seen_enough_is_no_error(file):
    with LLMCache() as cache:
        for number in range(400):
            call(cache, f"key {number}")
    process = subprocess.Popen(
        [COMMAND, "list", "--limit", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")  # noqa: PTH110 - a device
def test_an_output_that_is_full_is_a_failure(filled):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [COMMAND, "list"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("llm-cache: ")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_is_one_word(filled):
    process = subprocess.Popen(
        [COMMAND, "purge", "--all"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (said := process.stderr.read(6)).startswith("Delete"):
        assert said
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "Traceback" not in err
    assert err.endswith("llm-cache: stopped.\n")


def test_what_nobody_expected_is_a_sentence_too(monkeypatch, capsys, filled):
    monkeypatch.setattr("llm_cache.cli.stats_command.existing_cache", lambda: 1 / 0)
    assert main.run(["stats"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("llm-cache: an error that nobody expected: ZeroDivisionError")
    assert "Traceback" not in err


def test_a_memory_cache_says_that_there_is_nothing_to_see(run):
    assert "memory" in run("list", LLMCACHE_BACKEND="memory").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run, shell):
    assert "_LLM_CACHE_COMPLETE" in run("completion", shell).out


def test_completion_completes(run):
    out = run(_LLM_CACHE_COMPLETE="bash_complete", COMP_WORDS="llm-cache p", COMP_CWORD="1").out
    assert out == "plain,purge\n"
    out = run(_LLM_CACHE_COMPLETE="bash_complete", COMP_WORDS="llm-cache purge --old", COMP_CWORD="2").out
    assert out == "plain,--older\n"
