"""Every Python block of the tutorial and the how-to guides runs, top to bottom, against a provider on loopback."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from llm_cache.cli.main import command
from llm_cache.clients import cache as caches
from llm_cache.testing import openai_chat, openai_chat_stream

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
ELSEWHERE = {
    "add-a-provider": "its code belongs into files: test_guides.py puts it there",
    "add-a-store": "as the others",
    "add-a-vendor": "as the others",
    "change-over": "needs what one changes from: tests/sdk/test_change_over.py",
    "redis": "needs a Redis: test_redis_page.py starts one",
}
PAGES = sorted([DOCS / "tutorial.md", *(page for page in (DOCS / "how-to").glob("*.md") if page.stem not in ELSEWHERE)])
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
WANTED = {
    "tutorial": lambda found: found["first"] == found["second"] and found["french"] == found["also_french"],
    "evals": lambda found: found["answer"] == found["again"] and len(set(found["draws"])) == 3,
    "agents": lambda found: found["messages"][-1]["content"],
    "ci-without-keys": lambda found: found["recorded"].choices[0].message.content,
}
"""What holds after a page has run; a page of other blocks only has to run."""


def answer(counted):
    def answering(received):
        asked = received.json()
        counted.append(asked)
        text = f"Answer {len(counted)}."
        return openai_chat_stream(text.split()) if asked.get("stream") else openai_chat(text)

    return answering


@pytest.mark.sdk
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_python_runs(page, upstream, monkeypatch, tmp_path):
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    if not blocks:
        pytest.skip("no Python on this page")
    pytest.importorskip("openai")
    asked = []
    upstream.reply("/v1/chat/completions", answer(asked))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + "/v1")
    monkeypatch.setattr(caches, "_default", None)
    monkeypatch.chdir(tmp_path)
    found = {"__name__": page.stem}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{page.name}, Python block {number}", "exec"), found)
    assert WANTED.get(page.stem, bool)(found)


TEXTS = sorted([ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.stem)
def test_every_command_line_is_one_that_is_understood(page):
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    # A call ends with its line, or where the shell takes over: a pipe, a redirection, a comment, another program.
    calls = re.findall(r"\bllm-cache ([a-z-][^\n|>#;&]*)", "\n".join(blocks).replace("\\\n", " "))
    for call in calls:
        words = call.partition(" -- ")[0].split()
        found, *words = [command.get_command(None, words[0]), *words[1:]]
        assert found is not None, call
        while isinstance(found, click.Group):
            found, *words = [found.commands[words[0]], *words[1:]]
        known = {spelling for option in found.params for spelling in option.opts}
        asked = {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}
        assert asked <= known, call


def test_every_page_is_of_a_known_kind():
    kinds = {"how-to", "reference", "explanation", "decisions", "_static"}
    pages = {path.relative_to(DOCS).parts[0] for path in DOCS.rglob("*.md") if len(path.relative_to(DOCS).parts) > 1}
    assert pages <= kinds
