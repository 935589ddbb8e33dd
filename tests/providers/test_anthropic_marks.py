"""Marks of the prompt cache go where the API puts them, and nothing else does; the argument is not changed."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, strategies as st

from llm_cache.providers.anthropic_marks import unmark

MARK = {"cache_control": {"type": "ephemeral"}}
WORDS = ["cache_control", "messages", "content", "type", "system", "tools", "source", "x"]


def message(*content: object) -> dict:
    return {"messages": [{"role": "user", "content": list(content)}]}


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ({"model": "c", **MARK}, {"model": "c"}),
        ({"cache_control": None}, {}),
        ({"system": [{"type": "text", "text": "s", **MARK}]}, {"system": [{"type": "text", "text": "s"}]}),
        ({"tools": [{"name": "f"}, {"name": "g", **MARK}]}, {"tools": [{"name": "f"}, {"name": "g"}]}),
        (message({"type": "text", "text": "a", **MARK}), message({"type": "text", "text": "a"})),
        (message({"type": "tool_use", "input": {}, **MARK}), message({"type": "tool_use", "input": {}})),
        (
            message({"type": "tool_result", "content": [{"type": "image", **MARK}], **MARK}),
            message({"type": "tool_result", "content": [{"type": "image"}]}),
        ),
        (
            message(
                {"type": "tool_result", "content": [{"type": "search_result", "content": [{"type": "text", **MARK}]}]}
            ),
            message({"type": "tool_result", "content": [{"type": "search_result", "content": [{"type": "text"}]}]}),
        ),
        (
            message({"type": "document", "source": {"type": "content", "content": [{"type": "text", **MARK}]}}),
            message({"type": "document", "source": {"type": "content", "content": [{"type": "text"}]}}),
        ),
    ],
)
def test_a_mark_where_the_api_puts_it_is_removed(marked, plain):
    before = copy.deepcopy(marked)
    assert unmark(marked) == plain
    assert marked == before


@pytest.mark.parametrize(
    "body",
    [
        message({"type": "tool_use", "input": {"cache_control": "mine", "content": [MARK]}}),
        message({"type": "tool_result", "content": "cache_control"}),
        message({"type": "code_execution_tool_result", "content": [MARK]}),
        message("cache_control"),
        {"messages": [{"role": "user", "content": "a", "cache_control": 1}]},
        {"messages": [MARK]},
        {"messages": [7, None, {"content": [7, None, []]}]},
        {"messages": {"content": [MARK]}},
        {"system": "cache_control"},
        {"tools": [{"name": "f", "input_schema": {"properties": {"cache_control": {"type": "object"}}}}]},
        {"tools": [{"name": "f", "content": [MARK]}]},
        {"metadata": MARK, "thinking": MARK},
        {"model": "c"},
        [MARK],
        "text",
        None,
    ],
)
def test_anything_else_is_the_same_object(body):
    assert unmark(body) is body


def test_what_has_no_mark_is_not_copied():
    body = {**message({"type": "text", "text": "a"}), "tools": [{"name": "f", **MARK}]}
    assert unmark(body)["messages"] is body["messages"]


def test_depth_is_bounded():
    body: object = {"type": "text", **MARK}
    for _ in range(100_000):
        body = {"type": "tool_result", "content": [body]}
    assert unmark(message(body)) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
)


@given(JSON)
def test_it_never_raises_never_changes_its_argument_and_is_done_at_once(body):
    before = copy.deepcopy(body)
    once = unmark(body)
    assert body == before
    assert unmark(once) is once
