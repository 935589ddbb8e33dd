"""`stats`, `list` and `show`: what they print for people and for programs."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess

import pytest

from llm_cache import LLMCache
from llm_cache.cli.show_command import write_whole
from tests.cli.conftest import COMMAND, answer, call

FIELDS = [
    "key",
    "provider",
    "model",
    "endpoint",
    "namespace",
    "created_at",
    "expires_at",
    "last_hit_at",
    "hits",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_ms",
    "size_bytes",
    "stream",
    "status",
]
HOSTILE = "a\x1b[31mb\u202ec\x9bd\x07\ne\u2028f"


def listed(run, *arguments):
    return json.loads(run("list", "--json", *arguments).out)


def test_stats_json(run, filled):
    stats = json.loads(run("stats", "--json").out)
    assert list(stats) == [
        "entries",
        "hits",
        "misses",
        "joined",
        "bypasses",
        "hit_rate",
        "cost_spent_usd",
        "cost_saved_usd",
        "tokens_saved",
        "time_saved_s",
        "size_bytes",
        "providers",
        "models",
    ]
    assert (stats["entries"], stats["hits"], stats["misses"], stats["hit_rate"]) == (3, 2, 3, 0.4)
    # 1,000 and 500 tokens at 2.50 and 10.00, 0.15 and 0.60, 3.00 and 15.00 USD per million
    assert stats["cost_spent_usd"] == "0.01845"
    assert stats["cost_saved_usd"] == "0.015"
    assert stats["tokens_saved"] == 3000
    assert stats["providers"] == ["anthropic", "openai"]


def test_stats_json_of_nothing(run):
    stats = json.loads(run("stats", "--json").out)
    assert (stats["entries"], stats["cost_saved_usd"], stats["providers"]) == (0, "0", [])


def test_stats_for_people(run, filled):
    out = run("stats").out
    assert "Hits          2\n" in out
    assert "Hit rate      40.0%\n" in out
    assert "Cost saved    $0.015\n" in out
    assert "claude" not in out
    verbose = run("stats", "--verbose").out
    assert verbose.startswith(out)
    assert "claude-sonnet-4-5" in verbose
    assert "absent" in verbose


def test_stats_say_what_is_missing_in_the_money(run, file):
    with LLMCache() as cache:
        call(cache, "a", model="unheard-of")
    assert "Cost spent    $0 and 1 call of unknown price\n" in run("stats").out


def test_list_json_has_the_promised_fields_newest_first(run, filled):
    entries = listed(run)
    assert [list(entry) for entry in entries] == [FIELDS] * 3
    assert [entry["model"] for entry in entries] == ["claude-sonnet-4-5", "gpt-4o-mini", "gpt-4o"]
    one = entries[2]
    assert (one["hits"], one["input_tokens"], one["output_tokens"], one["status"]) == (2, 1000, 500, 200)
    assert one["cost_usd"] == "0.0075"  # the writer was gone before it was priced
    assert one["last_hit_at"] >= one["created_at"]
    assert (one["stream"], one["namespace"], one["endpoint"]) == (False, "default", "/v1/chat/completions")
    assert len(one["key"]) == 64


def test_list_filters(run, filled):
    assert [entry["model"] for entry in listed(run, "--provider", "anthropic")] == ["claude-sonnet-4-5"]
    assert [entry["model"] for entry in listed(run, "--model", "gpt-4o")] == ["gpt-4o"]
    assert listed(run, "--namespace", "other") == []
    assert listed(run, "--provider", "openai", "--model", "claude-sonnet-4-5") == []
    assert len(listed(run, "--limit", "2")) == 2


def test_list_is_50_unless_told_otherwise_and_0_is_all(run, file):
    with LLMCache() as cache:
        for number in range(60):
            call(cache, f"key {number}")
    assert len(listed(run)) == 50
    assert len(listed(run, "--limit", "0")) == 60
    assert len(run("list").out.splitlines()) == 51


def test_list_in_a_pipe_is_plain_with_whole_keys(run, filled):
    lines = run("list").out.splitlines()
    assert lines[0].split()[:3] == ["KEY", "PROVIDER", "MODEL"]
    assert [line.split()[0] for line in lines[1:]] == [entry["key"] for entry in listed(run)]
    assert "\x1b" not in run("list", FORCE_COLOR="1", CLICOLOR_FORCE="1").out


@pytest.mark.parametrize("colour", [True, False])
def test_list_on_a_terminal_is_a_table(filled, colour):
    keeper, terminal = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "150"}
    environ |= {} if colour else {"NO_COLOR": "1"}
    process = subprocess.Popen([COMMAND, "list"], stdout=terminal, stderr=terminal, env=environ)
    os.close(terminal)
    seen = b""
    while True:
        try:
            data = os.read(keeper, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    os.close(keeper)
    assert process.wait(60) == 0
    text = seen.decode()
    assert "claude-sonnet-4-5" in text
    assert "─" in text or "━" in text
    assert ("\x1b[3" in text) is False or colour


def test_show_takes_a_key_a_prefix_of_it_or_the_key_as_it_was_given(run, filled):
    key = listed(run, "--model", "gpt-4o")[0]["key"]
    for given in (key, key[:10], key[:10].upper(), "one"):
        assert json.loads(run("show", given, "--json").out)["key"] == key


def test_show_json_has_request_response_and_text(run, filled):
    shown = json.loads(run("show", "one", "--json").out)
    assert list(shown) == [*FIELDS, "request", "response", "text"]
    assert shown["request"]["messages"] == [{"role": "user", "content": "hi"}]
    assert shown["response"]["choices"][0]["message"]["content"] == "hello"
    assert shown["text"] == "hello"


def test_show_for_people(run, filled):
    out = run("show", "one").out
    assert "cost_usd       $0.0075\n" in out
    assert "model          gpt-4o\n" in out
    assert out.endswith("\nanswer:\nhello\n")


def test_show_of_what_is_not_there_is_1(run, filled):
    for given in ("none", "0" * 64, "", "g" * 64):
        ran = run("show", given, status=1)
        assert "there is no entry" in ran.err
        assert ran.out == ""
    assert run("show", "ab", status=1, HOME=str(filled.parent / "other")).out == ""


def test_an_ambiguous_prefix_names_what_it_matches(run, file):
    with LLMCache() as cache:
        for number in range(40):
            call(cache, f"key {number}")
    keys = [entry["key"] for entry in listed(run)]
    digit = max("0123456789abcdef", key=lambda digit: sum(key.startswith(digit) for key in keys))
    ran = run("show", digit, status=1)
    assert "several keys" in ran.err
    assert ran.err.count("\n") == 1
    named = ran.err.split(": ")[-1].split(", ")
    assert len(named) > 1
    assert all(any(key.startswith(name.strip()) for key in keys) for name in named if "…" not in name)


def test_show_output_writes_a_file_for_its_owner_alone(run, filled, tmp_path):
    target = tmp_path / "entry.json"
    target.write_text("old")
    target.chmod(0o644)
    ran = run("show", "one", "--output", str(target))
    assert ran.out == ""
    assert json.loads(target.read_text()) == json.loads(run("show", "one", "--json").out)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert json.loads(run("show", "one", "--output", "-").out)["text"] == "hello"


def test_show_output_is_whole_or_not_at_all(run, filled, tmp_path):
    target = tmp_path / "entry.json"
    run("show", "none", "--output", str(target), status=1)
    assert list(tmp_path.iterdir()) == []
    ran = run("show", "one", "--output", str(tmp_path / "missing" / "entry.json"), status=1)
    assert ran.err.count("\n") == 1
    ran = run("show", "one", "--output", str(tmp_path), status=1)
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_finished_leaves_what_was_there(tmp_path, monkeypatch):
    target = tmp_path / "entry.json"
    target.write_text("old")

    def refuse(_):
        raise OSError("full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="full"):
        write_whole(target, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["entry.json"]
    assert target.read_text() == "old"


def test_show_output_follows_a_link_and_spares_a_device(run, filled, tmp_path):
    target, link = tmp_path / "entry.json", tmp_path / "link"
    link.symlink_to(target)
    run("show", "one", "--output", str(link))
    assert link.is_symlink()
    assert json.loads(target.read_text())["text"] == "hello"
    run("show", "one", "--output", os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)  # noqa: PTH116 - a device


def test_nothing_that_was_stored_reaches_the_terminal_as_it_is(run, file):
    with LLMCache() as cache:
        call(cache, "bad", provider="x\x1b]0;t\x07", model="m\u202em", reply=answer(HOSTILE), prompt=HOSTILE)
    for command in (
        ("list",),
        ("list", "--json"),
        ("show", "bad"),
        ("show", "bad", "--json"),
        ("stats", "--verbose"),
        ("stats", "--json"),
    ):
        out = run(*command).out
        assert not [char for char in out if not char.isprintable() and char != "\n"], command
    shown = json.loads(run("show", "bad", "--json").out)
    assert shown["text"] == HOSTILE
    assert shown["provider"] == "x\x1b]0;t\x07"
    assert "a\\x1b[31mb\\u202ec\\x9bd\\x07\ne\\u2028f" in run("show", "bad").out


def test_other_languages_are_shown_as_they_are(run, file):
    text = "Grüße, 日本語, العربية, می\u200cخواهم, 👩\u200d💻"
    with LLMCache() as cache:
        call(cache, "words", reply=answer(text))
    assert text in run("show", "words").out
    assert json.loads(run("show", "words", "--json").out)["text"] == text
    # A terminal that has no such letters is no reason to fail.
    assert "Gr" in run("show", "words", PYTHONIOENCODING="ascii").out


def test_a_megabyte_in_one_line_is_shown_whole_and_listed_in_a_line(run, file):
    text = "long line " * 120_000
    with LLMCache() as cache:
        call(cache, "long", reply=answer(text), prompt=text)
    assert text in run("show", "long").out
    assert json.loads(run("show", "long", "--json").out)["text"] == text
    assert max(map(len, run("list").out.splitlines())) < 400


def test_show_tells_what_else_was_billed(run, file):
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
    }
    with LLMCache() as cache:
        call(cache, "one", reply={**answer(usage=False), "usage": usage, "service_tier": "flex"})
    assert "billed with    cache_read_tokens 400, terms flex\n" in run("show", "one").out
