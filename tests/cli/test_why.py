"""`llm-cache why`: the nearest stored request and what differs, for people and for programs."""

from __future__ import annotations

import json
import os

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.testing import openai_chat
from tests.cli.conftest import call

UUIDS = "8f14e45f-ceea-467f-9575-6a1b4e3c2d1f", "c9f0f895-fb98-4b91-a4d0-9d6f2c6a0b11"
PATH = "/v1/chat/completions"


def body(prompt="Name a city.", **more) -> dict:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}], **more}


@pytest.fixture
def stored(upstream) -> list[str]:
    """The default cache with three calls over HTTP in it; their keys, oldest first."""
    upstream.reply(PATH, lambda _: openai_chat("Paris"))
    keys = []
    with LLMCache() as cache, httpx.Client(trust_env=False) as client, wrap(client, cache):
        for asked in (body(seed=1), body(seed=1, temperature=0.5), body("Tell a story of the sea. " * 20, seed=1)):
            reply = client.post(upstream.url + PATH, json=asked, headers={"authorization": "Bearer sk-secret"})
            keys.append(reply.extensions["llm_cache"].key)
    return keys


@pytest.fixture
def ask(tmp_path):
    """Writes a request into a file."""

    def write(value: object) -> str:
        file = tmp_path / "request.json"
        file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(file)

    return write


def test_why_a_key_names_the_nearest_other_entry(run, stored):
    lines = run("why", stored[0][:12]).out.splitlines()
    assert lines[0] == f"the nearest stored request is {stored[1][:12]}…, which differs in:"
    assert lines[1] == "  body.temperature: absent here, 0.5 there"
    assert lines[2] == ""
    assert lines[3] == f"nearest    {stored[1]}"
    assert lines[-1] == "looked at  2 entries"


def test_why_a_key_for_programs(run, stored):
    told = json.loads(run("why", stored[1], "--json").out)
    assert told["key"] == stored[1]
    assert told["nearest"]["key"] == stored[0]
    assert list(told["nearest"]) == [
        "key",
        "provider",
        "model",
        "endpoint",
        "namespace",
        "created_at",
        "expires_at",
    ]
    assert told["same"] is False
    assert told["differences"] == [{"path": "body.temperature", "here": 0.5, "looks_like": None}]
    assert (told["ignore_fields"], told["advice"], told["searched"]) == ([], [], 2)


def test_why_a_request_with_the_rule_that_would_have_made_it_a_hit(run, stored, ask):
    done = run("why", "--request", ask(body(seed=2)))
    assert done.out.splitlines()[:3] == [
        f"the nearest stored request is {stored[0][:12]}…, which differs in:",
        "  body.seed: 2 here, 1 there (a seed)",
        'it looks generated; to leave it out of the key: ignore_fields = "seed"',
    ]
    told = json.loads(run("why", "--request", ask(body(seed=2)), "--json").out)
    assert told["key"] is None
    assert told["ignore_fields"] == ["seed"]
    assert told["differences"] == [{"path": "body.seed", "here": 2, "there": 1, "looks_like": "a seed"}]


def test_a_request_that_is_stored_is_told_as_the_same(run, stored, ask):
    # In other words: order, spaces, `stream: false`, a field that is left out.
    file = ask(json.dumps({"stream": False, "user": "me", **dict(reversed(body(seed=1).items()))}, indent=4))
    done = run("why", "--request", file)
    assert done.out.startswith(f"the very same request is stored as {stored[0][:12]}…; its answer has not expired\n")
    assert json.loads(run("why", "--request", file, "--json").out)["same"] is True


def test_a_request_may_come_from_standard_input_with_provider_and_endpoint(run, stored):
    asked = {"provider": "openai", "endpoint": "chat/completions", "body": body(seed=3)}
    done = run("why", "--request", "-", stdin=json.dumps(asked))
    assert "  body.seed: 3 here, 1 there (a seed)" in done.out
    asked["endpoint"] = "/v1/embeddings"
    done = run("why", "--request", "-", stdin=json.dumps(asked), status=1)
    assert done.out == ""
    assert done.err == "llm-cache: there is no request in the cache that it could be compared with\n"


