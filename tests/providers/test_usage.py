"""Tokens of every vendor's convention become figures that can be added."""

from __future__ import annotations

import pytest

from llm_cache.core.model import Usage
from llm_cache.providers.usage import anthropic_usage, embedding_usage, openai_usage


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}, Usage(3, 5)),
        ({"input_tokens": 3, "output_tokens": 5}, Usage(3, 5)),
        ({"prompt_tokens": 3}, Usage(3)),
        ({"prompt_tokens": 3.0, "completion_tokens": 0}, Usage(3, 0)),
        (
            {
                "prompt_tokens": 30,
                "completion_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 2, "cache_write_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 1},
            },
            Usage(30, 20, 10, 4, 7, 2, 1),
        ),
        (
            {
                "input_tokens": 30,
                "output_tokens": 20,
                "input_tokens_details": {"cached_tokens": 10},
                "output_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(30, 20, 10, None, 7),
        ),
        # DeepSeek; Mistral; Together
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}, Usage(9, 1, 8)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "num_cached_tokens": 8}, Usage(9, 1, 8)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 8}, Usage(9, 1, 8)),
        # xAI: reasoning beside the completion; Google: only in the total
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 1,
                "total_tokens": 110,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Usage(9, 101, reasoning_tokens=100),
        ),
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, Usage(35, 74)),
        # A total that differs for another reason is not believed.
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 1,
                "total_tokens": 30,
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
            Usage(9, 1, reasoning_tokens=0),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 17, "cached_tokens": 7}, Usage(9, 1, 7)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 2}, Usage(9, 1)),
        ({"prompt_tokens": -1, "completion_tokens": True, "total_tokens": "9"}, None),
        ({"prompt_tokens": 1e300, "completion_tokens": 10**30}, None),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, None),
        ({"prompt_tokens": 1.5}, None),
        ({"prompt_tokens": 1, "prompt_tokens_details": [1], "completion_tokens_details": "x"}, Usage(1)),
        ({"total_tokens": 9}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
def test_openai(told, usage):
    assert openai_usage(told) == usage


def test_an_embedding_may_tell_its_total_alone():
    assert embedding_usage({"total_tokens": 9}) == Usage(9)
    assert embedding_usage({"prompt_tokens": 8, "total_tokens": 8}) == Usage(8)
    assert embedding_usage({}) is None
    assert embedding_usage("x") is None


def test_anthropic_counts_what_its_prompt_cache_did_apart():
    told = {"input_tokens": 11, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 2}
    assert anthropic_usage(told) == Usage(20, 2, 4, 5)
    assert anthropic_usage({"output_tokens": 2}) == Usage(None, 2)
    assert anthropic_usage({"input_tokens": "x"}) is None
