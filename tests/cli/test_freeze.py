"""`llm-cache freeze`: what a run, or a proxy for one of its callers, has fetched is replayed by a test, and back."""

from __future__ import annotations

import json

import pytest

from llm_cache import LLMCache, options, wrap
from llm_cache.testing import openai_chat

httpx = pytest.importorskip("httpx")
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


def ask(upstream, cache):
    with httpx.Client(base_url=upstream.url) as client, wrap(client, cache):
        reply = client.post("/v1/chat/completions", json=BODY)
        return reply.json()["choices"][0]["message"]["content"], reply.extensions["llm_cache"].status


@pytest.fixture
def answers(upstream):
    numbers = iter(range(100))
    upstream.reply("/v1/chat/completions", lambda _: openai_chat(f"Answer {next(numbers)}."))
    return upstream


def test_a_run_in_a_namespace_with_samples_is_found_in_the_default_one(run, answers, tmp_path):
    with LLMCache() as cache:
        for sample in (0, 1):
            with options(namespace="last-run", sample=sample):
                assert ask(answers, cache) == (f"Answer {sample}.", "miss")
    cassette = tmp_path / "deep" / "cassette.json"
    assert "2 entries" in run("freeze", str(cassette), "--namespace", "last-run").err
    run("purge", "--all", "--yes")
    run("freeze", "--back", str(cassette))
    with LLMCache() as cache:
        for sample in (0, 1):
            with options(mode="offline", sample=sample):
                assert ask(answers, cache) == (f"Answer {sample}.", "hit")


def test_what_a_proxy_kept_for_a_caller_is_found_by_a_library(run, answers, tmp_path):
    from tests.proxy.running import running

    with LLMCache() as cache:
        place = cache.location
    with running(answers.url, database_url=place) as proxy:
        assert proxy.ask(json=BODY).headers["x-llm-cache"] == "miss"
    cassette = tmp_path / "cassette.json"
    run("freeze", str(cassette))
    (entry,) = json.loads(cassette.read_text())
    run("purge", "--all", "--yes")
    run("freeze", "--back", str(cassette), "--namespace", "mine")
    with LLMCache() as cache, options(mode="offline", namespace="mine"):
        assert ask(answers, cache) == ("Answer 0.", "hit")
    assert entry["namespace"] == "default"


def test_nothing_to_freeze_makes_no_file(run, tmp_path):
    cassette = tmp_path / "cassette.json"
    assert "no entry matches" in run("freeze", str(cassette), "--model", "nobody", status=1).err
    assert not cassette.exists()
    assert "there is no cassette" in run("freeze", "--back", str(cassette), status=1).err


def test_a_damaged_cassette_is_refused_with_its_line(run, tmp_path):
    cassette = tmp_path / "cassette.json"
    cassette.write_text('[\n {"key": 1}\n]\n')
    assert f"{cassette}, line" in run("freeze", "--back", str(cassette), status=1).err
