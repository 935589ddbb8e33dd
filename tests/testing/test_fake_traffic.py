"""Recorded traffic: every exchange is served byte for byte, however it is cut."""

import json

import httpx
import pytest

from llm_cache.testing import FakeUpstream, load_traffic, traffic_folder
from llm_cache.testing.noise import COOKIE

try:
    import httpx2
except ImportError:
    httpx2 = None

HAVE_TRAFFIC = traffic_folder() is not None
needs_traffic = pytest.mark.skipif(not HAVE_TRAFFIC, reason="no recorded traffic: LLMCACHE_TEST_TRAFFIC names none")
EXCHANGES = (
    [pytest.param(exchange, id=exchange.name) for exchange in load_traffic()]
    if HAVE_TRAFFIC
    else [pytest.param(None, marks=needs_traffic)]
)
CLIENTS = [
    httpx,
    pytest.param(httpx2, marks=pytest.mark.skipif(httpx2 is None, reason="httpx2 needs Python 3.11"), id="httpx2"),
]


@pytest.fixture(scope="module")
def player():
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module", params=CLIENTS)
def client(request):
    with request.param.Client() as client:
        yield client


def ask(client, upstream, exchange):
    return client.post(upstream.url + exchange.path, content=exchange.request, headers=exchange.request_headers)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_exchange_is_served_byte_for_byte(exchange, player, client):
    player.reset()
    player.play(exchange)
    answers = [ask(client, player, exchange) for _ in range(3)]
    assert {answer.content for answer in answers} == {exchange.response}
    assert {answer.status_code for answer in answers} == {exchange.status}
    recorded = dict(exchange.response_headers)
    assert recorded == {name: answers[0].headers.get(name) for name in recorded}
    assert player.requests[0].body == exchange.request
    assert player.requests[0].target == exchange.path


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_exchange_is_found_by_its_question(exchange, client):
    with FakeUpstream.from_traffic(select=lambda other: other.id == exchange.id, seed=7) as upstream:
        answer = ask(client, upstream, exchange)
    assert answer.content == exchange.response
    assert answer.status_code == exchange.status


@needs_traffic
@pytest.mark.parametrize("split", ["random", "events", "whole"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_whole_corpus_with_every_split(split, seed):
    """A question that was recorded several times gets its answers in the order of recording."""
    with FakeUpstream.from_traffic(split=split, seed=seed) as upstream, httpx.Client() as client:
        for exchange in load_traffic():
            assert ask(client, upstream, exchange).content == exchange.response, exchange.name
        assert upstream.in_flight == upstream.aborted == 0


@needs_traffic
def test_byte_by_byte():
    small = [exchange for exchange in load_traffic() if len(exchange.response) < 1000]
    with FakeUpstream.from_traffic(split="bytes") as upstream, httpx.Client() as client:
        for exchange in small:
            upstream.play(exchange)
            assert ask(client, upstream, exchange).content == exchange.response


@needs_traffic
def test_cuts_differ_from_request_to_request_and_not_from_run_to_run():
    exchange = next(exchange for exchange in load_traffic() if exchange.stream)

    def cuts(seed):
        seen = []
        with FakeUpstream(seed=seed) as upstream, httpx.Client() as client:
            upstream.play(exchange)
            for _ in range(3):
                with client.stream("POST", upstream.url + exchange.path, content=exchange.request) as answer:
                    seen.append([len(piece) for piece in answer.iter_raw()])
        return seen

    first = cuts(1)
    assert first == cuts(1)
    assert first != cuts(2)
    assert first[0] != first[1]


@needs_traffic
def test_the_question_may_be_spelled_otherwise_and_lack_its_version():
    exchange = next(e for e in load_traffic() if e.path == "/v1/chat/completions" and e.ok and not e.stream)
    body = {**exchange.request_json(), "stream": False}
    with FakeUpstream.from_traffic(select=lambda e: e.id == exchange.id) as upstream:
        answer = httpx.post(upstream.url + "/chat/completions", content=json.dumps(body, indent=1, sort_keys=True))
    assert answer.content == exchange.response


@needs_traffic
def test_an_unknown_question_is_a_404_that_names_the_nearest():
    with FakeUpstream.from_traffic() as upstream:
        openai = httpx.post(upstream.url + "/v1/chat/completions", json={"model": "unheard-of"})
        anthropic = httpx.post(upstream.url + "/v1/messages", json={}, headers={"anthropic-version": "2023-06-01"})
        google = httpx.post(upstream.url + "/v1beta/models/x:generateContent", json={})
        cohere = httpx.post(upstream.url + "/v2/chat", json={})
        ollama = httpx.post(upstream.url + "/api/chat", json={})
        bedrock = httpx.post(upstream.url + "/model/x%3A0/converse", json={})
    assert {openai.status_code, anthropic.status_code, google.status_code, cohere.status_code} == {404}
    assert "nearest" in openai.json()["error"]["message"]
    assert openai.json()["error"]["code"] == "not_recorded"
    assert anthropic.json()["error"]["type"] == "not_found_error"
    assert google.json()["error"]["status"] == "NOT_FOUND"
    assert "nearest" in cohere.json()["message"]
    assert "nearest" in ollama.json()["error"]
    assert "recorded for" in bedrock.json()["message"]


@needs_traffic
def test_answers_carry_what_must_not_be_kept():
    exchange = next(e for e in load_traffic() if e.provider == "openai" and e.ok)
    with FakeUpstream() as upstream:
        upstream.play(exchange)
        headers = httpx.post(upstream.url + exchange.path).headers
    assert COOKIE in headers["set-cookie"]
    assert headers["x-ratelimit-remaining-requests"]
    assert headers["x-request-id"]


def test_a_folder_without_traffic_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "absent")):
        load_traffic(tmp_path / "absent")


def test_a_line_that_is_no_exchange_is_named(tmp_path):
    (tmp_path / "broken.jsonl").write_text('\n{"id": "1"}\n')
    with pytest.raises(ValueError, match=r"broken\.jsonl:2"):
        load_traffic(tmp_path)


def test_the_variable_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMCACHE_TEST_TRAFFIC", str(tmp_path))
    assert traffic_folder() == tmp_path
    assert load_traffic() == ()
    monkeypatch.setenv("LLMCACHE_TEST_TRAFFIC", str(tmp_path / "absent"))
    assert traffic_folder() is None
