"""`stats --since`, `--by` and charts; `why --misses`; `compact`: what they print for people and for programs."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from datetime import datetime, timezone

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.cli import charts
from llm_cache.ledger.sums import CALLS
from llm_cache.testing import openai_chat
from tests.cli.conftest import COMMAND, call

TODAY = datetime.fromtimestamp(time.time(), timezone.utc).strftime("%Y-%m-%d")
CHAT = "/v1/chat/completions"


def on_a_terminal(*arguments, columns=100, **variables):
    """What the command prints on a terminal of that width."""
    primary, secondary = pty.openpty()
    done = subprocess.Popen(
        [COMMAND, *arguments],
        stdout=secondary,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "PYTHONUTF8": "1", **variables},
    )
    os.close(secondary)
    out = b""
    try:
        while chunk := os.read(primary, 10_000):
            out += chunk
    except OSError:
        pass
    os.close(primary)
    assert done.wait(30) == 0
    return out.decode("utf-8")


@pytest.fixture
def months(filled):
    """Besides today's calls, some of long ago."""
    with LLMCache() as cache:
        cache.engine.store.add(
            {
                (CALLS, "2024-05-01", "openai", "gpt-4o", "default"): {"hits": 7, "saved_pico": 2 * 10**12},
                (CALLS, TODAY, "openai", "gpt-4o", "team"): {"hits": 1, "bypasses": 2, "bypass:off": 2},
            }
        )
    return filled


def by(run, name, *more):
    return json.loads(run("stats", "--json", "--by", name, *more).out)["by"]


def test_by_each_of_the_four(run, months):
    assert [(line["provider"], line["model"], line["calls"]) for line in by(run, "model")] == [
        ("anthropic", "claude-sonnet-4-5", 1),
        ("openai", "gpt-4o", 13),
        ("openai", "gpt-4o-mini", 1),
    ]
    assert {line["provider"]: line["hits"] for line in by(run, "provider")} == {"anthropic": 0, "openai": 10}
    assert {line["namespace"]: line["misses"] for line in by(run, "namespace")} == {"default": 3, "team": 0}
    # Two years and more are kept by the year; the day counts in the meantime.
    assert [line["hits"] for line in by(run, "day")] == [7, 3]
    (team,) = (line for line in by(run, "namespace") if line["namespace"] == "team")
    assert (team["bypasses"], team["bypass_reasons"], team["hit_rate"]) == (2, {"off": 2}, 1.0)


def test_since_leaves_out_what_was_before_but_no_entries(run, months):
    everything = json.loads(run("stats", "--json").out)
    for since in (TODAY, "1", "7d"):
        stats = json.loads(run("stats", "--json", "--since", since).out)
        assert (everything["hits"], stats["hits"], stats["entries"]) == (10, 3, 3)
        assert (everything["cost_saved_usd"], stats["cost_saved_usd"]) == ("2.015", "0.015")
        assert list(stats) == list(everything)
    assert json.loads(run("stats", "--json", "--since", "99999d").out)["hits"] == 10
    assert "Hits          3\n" in run("stats", "--since", "7d").out


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "-1", "7w", ""])
def test_since_what_is_no_day(run, filled, value):
    assert "--since" in run("stats", "--since", value, status=2).err


def test_tables_are_plain_where_nobody_looks(run, months):
    out = run("stats", "--by", "model").out
    more = "TOKENS SAVED TIME SAVED"
    first, *rows = out.splitlines()
    columns = f"PROVIDER MODEL CALLS HITS MISSES BYPASSES HIT RATE SPENT SAVED {more}"
    assert " ".join(first.split()) == columns
    assert [row.split()[1] for row in rows] == ["gpt-4o", "claude-sonnet-4-5", "gpt-4o-mini"]
    assert out.isascii()
    assert run("stats", "--by", "day").out.splitlines()[-1].startswith(TODAY)


