"""One tenant tries to get at another's answers: to read, to probe, to overwrite, to join, to purge, to see them listed.

The attacker knows everything of the victim's request but its credentials or its token, and speaks raw HTTP if it helps.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from llm_cache.proxy.app import one_at_a_time
from llm_cache.testing import FakeUpstream, openai_chat, openai_chat_stream

from .running import ASK, STREAM, Running, running

CHAT = "/v1/chat/completions"
SECRET = "only-for-the-victim"


@dataclass
class Scene:
    """A victim whose answer is stored, and somebody who wants it."""

    proxy: Running
    upstream: FakeUpstream
    victim: dict[str, str]
    attacker: dict[str, str]


@pytest.fixture(params=["credential", "token"])
def scene(request: pytest.FixtureRequest, upstream: FakeUpstream, database: str) -> Iterator[Scene]:
    tokens = {"victim": "token-of-the-victim", "attacker": "token-of-the-attacker"}
    more = {"proxy_tokens": tokens} if request.param == "token" else {}
    victim, attacker = {"authorization": "Bearer sk-victim"}, {"authorization": "Bearer sk-attacker"}
    if request.param == "token":
        victim["x-llm-cache-token"], attacker["x-llm-cache-token"] = tokens.values()
    upstream.reply(CHAT, openai_chat(SECRET))
    with running(upstream.url, database_url=database, **more) as proxy:
        for _ in range(3):  # so that it has been answered by the short way as well
            assert SECRET in proxy.ask(headers=victim).text
        assert upstream.count() == 1
        upstream.reply(CHAT, openai_chat("for the attacker"))
        yield Scene(proxy, upstream, victim, attacker)


FORGED = [
    {},
    {"x-llm-cache-scope": "victim"},
    {"x-llm-cache-namespace": "victim"},
    {"x-llm-cache-namespace": "default"},
    {"x-llm-cache-key": "0" * 64},
    {"x-llm-cache-mode": "read-only"},
    {"x-llm-cache-sample": "0"},
    {"cache-control": "max-age=999999"},
    {"connection": "authorization"},
    {"connection": "authorization, x-llm-cache-token"},
    {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"},
    {"x-forwarded-user": "victim", "x-llm-cache-user": "victim"},
    {"proxy-authorization": "Bearer sk-victim"},
    {"cookie": "x-llm-cache-token=token-of-the-victim"},
]


def test_no_header_opens_anothers_answers(scene: Scene) -> None:
    for forged in FORGED:
        for path in (CHAT, "/chat/completions", f"/openai{CHAT}", f"/openai/v1{CHAT}", f"{CHAT}?scope=victim"):
            answer = scene.proxy.ask(path, headers={**scene.attacker, **forged})
            assert SECRET not in answer.text, (forged, path)
    for _ in range(3):  # nor does asking again
        assert SECRET not in scene.proxy.ask(headers=scene.attacker).text


def test_whether_an_answer_is_there_cannot_be_found_out(scene: Scene) -> None:
    only = {**scene.attacker, "cache-control": "only-if-cached"}
    there = scene.proxy.ask(headers=only)
    not_there = scene.proxy.ask(headers=only, json={**ASK, "seed": 1})
    for answer in (there, not_there):
        assert answer.status_code == 504
        assert SECRET not in answer.text
        assert "Say hello" not in answer.text
    assert there.text == not_there.text
    differ = {name for name in there.headers if there.headers[name] != not_there.headers.get(name)}
    assert differ <= {"x-llm-cache-key"}, "which follows from the attacker's own request"
    mine = scene.proxy.ask(headers=scene.victim).headers["x-llm-cache-key"]
    assert there.headers["x-llm-cache-key"] != mine


@pytest.mark.parametrize(
    "how",
    [{"cache-control": "no-cache"}, {"x-llm-cache-mode": "refresh"}, {"x-llm-cache-ttl": "0.001"}, {}],
)
def test_anothers_answer_can_be_neither_overwritten_nor_made_to_expire(how: dict[str, str], scene: Scene) -> None:
    for _ in range(2):
        assert SECRET not in scene.proxy.ask(headers={**scene.attacker, **how}).text
    answer = scene.proxy.ask(headers=scene.victim)
    assert answer.headers["x-llm-cache"] == "hit"
    assert SECRET in answer.text


def test_nobody_joins_anothers_stream(scene: Scene) -> None:
    gate = threading.Event()
    scene.upstream.script(
        CHAT, replace(openai_chat_stream([SECRET, "x"]), gates={1: gate}), openai_chat_stream(["mine"])
    )
    victim = threading.Thread(target=scene.proxy.ask, kwargs={"headers": scene.victim, "json": STREAM})
    before = scene.upstream.count()
    victim.start()
    scene.upstream.wait_for(before + 1)
    answer = scene.proxy.ask(headers=scene.attacker, json=STREAM)
    gate.set()
    victim.join(10)
    assert answer.headers["x-llm-cache"] == "miss"
    assert SECRET not in answer.text


def test_without_credentials_or_with_them_elsewhere_one_is_somebody_else(scene: Scene) -> None:
    token = {name: value for name, value in scene.attacker.items() if name == "x-llm-cache-token"}
    for guess in (
        {"authorization": ""},
        {"authorization": "Bearer  sk-victim"},
        {"authorization": "sk-victim"},
        {"x-api-key": "sk-victim", "authorization": ""},
        {"api-key": "Bearer sk-victim", "authorization": ""},
    ):
        assert SECRET not in scene.proxy.ask(headers={**token, **guess}).text
    assert SECRET not in scene.proxy.ask(f"{CHAT}?key=sk-victim", headers={**token, "authorization": ""}).text


def test_the_pages_show_no_entry_to_a_tenant(scene: Scene) -> None:
    if "x-llm-cache-token" not in scene.attacker:
        pytest.skip("without tokens the pages are for this machine, and for whoever may use it")
    for path in (
        "/dashboard", "/dashboard/", "//dashboard", "/dashboard/api/overview", "/dashboard/api/calls",
        "/dashboard/api/entries", "/dashboard;x", "/dashboard/../dashboard", "/./dashboard", "/%64ashboard",
        "/dashboard%2fapi%2fentries", "/DASHBOARD", "/openai/dashboard", "/~token-of-the-attacker/dashboard/api/calls",
    ):  # fmt: skip
        answer = scene.proxy.get(path, headers=scene.attacker)
        assert answer.status_code >= 400, path
        assert SECRET not in answer.text
    purge = {**scene.attacker, "x-llm-cache-dashboard": "1", "content-type": "application/json"}
    assert scene.proxy.ask("/dashboard/api/purge", headers=purge, json={"all": True}).status_code == 403
    assert scene.proxy.ask(headers=scene.victim).headers["x-llm-cache"] == "hit"
    for path in ("/metrics", "/health", "/readyz"):
        told = scene.proxy.get(path, headers=scene.attacker).text
        assert SECRET not in told
        assert "victim" not in told
        assert "gpt-4o-mini" not in told


def test_a_page_of_another_origin_or_a_rebound_name_gets_nothing(scene: Scene) -> None:
    foreign = {**scene.victim, "origin": "http://evil.example"}
    for headers in (foreign, {**scene.victim, "origin": "null"}, {**foreign, "host": "other.example"}):
        answer = scene.proxy.ask(headers=headers)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    preflight = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    assert not [name for name in scene.proxy.get(CHAT, headers=preflight).headers if "access-control" in name]
    if "x-llm-cache-token" not in scene.victim:
        for host in (
            "evil.example",
            "evil.example:80",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "LOCALHOST@x",
        ):
            assert scene.proxy.ask(headers={**scene.victim, "host": host}).status_code == 403


def test_two_requests_that_share_a_connection_share_nothing_else(scene: Scene) -> None:
    """Behind a load balancer that keeps connections, callers follow each other on one."""
    body = json.dumps(ASK).encode()

    def request(who: dict[str, str]) -> bytes:
        fields = "".join(f"{name}: {value}\r\n" for name, value in who.items())
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    both = request(scene.victim), request(scene.attacker)
    for order in (both, both[::-1], both * 2):
        with socket.create_connection(("127.0.0.1", scene.proxy.port), timeout=10) as line:
            got = []
            for each in order:
                line.sendall(each)
                raw = b""
                while not raw.endswith(b"}"):
                    raw += line.recv(65536)
                got.append(SECRET.encode() in raw)
        assert got == [each is both[0] for each in order]


def test_the_librarys_own_answers_are_nobodys_at_the_proxy(scene: Scene) -> None:
    import httpx

    from llm_cache import LLMCache, wrap

    scene.upstream.reply(CHAT, openai_chat("from the library"))
    ask = {**ASK, "seed": 77}
    with LLMCache(database_url=scene.proxy.settings.database_url) as cache, httpx.Client(trust_env=False) as client:
        with wrap(client, cache=cache):
            client.post(scene.upstream.url + CHAT, json=ask, headers={"authorization": "Bearer sk-attacker"})
    scene.upstream.reply(CHAT, openai_chat("fetched anew"))
    assert "fetched anew" in scene.proxy.ask(headers=scene.attacker, json=ask).text


def test_whoever_asks_for_explanations_keeps_nobody_waiting() -> None:
    """Each reads thousands of rows on a thread that others need: while one is made, no second one is begun."""
    began, go_on = threading.Event(), threading.Event()

    def explain(_: object) -> str:
        began.set()
        assert go_on.wait(10)
        return "because"

    limited = one_at_a_time(explain)
    found: list[str] = []
    first = threading.Thread(target=lambda: found.append(limited(None)))
    first.start()
    assert began.wait(10)
    assert limited(None) == ""
    go_on.set()
    first.join(10)
    assert found == ["because"]
    assert limited(None) == "because"
