"""What other caches have kept: found by the same calls where they kept the call, and never by executing anything."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import time

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.errors import FormatError
from llm_cache.transfer import foreign
from llm_cache.transfer.importing import import_entries
from llm_cache.transfer.litellm import plain
from llm_cache.transfer.vcr import Skipped
from tests.transfer.conftest import REPLY

ASK = {"messages": [{"content": "hi", "role": "user"}], "model": "gpt-4o", "temperature": 0.0}
ANSWER = REPLY.decode()
URL = "https://api.openai.com/v1/chat/completions"


class Refusing(httpx.BaseTransport):
    def handle_request(self, request):
        raise AssertionError("the network was asked")


def asked(cache, body=ASK, url=URL):
    with httpx.Client(transport=Refusing()) as client, wrap(client, cache):
        return client.post(url, json=body).content


def bring(cache, path, kind=None):
    skipped = {}
    found = kind or foreign.kind_of(str(path))
    done = import_entries(cache.engine, foreign.entries(cache.engine, found, str(path), skipped))
    return done, skipped


# VCR.py


def interaction(body=ASK, reply=ANSWER, url=URL, code=200, **headers):
    return {
        "request": {
            "method": "POST",
            "uri": url,
            "body": json.dumps(body),
            "headers": {"Authorization": ["Bearer sk-secret"], "Content-Type": ["application/json"]},
        },
        "response": {
            "status": {"code": code, "message": "OK"},
            "headers": {"Content-Type": ["application/json"], "Set-Cookie": ["a=b"], **headers},
            "body": {"string": reply},
        },
    }


def cassette(tmp_path, *interactions, name="cassette.json"):
    path = tmp_path / name
    text = {"version": 1, "interactions": list(interactions)}
    if name.endswith("json"):
        path.write_text(json.dumps(text))
    else:
        yaml = pytest.importorskip("yaml")
        path.write_text(yaml.dump({"interactions": text["interactions"], "version": 1}))
    return path


@pytest.mark.parametrize("name", ["cassette.json", "cassette.yaml"])
def test_a_call_of_a_cassette_is_a_hit(cache, tmp_path, name):
    done, skipped = bring(cache, cassette(tmp_path, interaction(), name=name))
    assert (done.added, skipped) == (1, {})
    assert asked(cache) == REPLY
    (entry,) = cache.entries()
    assert (entry.provider, entry.model, entry.text, entry.input_tokens) == ("openai", "gpt-4o", "hello", 3)
    assert entry.head.headers == (("content-type", "application/json"),)
    assert entry.asked.header("authorization") is None
    assert b"sk-secret" not in cache.engine.store.get(bytes.fromhex(entry.key)).value


def test_a_packed_body_and_a_date(cache, tmp_path):
    import base64
    import gzip

    one = interaction(**{"Content-Encoding": ["gzip"], "Date": ["Thu, 01 Jan 2026 12:00:00 GMT"]})
    one["response"]["body"] = {"base64": base64.b64encode(gzip.compress(REPLY)).decode()}
    bring(cache, cassette(tmp_path, one))
    assert asked(cache) == REPLY
    (entry,) = cache.entries()
    assert entry.created_at == 1_767_268_800.0
    assert entry.expires_at > time.time() + 86_400 * 29


def test_what_is_no_kept_answer_is_passed_over_with_its_reason(cache, tmp_path):
    others = [
        interaction(code=429),
        interaction(url="https://example.com/favicon.ico"),
        interaction(reply='{"error": {"message": "no"}}'),
        {"request": {}},
        7,
    ]
    done, skipped = bring(cache, cassette(tmp_path, *others, interaction()))
    assert (done.added, sum(skipped.values())) == (1, 5)
    assert "its status is 429" in skipped
    assert "not a call of a model that can be cached" in skipped


@pytest.mark.parametrize("text", ["interactions: !!python/object/apply:os.system ['touch owned']", "interactions: ["])
def test_yaml_makes_no_objects(cache, tmp_path, text, monkeypatch):
    pytest.importorskip("yaml")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cassette.yaml"
    path.write_text(text)
    with pytest.raises(FormatError, match="no YAML"):
        bring(cache, path)
    assert not (tmp_path / "owned").exists()


# LangChain


def constructor(name, **kwargs):
    return {"lc": 1, "type": "constructor", "id": ["langchain", "x", name], "kwargs": kwargs}


def langchain(tmp_path, options=None, call="[('stop', None)]", prompt=None, answer=None):
    path = tmp_path / ".langchain.db"
    client = constructor("ChatOpenAI", model_name="gpt-4o", temperature=0.0, openai_api_key={"lc": 1, "type": "secret"})
    client["kwargs"] |= options or {}
    prompt = prompt or [constructor("HumanMessage", content="hi", type="human")]
    told = {
        "token_usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "model_name": "gpt-4o-2024-08-06",
        "finish_reason": "stop",
    }
    answer = answer or constructor(
        "AIMessage", content="hello", response_metadata=told, additional_kwargs={"refusal": None}, tool_calls=[]
    )
    response = constructor("ChatGeneration", text="hello", message=answer)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS full_llm_cache (prompt, llm, idx INTEGER, response)")
        row = (json.dumps(prompt), f"{json.dumps(client)}---{call}", json.dumps(response))
        connection.execute("INSERT INTO full_llm_cache VALUES (?, ?, 0, ?)", row)
    connection.close()
    return path


def test_a_call_that_langchain_has_cached_is_a_hit(cache, tmp_path):
    done, skipped = bring(cache, langchain(tmp_path))
    assert (done.added, skipped) == (1, {})
    reply = json.loads(asked(cache))
    assert reply["choices"][0]["message"]["content"] == "hello"
    assert (reply["model"], reply["usage"]["prompt_tokens"]) == ("gpt-4o-2024-08-06", 3)


@pytest.mark.parametrize(
    "more",
    [
        {"options": {"max_tokens": 5}},
        {"options": {"base_url": "http://localhost"}},
        {"options": {"streaming": True}},
        {"call": "[('stop', None), ('tools', [{}])]"},
        {"prompt": [constructor("ToolMessage", content="x")]},
        {"prompt": [constructor("HumanMessage", content=[{"type": "image_url"}])]},
        {"answer": constructor("AIMessage", content="", tool_calls=[{"name": "f"}])},
        {"answer": {"no": "message"}},
    ],
)
def test_what_is_not_understood_to_the_last_field_is_passed_over(cache, tmp_path, more):
    done, skipped = bring(cache, langchain(tmp_path, **more))
    assert (done.added, sum(skipped.values())) == (0, 1)


# LiteLLM


def litellm(tmp_path, *values):
    folder = tmp_path / "disk"
    folder.mkdir()
    with sqlite3.connect(folder / "cache.db") as connection:
        connection.execute(
            "CREATE TABLE Cache (rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL, mode INTEGER,"
            " filename TEXT, value BLOB)"
        )
        for number, (mode, filename, value) in enumerate(values):
            connection.execute(
                "INSERT INTO Cache (key, raw, store_time, mode, filename, value) VALUES (?, 1, 1767268800.0, ?, ?, ?)",
                (f"key{number}", mode, filename, value),
            )
    connection.close()
    return folder


def test_what_litellm_has_cached_is_found_under_its_key(cache, tmp_path):
    told = {"timestamp": 1767268800.5, "response": REPLY.decode()}
    large = told | {"padding": "x" * 40_000}
    folder = litellm(
        tmp_path,
        (4, None, pickle.dumps(told)),
        (1, None, json.dumps(told)),
        (4, "ab/cd/0123456789abcdef.val", None),
    )
    (folder / "ab" / "cd").mkdir(parents=True)
    (folder / "ab" / "cd" / "0123456789abcdef.val").write_bytes(pickle.dumps(large))
    done, skipped = bring(cache, folder)
    assert (done.added, skipped) == (3, {})
    for number in range(3):
        value = cache.get_or_set(f"key{number}", Refusing, "litellm", "gpt-4o", "/v1/chat/completions", {})
        assert value == json.loads(REPLY)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def test_no_object_is_made_of_a_pickle(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outside = tmp_path / "secret.val"
    outside.write_bytes(pickle.dumps({"response": REPLY.decode()}))
    folder = litellm(
        tmp_path,
        (4, None, pickle.dumps(Evil())),
        (4, None, pickle.dumps({"response": Evil()})),
        (4, None, b"\x80\x04"),
        (4, "../secret.val", None),
        (2, None, b"\xff"),
        (1, None, "not json"),
    )
    done, skipped = bring(cache, folder)
    assert (done.added, sum(skipped.values())) == (0, 6)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles_are_read_or_refused_but_never_wrong(protocol):
    value = {"a": "é" * 300, "b": [1, 2.5, None, True, "a", "a"], "c": {"d": 70_000, "e": -1}, "f": 200, "g": []}
    try:
        assert plain(pickle.dumps(value, protocol)) == value
    except Skipped:
        assert protocol < 4


@pytest.mark.parametrize(
    "data", [b"", b".", b"u.", b"}u.", b"h\x05.", b"\x8c\xff", b"(((s.", b"G\0.", b"}(\x8c\x01au."]
)
def test_damaged_pickles_are_refused(data):
    with pytest.raises(Skipped):
        plain(data)


# All


def test_kinds_are_told_by_contents(tmp_path, cache):
    assert foreign.kind_of(str(tmp_path)) == "litellm"
    assert foreign.kind_of(str(langchain(tmp_path))) == "langchain"
    assert foreign.kind_of(str(cassette(tmp_path))) == "vcr"
    (tmp_path / "dump").write_bytes(b'{"key": 1}\n')
    assert foreign.kind_of(str(tmp_path / "dump")) == "llm-cache"
    assert foreign.kind_of("-") == "llm-cache"


@pytest.mark.parametrize("kind", ["litellm", "langchain", "vcr"])
def test_what_is_none_of_theirs_is_refused(cache, tmp_path, kind):
    path = tmp_path / "some"
    if kind == "litellm":
        path.mkdir()
        (path / "cache.db").write_bytes(b"SQLite format 3\0" + b"\0" * 200)
    else:
        path.write_bytes(b"SQLite format 3\0" + b"\0" * 200)
    with pytest.raises(FormatError):
        bring(cache, path, kind)


def test_theirs_are_imported_by_the_command(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from llm_cache.cli.import_command import command

    path = cassette(tmp_path, interaction(), interaction(code=500))
    done = CliRunner().invoke(command, [str(path)])
    assert "1 entry imported, 1 passed over." in done.output
    assert "1 passed over: its status is 500" in done.output
    with LLMCache() as cache:
        assert asked(cache) == REPLY