def test_charts_on_a_terminal_that_fit_it(months):
    for columns in (60, 80, 200):
        out = on_a_terminal("stats", "--by", "model", columns=columns)
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in out.splitlines()) <= columns
        assert "gpt-4o-mini" in out
        assert ("█" in out) == (columns == 200)
    plain = on_a_terminal("stats", "--by", "model", columns=200, NO_COLOR="1")
    assert "\x1b[3" not in plain
    with LLMCache() as cache:
        cache.engine.store.add({(CALLS, "2099-01-01", "a", "b", "c"): {"hits": 1}})
    assert "Hits a day" in on_a_terminal("stats")
    assert "Hits a day" not in on_a_terminal("stats", PYTHONUTF8="0", PYTHONIOENCODING="ascii")


@pytest.mark.parametrize("columns", [60, 80, 110, 200])
def test_an_entry_is_a_line_of_the_list_whatever_the_terminal(filled, columns):
    out = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal("list", columns=columns))
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    rows = [line for line in lines if re.match(r"[0-9a-f]{12} ", line)]
    assert len(rows) == 3
    assert all(re.search(r"20\d\d-\d\d-\d\d \d\d:\d\dZ", row) and "$0.0" in row for row in rows)
    assert len(lines) == 5
    assert ("endpoint" in lines[0]) == (columns == 200)
    assert ("provider" in lines[0]) == (columns > 60)


def test_nothing_is_a_table_of_nothing(run):
    assert run("stats", "--by", "day").out.count("\n") == 1
    assert by(run, "model") == []


def test_lines_and_bars():
    assert charts.line([]) == ""
    assert charts.line([0, 0]) == "▁▁"
    assert charts.line([0, 1, 4, 8]) == " ▂▅█"
    assert charts.bar(0, 10, 8) == ""
    assert charts.bar(10, 10, 8) == "█" * 8
    assert charts.bar(1, 1_000_000, 8) == "▏"
    assert charts.bar(5, 10, 3) == "█▌"


def test_why_misses_names_the_field_and_the_rule(run, upstream):
    upstream.reply(CHAT, openai_chat("hello", model="gpt-4o-2024-08-06"))
    with LLMCache() as cache, httpx.Client(trust_env=False) as client, wrap(client, cache):
        for number in range(3):
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "seed": number}
            client.post(upstream.url + CHAT, json=body)
    out = run("why", "--misses").out
    assert "absent" in out
    assert 'seed: it looks generated; to leave it out of the key: ignore_fields = "seed"' in out
    told = json.loads(run("why", "--misses", "--json").out)
    assert told["reasons"] == {"absent": 3}
    (field,) = told["fields"]
    assert (field["fields"], field["misses"], field["ignore_fields"]) == (["seed"], 2, ["seed"])
    assert run("show", field["key"]).out


def test_why_misses_of_nothing(run, filled):
    assert json.loads(run("why", "--misses", "--json").out) == {"reasons": {"absent": 3}, "fields": []}
    assert "none differs" in run("why", "--misses").out


def test_why_misses_without_a_cache(run):
    assert json.loads(run("why", "--misses", "--json").out) == {"reasons": {}, "fields": []}


@pytest.mark.parametrize("arguments", [(), ("ab", "--misses"), ("--misses", "--request", "-")])
def test_why_about_nothing_or_two_things_is_wrong_usage(run, arguments):
    run("why", *arguments, status=2)


def test_compact(run, filled):
    with LLMCache() as cache:
        for number in range(100):
            call(cache, f"k{number}", prompt=os.urandom(20_000).hex())
    before = filled.stat().st_size
    run("purge", "--model", "gpt-4o")
    assert re.fullmatch(r"The store is .* smaller.\n|There was nothing to give back.\n", run("compact").out)
    assert filled.stat().st_size < before / 2
    assert len(json.loads(run("list", "--json").out)) == 2
    run("compact")
    assert run("compact").out == "There was nothing to give back.\n"


def test_compact_without_a_cache_makes_none(run, file):
    run("compact")
    assert not file.exists()


def test_names_of_a_megabyte_and_with_escapes_are_cut_and_shown_as_text(run):
    hostile = "evil\x1b]0;x\x07\u202e<script>" + "x" * 1_000_000
    with LLMCache() as cache:
        call(cache, "k", model=hostile)
    for arguments in (("list",), ("stats", "--by", "model"), ("stats", "--verbose")):
        out = run(*arguments).out
        assert max(map(len, out.splitlines())) < 1000
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "\\x1b" in out
        assert "\x1b]" not in on_a_terminal(*arguments)
