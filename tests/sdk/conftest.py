"""Real SDKs against the fake upstream. Runs in several environments, each with other majors of the SDKs.

With LLMCACHE_COMPATIBILITY it writes what became of each cell of the compatibility table into the file of that name.
"""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import pytest

from llm_cache import LLMCache, install, uninstall
from llm_cache.clients import short_calls
from llm_cache.runtime import recall
from llm_cache.testing import (
    anthropic_message,
    anthropic_stream,
    openai_chat,
    openai_chat_stream,
    openai_responses,
    openai_responses_stream,
)

_cells: dict[str, dict[str, Any]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs an SDK, and runs again beside the majors before."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("sdk")
            for mark in item.iter_markers("cell"):
                item.user_properties.append(("cell", [*mark.args, mark.kwargs.get("no")]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A cell is what all of its tests say; one that was skipped says nothing."""
    if report.outcome == "failed" or (report.when == "call" and report.outcome == "passed"):
        for name, value in report.user_properties:
            if name == "cell":
                row, column, no = value
                before = _cells.setdefault(row, {}).get(column)
                _cells[row][column] = "FAILED" if "FAILED" in {before, report.outcome.upper()} else no or "works"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where there are workers, they have told it all to the one who writes."""
    path = os.environ.get("LLMCACHE_COMPATIBILITY")
    if path and not hasattr(session.config, "workerinput"):
        Path(path).write_text(json.dumps(_cells, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@pytest.fixture(autouse=True, scope="session")
def _no_certificates(tmp_path_factory):
    """Every client loads all certificates of this machine when it is made; on loopback it needs none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("certificates")))
        yield


@pytest.fixture
def cache(database):
    # A process with every SDK in it stands still for longer than a lookup may take while the collector goes through it.
    with LLMCache(database_url=database, read_timeout_ms=5000) as made:
        yield made


@pytest.fixture(autouse=True, scope="module")
def _settled():
    """An SDK that is imported when it is first asked for stays as well; see `pytest_collection_finish`."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def hooked(cache):
    install(cache)
    yield cache
    uninstall()


@pytest.fixture
def up(upstream, monkeypatch):
    """Answers chats of OpenAI and messages of Anthropic, streamed if that is asked for."""

    def chat(received):
        asked = json.loads(received.body)
        if asked.get("tools"):
            called = [(asked["tools"][0]["function"]["name"], {"city": "Zug"})]
            return openai_chat_stream([], tool_calls=called) if asked.get("stream") else openai_chat(tool_calls=called)
        usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        return openai_chat_stream(["he", "llo"], include_usage=usage) if asked.get("stream") else openai_chat("hello")

    def messages(received):
        return (
            anthropic_stream(["he", "llo"]) if json.loads(received.body).get("stream") else anthropic_message("hello")
        )

    def responses(received):
        streamed = json.loads(received.body).get("stream")
        return openai_responses_stream(["he", "llo"]) if streamed else openai_responses("hello")

    upstream.reply("/v1/chat/completions", chat)
    upstream.reply("/v1/responses", responses)
    upstream.reply("/v1/messages", messages)
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + "/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", upstream.url)
    return upstream


@pytest.fixture
def shorts(monkeypatch):
    """What went the short way of a wrapped client, call by call."""
    seen = []

    def recalled(asked, world, tell):
        replay = recall.recalled(asked, world, tell)
        if replay is not None:
            seen.append(asked)
        return replay

    monkeypatch.setattr(short_calls, "recalled", recalled)
    return seen


@pytest.fixture
def client(upstream):
    """OpenAI's, which is told hello."""
    openai = pytest.importorskip("openai")
    upstream.reply("/v1/chat/completions", openai_chat("hello"))
    with openai.OpenAI(base_url=upstream.url + "/v1", api_key="sk-test", max_retries=0) as made:
        yield made