def test_another_provider_is_told(run, stored, ask):
    with LLMCache() as cache:
        row = next(cache.engine.store.scan())
    asked = {"provider": "groq", "endpoint": row.endpoint, "body": body(seed=1)}
    assert '  upstream: "groq" here, "127.0.0.1:' in run("why", "--request", ask(asked)).out


def test_a_body_may_have_a_member_that_is_called_body(run, stored, ask):
    told = json.loads(run("why", "--request", ask(body(body="x", seed=1)), "--json").out)
    assert [difference["path"] for difference in told["differences"]] == ["body.body"]


def test_values_under_keys_of_their_own_are_compared_by_their_description(run, file, ask):
    with LLMCache() as cache:
        call(cache, "one", prompt="Name a city.")
        call(cache, "two", prompt="Name a river.")
    assert '  body.request.messages[0].content: "Name a city." here, "Name a river." there' in run("why", "one").out
    assert 'content: "Name a lake." here' in run("why", "--request", ask(body("Name a lake."))).out


def test_numbers_are_shown_as_they_are(run, upstream, ask):
    upstream.reply(PATH, lambda _: openai_chat("Paris"))
    with LLMCache() as cache, httpx.Client(trust_env=False) as client, wrap(client, cache):
        text = json.dumps(body())[:-1] + ',"x":0.1,"y":1e400,"z":9007199254740993}'
        client.post(upstream.url + PATH, content=text, headers={"content-type": "application/json"})
    file = ask(json.dumps(body())[:-1] + ',"x":0.10000000000000001,"y":2E400,"z":9007199254740992}')
    for asked in (file, ask('{"body":' + json.dumps(body())[:-1] + ',"x":0.10000000000000001,"y":2E400,"z":1}}')):
        out = run("why", "--request", asked).out
        assert "  body.x: 0.10000000000000001 here, 0.1 there\n  body.y: 2e400 here, 1e400 there\n" in out
    told = json.loads(run("why", "--request", file, "--json").out)["differences"]
    assert told[0] == {"path": "body.x", "here": "0.10000000000000001", "there": 0.1, "looks_like": None}
    assert told[1]["here"] == "2e400"


def test_nothing_secret_and_nothing_that_moves_a_cursor_is_printed(run, stored, ask):
    out = run("why", "--request", ask(body("Name a \x9b2J\u202e city.", seed=1))).out
    assert "sk-secret" not in out
    assert out.replace("\n", "").isprintable()
    assert run("why", "--request", ask(body("\x9b", seed=1)), "--json").out.replace("\n", "").isprintable()


def test_an_entry_alone_and_a_key_that_is_not_there_exit_1(run, file):
    with LLMCache() as cache:
        call(cache, "one")
    done = run("why", "one", status=1)
    assert done.err == "llm-cache: there is no other request in the cache that it could be compared with\n"
    assert run("why", "one", "--json", status=1).out.startswith("{")
    assert run("why", "0123", status=1).err == "llm-cache: there is no entry 0123\n"


def test_where_there_is_no_cache_yet_there_is_nothing_to_compare_with(run, ask, file):
    assert "There is no cache in" in run("why", "ab", status=1).err
    done = run("why", "--request", ask(body()), status=1)
    assert "there is no request in the cache" in done.err
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "nonsense",
        "[]",
        '"x"',
        "1",
        "\xff",
        '{"body": 1}',
        '{"body": {}, "provider": 1}',
        '{"body": {}, "endpoint": []}',
    ],
)
def test_a_file_that_holds_no_request_is_wrong_usage(run, tmp_path, content):
    file = tmp_path / "request.json"
    file.write_bytes(content.encode("latin-1"))
    assert str(file) in run("why", "--request", str(file), status=2).err


@pytest.mark.parametrize(
    "arguments", [(), ("ab", "--request", os.devnull), ("--request", "/nowhere/at/all"), ("a", "b")]
)
def test_wrong_usage_exits_2(run, arguments):
    assert "--help says more" in run("why", *arguments, status=2).err
