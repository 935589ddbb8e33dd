"""The Python of the guide for changing over runs, each block where what it imports is installed, and pays once."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import llm_cache
from llm_cache.clients import cache as caches
from llm_cache.testing import openai_chat
from tests.sdk.frameworks import FILTERS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "change-over.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
FRAMEWORKS = ("litellm", "langchain_openai")
pytestmark = [pytest.mark.sdk, *FILTERS]


@pytest.fixture
def provider(upstream, monkeypatch, tmp_path):
    pytest.importorskip("openai")
    upstream.reply("/v1/chat/completions", openai_chat("Hello!"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + "/v1")
    monkeypatch.setattr(caches, "_default", None)
    monkeypatch.chdir(tmp_path)
    return upstream


def runs(*blocks):
    names = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "change-over.md", "exec"), names)
    return names


def test_the_sdk_cassettes_and_functions(provider):
    found = runs(*[block for block in BLOCKS if not any(name in block for name in (*FRAMEWORKS, "install("))])
    assert found["answer"].choices[0].message.content == found["summary"] == "Hello!"
    assert found["recorded"] == found["replayed"]
    # One each: the client, the cassette, the function.
    assert provider.count() == 3


@pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed")
def test_litellm(provider):
    try:
        found = runs(*[block for block in BLOCKS if "install(" in block or "import litellm" in block])
    finally:
        llm_cache.uninstall()
    assert found["reply"].choices[0].message.content == "Hello!"
    assert provider.count() == 1


@pytest.mark.skipif(find_spec("langchain_openai") is None, reason="langchain-openai is not installed")
def test_langchain(provider):
    (block,) = [block for block in BLOCKS if "langchain_openai" in block]
    assert runs(block)["greeting"] == "Hello!"
    assert provider.count() == 1


def test_every_block_belongs_to_one_of_these():
    assert len(BLOCKS) == 6
