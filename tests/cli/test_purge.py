"""`purge`: deletes what was clearly asked for, and nothing else."""

from __future__ import annotations

import json
import time

import pytest

from llm_cache import LLMCache
from tests.cli.conftest import aged, call


def models(run, **variables):
    return sorted(entry["model"] for entry in json.loads(run("list", "--json", "--limit", "0", **variables).out))


ALL = ["claude-sonnet-4-5", "gpt-4o", "gpt-4o-mini"]


def test_by_model_provider_and_namespace(run, filled):
    assert run("purge", "--namespace", "other").out == "0 entries deleted.\n"
    assert run("purge", "--model", "gpt-4o").out == "1 entry deleted.\n"
    assert models(run) == ["claude-sonnet-4-5", "gpt-4o-mini"]
    assert run("purge", "--provider", "openai").out == "1 entry deleted.\n"
    assert models(run) == ["claude-sonnet-4-5"]


def test_by_key(run, filled):
    key = json.loads(run("list", "--json", "--model", "gpt-4o").out)[0]["key"]
    run("purge", "--key", key[:16])
    assert models(run) == ["claude-sonnet-4-5", "gpt-4o-mini"]
    run("purge", "--key", "two")
    assert models(run) == ["claude-sonnet-4-5"]


def test_a_key_that_is_not_there_or_ambiguous_deletes_nothing(run, file):
    with LLMCache() as cache:
        for number in range(40):
            call(cache, f"key {number}")
    run("purge", "--key", "nothing of this name", status=1)
    ambiguous = next(
        digit
        for digit in "0123456789abcdef"
        if sum(entry["key"].startswith(digit) for entry in json.loads(run("list", "--json").out)) > 1
    )
    assert "several keys" in run("purge", "--key", ambiguous, status=1).err
    assert len(models(run)) == 40


def test_expired_and_older(run, filled):
    aged("gpt-4o", created_at=time.time() - 40 * 86400)
    aged("gpt-4o-mini", expires_at=1.0)
    assert run("purge", "--older", "50").out == "0 entries deleted.\n"
    assert run("purge", "--older", "30", "--dry-run").out == "1 entry would be deleted.\n"
    assert run("purge", "--older", "30").out == "1 entry deleted.\n"
    assert models(run) == ["claude-sonnet-4-5", "gpt-4o-mini"]
    assert run("purge", "--expired").out == "1 entry deleted.\n"
    assert models(run) == ["claude-sonnet-4-5"]


def test_filters_combine(run, filled):
    aged("gpt-4o", created_at=time.time() - 40 * 86400)
    assert run("purge", "--older", "30", "--provider", "anthropic").out == "0 entries deleted.\n"
    assert run("purge", "--provider", "openai", "--model", "claude-sonnet-4-5").out == "0 entries deleted.\n"
    assert run("purge", "--key", "two", "--expired").out == "0 entries deleted.\n"
    assert models(run) == ALL


def test_a_dry_run_deletes_nothing_and_asks_nothing(run, filled):
    ran = run("purge", "--all", "--dry-run")
    assert ran.out == "3 entries would be deleted.\n"
    assert "[y/n]" not in ran.err
    assert models(run) == ALL


@pytest.mark.parametrize("said", ["y\n", "YES\n", "what?\ny\n", "y"])
def test_all_asks_and_yes_is_yes(run, filled, said):
    ran = run("purge", "--all", stdin=said)
    assert ran.out == "3 entries deleted.\n"
    assert f"Delete all 3 entries in {filled}? [y/n] " in ran.err
    assert models(run) == []


@pytest.mark.parametrize("said", ["n\n", "No\n", "", "what?\n", "\nn\n"])
def test_anything_else_is_no(run, filled, said):
    ran = run("purge", "--all", stdin=said, status=1)
    assert ran.out == ""
    assert "Nothing was deleted" in ran.err
    assert models(run) == ALL


def test_yes_need_not_be_asked(run, filled):
    ran = run("purge", "--all", "--yes")
    assert ran.out == "3 entries deleted.\n"
    assert "[y/n]" not in ran.err


def test_statistics_outlive_what_they_count(run, filled):
    before = json.loads(run("stats", "--json").out)
    run("purge", "--all", "--yes")
    after = json.loads(run("stats", "--json").out)
    assert after["entries"] == 0
    assert (after["hits"], after["cost_saved_usd"]) == (before["hits"], before["cost_saved_usd"])
