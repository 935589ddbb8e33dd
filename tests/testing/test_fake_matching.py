"""Which requests are the same question at the same endpoint."""

import json
from dataclasses import replace

import pytest

from llm_cache.testing import Exchange, Received
from llm_cache.testing.matching import ANY, EXACT, SAME_ENDPOINT, SAME_PATH, Recordings, canonical, nearness

CHAT = "/v1/chat/completions"


def exchange(path=CHAT, body=None, answer=b"{}", name="1"):
    return Exchange(
        id=name,
        provider="acme",
        host="llm.acme.example",
        path=path,
        status=200,
        kind="plain/ok",
        request_headers=(),
        response_headers=(("content-type", "application/json"),),
        request=json.dumps(body or {"model": "m"}).encode(),
        response=answer,
    )


def received(target=CHAT, body=b'{"model":"m"}', method="POST", headers=()):
    path, _, query = target.partition("?")
    return Received(method=method, path=path, query=query, headers=headers, body=body, received_at=0.0)


@pytest.mark.parametrize(
    ("pattern", "target", "expected"),
    [
        (CHAT, CHAT, EXACT),
        ("/v1/messages?beta=true", "/v1/messages?beta=true", EXACT),
        ("/v1/messages?beta=true", "/v1/messages", SAME_PATH),
        ("/model/a%3A0/invoke", "/model/a:0/invoke", SAME_PATH),
        (CHAT, "/chat/completions", SAME_ENDPOINT),
        (CHAT, "/v1/v1/chat/completions", SAME_ENDPOINT),
        ("/openai/v1/chat/completions", CHAT, SAME_ENDPOINT),
        ("/api/paas/v4/chat/completions", CHAT, SAME_ENDPOINT),
        ("/novita/v3/openai/chat/completions", CHAT, SAME_ENDPOINT),
        ("/v1beta/models/m:countTokens", "/v1/models/m:countTokens", SAME_ENDPOINT),
        ("*", "/anything?at=all", ANY),
        ("/v1/*", "/v1/files/7", ANY),
        ("/v1/completions", CHAT, None),
        ("/v1/chat", CHAT, None),
        ("/v1/chat", "/api/chat", None),
        ("/v1/messages", "/v1/messages/count_tokens", None),
        ("/v1/*", "/v2/chat", None),
        ("/openai/deployments/d/chat/completions", CHAT, None),
    ],
)
def test_nearness_of_paths(pattern, target, expected):
    assert nearness(pattern, target) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1, "b": 2}', b'{"b":2,"a":1}'),
        ('{"a":"é"}'.encode(), b'{"a": "\\u00e9"}'),
        (b'{"a":1}', b'{"a":1,"stream":false}'),
        (b'{"a":[{"b":1}]}', b'{"a":[{"b":1.0}]}'),
    ],
)
def test_spellings_of_one_question(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":2}'),
        (b'{"a":1}', b'{"a":true}'),
        (b'{"a":1}', b'{"a":1,"stream":true}'),
        (b'{"a":1}', b'{"a":1,"b":null}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b"not json", b"not json "),
    ],
)
def test_different_questions(one, other):
    assert canonical(one) != canonical(other)


def test_ollama_streams_unless_it_is_told_not_to():
    absent, yes, no = b'{"a":1}', b'{"a":1,"stream":true}', b'{"a":1,"stream":false}'
    for path in ("/api/chat", "/ollama/api/generate?x=1"):
        assert canonical(absent, path) == canonical(yes, path) != canonical(no, path)
    plain, streamed = (
        replace(exchange("/api/chat", name=name), request=body) for name, body in (("plain", no), ("streamed", absent))
    )
    recordings = Recordings([plain, streamed])
    for body, name in ((absent, "streamed"), (yes, "streamed"), (no, "plain")):
        assert recordings.find(received("/api/chat", body)).id == name


def test_the_nearest_path_wins():
    exact, near = exchange("/v1/chat/completions", name="exact"), exchange("/openai/v1/chat/completions", name="near")
    recordings = Recordings([near, exact])
    assert recordings.find(received()) is exact
    assert recordings.find(received("/openai/v1/chat/completions")) is near
    assert recordings.find(received("/v1/embeddings")) is None


def test_a_question_recorded_twice_gets_its_answers_in_turn():
    one, two = exchange(name="one"), exchange(name="two")
    recordings = Recordings([one, two])
    assert [recordings.find(received()).id for _ in range(3)] == ["one", "two", "one"]
    recordings.rewind()
    assert recordings.find(received()) is one


def test_a_miss_names_the_nearest_recording_and_the_differences():
    recordings = Recordings(
        [
            exchange(body={"model": "m", "messages": [{"role": "user", "content": "far"}], "top_p": 1}, name="far"),
            exchange(body={"model": "m", "messages": [{"role": "user", "content": "near"}]}, name="near"),
        ]
    )
    asked = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": 1}).encode()
    told = recordings.explain(received(body=asked))
    assert "acme-plain-ok-near" in told
    assert "body.messages[0].content" in told
    assert "body.seed (only asked)" in told


def test_a_miss_on_an_unknown_path_names_the_known_ones():
    assert CHAT in Recordings([exchange()]).explain(received("/v1/unheard-of"))
    assert "no recordings" in Recordings([]).explain(received())
