"""What the command line's tests share: the real command in a process of its own, and a cache to look at. No tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from llm_cache import LLMCache

COMMAND = str(Path(sys.executable).with_name("llm-cache"))


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run() -> Run:
    """Runs the command; whatever it says on standard error is one sentence or a few, and never a traceback."""

    def running(*arguments: str, stdin: str = "", status: int = 0, **variables: str) -> Ran:
        done = subprocess.run(
            [COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, **variables},
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == status, (done.stdout, done.stderr)
        return Ran(done.returncode, done.stdout, done.stderr)

    return running


@pytest.fixture
def home() -> Path:
    return Path(os.environ["HOME"])


@pytest.fixture
def file(home) -> Path:
    """Where the default cache is, or will be."""
    return home / ".cache" / "llm-cache" / "cache.db"


def answer(text="hello", model="gpt-4o-2024-08-06", usage=True):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        **({"usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}} if usage else {}),
    }


def call(cache, key, *, provider="openai", model="gpt-4o", reply=None, prompt="hi", **more):
    """One call that is stored under a key."""
    request = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    reply = answer(model=model) if reply is None else reply
    return cache.get_or_set(key, lambda: reply, provider, model, "/v1/chat/completions", request, **more)


@pytest.fixture
def filled(file) -> Path:
    """A default cache with three entries: `one` (asked for three times), `two` and `three`."""
    with LLMCache() as cache:
        for _ in range(3):
            call(cache, "one")
        call(cache, "two", model="gpt-4o-mini")
        call(cache, "three", provider="anthropic", model="claude-sonnet-4-5")
    return file


def aged(model, **more):
    """Put an entry back with other times."""
    with LLMCache() as cache:
        (entry,) = cache.entries(model=model)
        cache.engine.store.put(cache.engine.codec.encode(replace(entry, **more)))
