"""Every field of the public schemas changes the key, or is on the documented list of what is left out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from llm_cache.core.model import Request
from llm_cache.testing.traffic import traffic_folder
from tests.key.requests import key_of
from tests.key.test_specification import cells

VARIABLE = "LLMCACHE_TEST_SCHEMAS"


def schemas_folder() -> Path | None:
    """What the variable names, or else the folder beside that of the recorded traffic."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    traffic = traffic_folder()
    beside = None if traffic is None else traffic.parent / "schemas"
    return beside if beside is not None and beside.is_dir() else None


FOLDER = schemas_folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason=f"there are no schemas of request fields here ({VARIABLE})")
LEFT_OUT = {name.strip() for line in cells("## What of the body counts")[1:5] for name in line[0].split(",")}
"""As the page has it, without the default of `stream`, which is checked by its values."""
MARK = "cache_control"
_SHAPES = {
    "/v1/chat/completions": {"model": "m", "messages": []},
    "/v1/completions": {"model": "m", "prompt": "?"},
    "/v1/embeddings": {"model": "m", "input": "?"},
    "/v1/images/generations": {"model": "m", "prompt": "?"},
    "/v1/moderations": {"model": "m", "input": "?"},
    "/v1/responses": {"model": "m", "input": "?"},
    "/v1/messages": {"model": "m", "messages": [], "max_tokens": 1},
    "/v1/chat": {"model": "m", "message": "?"},
    "/v2/chat": {"model": "m", "messages": []},
    "/v2/embed": {"model": "m", "texts": []},
    "/v2/rerank": {"model": "m", "query": "?", "documents": []},
    "/v1/audio/speech": {"model": "m", "input": "?", "voice": "v"},
}
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"


def schema(name: str) -> Any:
    assert FOLDER is not None
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def key(url: str, body: dict) -> str:
    return key_of(Request("POST", url, (), json.dumps(body).encode()))


def complaints(url: str, endpoint: str, field: str, values: list) -> list[str]:
    """What is wrong with the keys of a body without the field and with each of its values."""
    base = {name: value for name, value in _SHAPES[endpoint].items() if name != field}
    bodies = [base, *({**base, field: value} for value in values)]
    keys = [key(url, body) for body in bodies]
    if field in LEFT_OUT and (field != MARK or endpoint == "/v1/messages"):
        expected = 1
    elif field == "stream":
        # False equals absence: two keys for three bodies.
        expected = len(bodies) - (False in values)
    else:
        expected = len(bodies)
    return [] if len(set(keys)) == expected else [f"{endpoint} {field}: {len(set(keys))} keys, not {expected}"]


def test_each_field_of_openais_schema_changes_the_key_or_is_left_out():
    found, counts = [], {"endpoints": 0, "fields": 0, "left out": 0}
    for endpoint, fields in schema("openai.json")["endpoints"].items():
        assert endpoint in _SHAPES, f"{endpoint} is in the schemas and not in this test"
        counts["endpoints"] += 1
        for field, values in fields.items():
            assert values[0] != values[1]
            counts["fields"] += 1
            counts["left out"] += field in LEFT_OUT
            found += complaints(f"https://api.openai.com{endpoint}", endpoint, field, values)
    print(f"\nOpenAI's schema: {counts}, skipped: 0")
    assert counts["fields"] >= 100
    assert found == []


MADE_UP = [{"k": "v"}, {"k": "w"}], ["alpha", "beta"], [1, 2], [[], ["x"]], [True, False], [None, ""]


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def googles(field: str, values: list) -> list[str]:
    """As `complaints`, of a field of Gemini's configuration: the SDK writes some at the top level and most below."""
    found = []
    for name in {field, camel(field)}:
        for place in ("generationConfig", None):
            config = [{}, *({name: value} for value in values)]
            bodies = [{"contents": [], **({place: each} if place else each)} for each in config]
            size = len({key(GOOGLE, body) for body in bodies})
            found += [] if size == len(bodies) else [f"google {place} {name}: {size} keys"]
    return found


def test_each_field_of_the_other_schemas_changes_the_key_or_is_left_out():
    found, counts = [], {"endpoints": 0, "fields": 0, "left out": 0}
    for name, fields in schema("others.json")["fields"].items():
        vendor, _, endpoint = name.partition(" ")
        counts["endpoints"] += 1
        for field in fields:
            counts["fields"] += 1
            for values in MADE_UP:
                if name == "google generationConfig":
                    found += googles(field, values)
                    continue
                assert endpoint in _SHAPES, f"{name} is in the schemas and not in this test"
                found += complaints(f"https://api.{vendor}.com{endpoint}", endpoint, field, values)
            counts["left out"] += field in LEFT_OUT and vendor != "google"
    print(f"\nother schemas: {counts}, skipped: 0")
    assert counts["fields"] >= 121
    assert found == []


def test_a_field_that_nobody_has_heard_of_changes_the_key():
    for endpoint in _SHAPES:
        for values in MADE_UP:
            assert complaints(f"https://h{endpoint}", endpoint, "frobnicate", values) == []
