"""The same function in a notebook and at a plain prompt: run again unchanged it is a hit, edited it is a miss."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import llm_cache
from llm_cache import last_call

CELL = """
TEMPLATE = "{template}"
def helper(x): return x + TEMPLATE
@cached_call(cache=cache)
def ask(prompt):
    fetched.append(prompt)
    return {body}
"""


@pytest.fixture
def notebook(cell, cache):
    from llm_cache import cached_call

    cell.space.update(cache=cache, cached_call=cached_call, fetched=[])
    return cell


def asked(space):
    space["ask"]("x")
    return last_call().status


def test_a_cell_that_is_run_again_is_a_hit_and_an_edited_one_a_miss(notebook):
    first = {"template": "one", "body": "helper(prompt)"}
    assert asked(notebook(CELL.format(**first))) == "miss"
    assert asked(notebook(CELL.format(**first))) == "hit"
    assert asked(notebook(CELL.format(**{**first, "template": "two"}))) == "miss"
    assert asked(notebook(CELL.format(**{**first, "body": "helper(prompt) + '!'"}))) == "miss"
    assert asked(notebook("# a remark\n\n" + CELL.format(**first))) == "hit"


def test_another_cell_may_change_the_template_or_the_helper(notebook):
    space = notebook(CELL.format(template="one", body="helper(prompt)"))
    assert asked(space) == "miss"
    notebook("TEMPLATE = 'two'")
    assert asked(space) == "miss"
    notebook("def helper(x): return TEMPLATE + x")
    assert asked(space) == "miss"
    notebook("def helper(x): return x + TEMPLATE")
    notebook("TEMPLATE = 'one'")
    assert asked(space) == "hit"


def test_classes_of_cells_count(notebook):
    source = """
        import dataclasses
        @dataclasses.dataclass
        class Style:
            tone: str = "{tone}"
        class Prompter:
            def make(self): return "{text}"
        @cached_call(cache=cache)
        def ask(prompt): return Style().tone + Prompter().make()
    """
    assert asked(notebook(source.format(tone="a", text="b"))) == "miss"
    assert asked(notebook(source.format(tone="a", text="b"))) == "hit"
    assert asked(notebook(source.format(tone="a", text="c"))) == "miss"
    assert asked(notebook(source.format(tone="c", text="b"))) == "miss"


PROMPT = """\
from llm_cache import LLMCache, cached_call, last_call
cache = LLMCache(database_url="cache.db")
calls = []
T = "one"
def helper(x): return x + T

@cached_call(cache=cache)
def ask(x):
    calls.append(x)
    return helper(x)

def tell(): ask("x"); print("status", last_call().status)

tell()
tell()
"""


@pytest.mark.parametrize("edit", ["", "T = 'two'\ntell()\n", "def helper(x): return T + x\n\ntell()\n"])
def test_a_plain_prompt(tmp_path, edit):
    def typed(text):
        done = subprocess.run(
            [sys.executable, "-i", "-q"], input=text, capture_output=True, text=True, cwd=tmp_path, timeout=50,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(llm_cache.__file__).resolve().parents[1]), "TERM": "dumb"},
        )  # fmt: skip
        return re.findall(r"status (\w+)", done.stdout)

    assert typed(PROMPT + edit) == ["miss", "hit", *(["miss"] if edit else [])]
    # Another session in which the same was typed.
    assert typed(PROMPT) == ["hit", "hit"]
    again = PROMPT.replace("return helper(x)\n\ndef", "return helper(x) + '!'\n\ndef")
    assert typed(again) == ["miss", "hit"]
