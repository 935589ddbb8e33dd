"""Which tests an installed wheel must pass: those that use public names alone, and the quick ones are among them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"


@pytest.fixture(scope="module")
def suite():
    return runpy.run_path(str(TOOLS / "public_tests.py"))["Suite"]


def test_those_of_this_repository_are_found(suite):
    found = {str(path.relative_to(ROOT)) for path in suite(ROOT).public()}
    assert set(runpy.run_path(str(TOOLS / "try_wheel.py"))["QUICK"]) <= found
    assert len(found) > 25
    assert not [name for name in found if name.startswith(("tests/core/", "tests/docs/", "tests/runtime/test_s"))]


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("from llm_cache import LLMCache\nfrom llm_cache.testing import FakeUpstream\n", True),
        ("import llm_cache.httpx\n", True),
        ("def test_it():\n    from llm_cache.core import plan\n", False),
        ("from tests.some import helper\n", False),
        ("from .helpers import that\n", False),
        ("from tests.some.plain import that\n", True),
    ],
)
def test_what_a_test_imports_decides_and_so_do_its_helpers(suite, tmp_path, text, public):
    folder = tmp_path / "tests" / "some"
    folder.mkdir(parents=True)
    (folder / "helper.py").write_text("from llm_cache.stores.sqlite import SqliteStore\n")
    (folder / "helpers.py").write_text("import llm_cache.codec\n")
    (folder / "plain.py").write_text("import json\n")
    (folder / "test_it.py").write_text(text)
    assert bool(suite(tmp_path).public()) is public


def test_what_a_file_needs_and_is_not_there_is_told(suite, tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "conftest.py").write_text("import nowhere_to_be_found\n")
    (folder / "test_it.py").write_text("import json\nimport llm_cache\nimport also_nowhere\n")
    there = suite(tmp_path)
    assert there.missing(folder / "test_it.py") == ["also_nowhere", "nowhere_to_be_found"]
    assert "nowhere_to_be_found" not in sys.modules
