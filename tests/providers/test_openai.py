"""Embeddings, moderations and images: replies that are data, kept if there is any."""

from __future__ import annotations

import json

import pytest

from llm_cache.core.model import Step, Usage

from .provider_samples import JSON, SSE, asking, events, read, whole

EMBED = asking("/v1/embeddings", {"model": "m", "input": "?"})
MODERATE = asking("/v1/moderations", {"input": "?"})
IMAGE = asking("/v1/images/generations", {"prompt": "?"})


@pytest.mark.parametrize(
    ("endpoint", "body", "flaw", "empty"),
    [
        (EMBED, {"data": [{"embedding": [0.1]}], "model": "e"}, None, False),
        (EMBED, {"data": [{"embedding": "AA=="}], "model": "e", "usage": 7}, None, False),
        (EMBED, {"data": [{"embedding": []}]}, None, True),
        (EMBED, {"data": [{"embedding": None}]}, None, True),
        (EMBED, {"data": []}, None, True),
        (EMBED, {"data": None}, "malformed", False),
        (EMBED, {"data": {"embedding": [1]}}, "malformed", False),
        (EMBED, {"data": [1]}, "malformed", False),
        (EMBED, {"embeddings": [[1]]}, "malformed", False),
        (EMBED, {"error": {"message": "m"}, "data": [{"embedding": [1]}]}, "error", False),
        (MODERATE, {"results": [{"flagged": False}], "model": "e"}, None, False),
        (MODERATE, {"results": []}, None, True),
        (MODERATE, {"results": {}}, "malformed", False),
        (IMAGE, {"data": [{"url": "https://x"}], "model": "e"}, None, False),
        (IMAGE, {"data": [{"b64_json": "AA=="}]}, None, False),
        (IMAGE, {"data": [{"revised_prompt": "a"}]}, None, True),
        (IMAGE, {"data": []}, None, True),
        (IMAGE, {"created": 1}, "malformed", False),
    ],
)
def test_a_body_of_data(endpoint, body, flaw, empty):
    steps, reading = read(endpoint, JSON, json.dumps(body).encode())
    assert steps == [Step.MORE]
    assert reading.flaw == flaw
    assert reading.text is None
    assert ("empty" in reading.traits) == empty
    if flaw is None:
        assert reading.model == body.get("model")


def test_numbers_that_json_does_not_have_are_taken_as_sdks_take_them():
    assert whole(EMBED, JSON, b'{"data": [{"embedding": [NaN, 1e999]}]}').flaw is None


def test_a_moderation_is_free():
    assert whole(MODERATE, JSON, {"results": [{}]}).usage == Usage(input_tokens=0, output_tokens=0)


PREVIEW = {"type": "image_generation.partial_image", "b64_json": "AA==", "partial_image_index": 0}
DONE = {"type": "image_generation.completed", "b64_json": "AAAA", "usage": {"input_tokens": 3, "output_tokens": 9}}


def test_an_image_stream_ends_with_its_image():
    endpoint = asking("/v1/images/generations", {"prompt": "?", "stream": True})
    steps, reading = read(endpoint, SSE, events(PREVIEW), events(DONE))
    assert steps == [Step.MORE, Step.COMPLETE]
    assert (reading.flaw, reading.traits) == (None, set())
    assert reading.usage == Usage(input_tokens=3, output_tokens=9)
    assert read(endpoint, SSE, events(PREVIEW))[1].flaw == "cut_off"
    assert whole(endpoint, SSE, events({"type": "error", "message": "m"})).flaw == "error"
    assert whole(endpoint, SSE, events({"type": "image_generation.completed"})).traits == {"empty"}


def test_a_stream_of_several_images_ends_with_the_last():
    endpoint = asking("/v1/images/generations", {"prompt": "?", "stream": True, "n": 2})
    steps, reading = read(endpoint, SSE, events(DONE), events(PREVIEW), events(DONE))
    assert steps == [Step.MORE, Step.MORE, Step.COMPLETE]
    assert reading.flaw is None
    assert read(endpoint, SSE, events(DONE))[1].flaw == "cut_off"


@pytest.mark.parametrize("n", [0, -1, "2", None, True, 1.5, [2]])
def test_an_odd_number_of_images_is_one(n):
    endpoint = asking("/v1/images/generations", {"prompt": "?", "stream": True, "n": n})
    assert read(endpoint, SSE, events(DONE))[0] == [Step.COMPLETE]
