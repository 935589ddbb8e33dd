"""An answer is served only to who presents the credentials that fetched it."""

from __future__ import annotations

import itertools

import pytest

from llm_cache.proxy.incoming import Incoming
from llm_cache.proxy.scope import Scopes
from llm_cache.testing import FakeUpstream, openai_chat, openai_chat_stream

from .running import STREAM, Running, running

CHAT = "/v1/chat/completions"
CALLERS = [
    ({}, ""),
    ({"authorization": "Bearer a"}, ""),
    ({"authorization": "Bearer b"}, ""),
    ({"x-api-key": "a"}, ""),
    ({"api-key": "a"}, ""),
    ({"x-goog-api-key": "a"}, ""),
    ({"cookie": "a=b"}, ""),
    ({"authorization": "Bearer a", "x-api-key": "a"}, ""),
    ({"ocp-apim-subscription-key": "a"}, ""),
    ({"x-auth-token": "a"}, ""),
    ({"cf-access-client-secret": "a"}, ""),
    ({}, "key=a"),
    ({}, "key=b"),
    ({}, "k%65y=c"),
    ({}, "api_key=a"),
    ({}, "access_token=a"),
]


def incoming(headers: dict[str, str], query: str = "", method: str = "POST") -> Incoming:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Incoming({"method": method, "raw_path": b"/", "query_string": query.encode(), "headers": raw})


async def scopes(secret: bytes = b"s" * 32, *, shared: bool = False) -> Scopes:
    made = Scopes(lambda: secret, shared=shared)
    await made.prepare()
    return made


async def test_every_set_of_credentials_is_a_scope_of_its_own() -> None:
    made = await scopes()
    found = [made.of(incoming(headers, query)) for headers, query in CALLERS]
    assert len(set(found)) == len(found)
    assert all(len(scope) == 64 for scope in found)


async def test_what_says_nothing_of_the_caller_does_not_count() -> None:
    made = await scopes()
    plain = made.of(incoming({"authorization": "Bearer a"}))
    for name in ("user-agent", "x-stainless-retry-count", "traceparent", "idempotency-key", "x-llm-cache-token"):
        assert made.of(incoming({"authorization": "Bearer a", name: "x"})) == plain
    assert made.of(incoming({"authorization": "Bearer a"}, "api-version=1")) == plain


async def test_cookies_of_load_balancers_say_nothing_of_the_caller() -> None:
    made = await scopes()
    key = {"authorization": "Bearer a"}
    plain = made.of(incoming(key))
    for cookie in ("__cf_bm=1", "_cfuvid=2; __cf_bm=1", "AWSALB=x; AWSALBCORS=x;", " ARRAffinity=1 ;"):
        assert made.of(incoming({**key, "cookie": cookie})) == plain
    mine = made.of(incoming({**key, "cookie": "session=me"}))
    assert mine != plain
    assert made.of(incoming({**key, "cookie": "__cf_bm=1; session=me"})) == mine
    assert made.of(incoming({**key, "cookie": "session=you; __cf_bm=1"})) != mine
    assert made.of(incoming({**key, "cookie": "x__cf_bm=1"})) != plain


async def test_what_does_not_go_on_does_not_count() -> None:
    made = await scopes()
    sent = incoming({"x-api-key": "mine", "connection": "close, X-Api-Key"})
    assert sent.headers == ()
    assert made.of(sent) == made.of(incoming({}))


async def test_lists_of_credentials_cannot_be_made_to_look_alike() -> None:
    made = await scopes()
    alike = [{"x-api-key": "a;1:b"}, {"x-api-key": "a", "b-key": ""}, {"x-api-keya": ""}, {"x-api-key": "a"}]
    found = {made.of(incoming(headers)) for headers in alike}
    assert len(found) == len(alike)


async def test_a_scope_depends_on_the_stores_secret() -> None:
    asked = incoming({"authorization": "Bearer a"})
    assert (await scopes(b"1" * 32)).of(asked) != (await scopes(b"2" * 32)).of(asked)
    assert (await scopes(b"1" * 32)).of(asked) == (await scopes(b"1" * 32)).of(asked)
    assert (await scopes()).of(asked) != "a" * 64


async def test_shared_is_the_librarys_scope() -> None:
    assert (await scopes(shared=True)).of(incoming({"authorization": "Bearer a"})) == ""


async def test_a_store_without_a_secret_still_keeps_callers_apart() -> None:
    def fail() -> bytes:
        raise OSError("no store")

    made = Scopes(fail, shared=False)
    await made.prepare()
    assert not made.ready
    assert made.of(incoming({"authorization": "Bearer a"})) != made.of(incoming({"authorization": "Bearer b"}))
    assert made.of(incoming({"authorization": "Bearer a"})) == made.of(incoming({"authorization": "Bearer a"}))
    assert made.of(incoming({})) != Scopes(fail, shared=False).of(incoming({}))


@pytest.mark.parametrize(("mine", "theirs"), list(itertools.permutations(CALLERS[:6:2] + CALLERS[11:13], 2)))
def test_nobody_is_served_what_another_fetched(
    mine: tuple[dict[str, str], str], theirs: tuple[dict[str, str], str], upstream: FakeUpstream, proxy: Running
) -> None:
    upstream.script(CHAT, openai_chat("for one"), openai_chat("for the other"))
    asked = []
    for headers, query in (mine, theirs):
        given = {"authorization": "", **headers} if "authorization" not in headers else headers
        path = f"{CHAT}?{query}" if query else CHAT
        asked.append(proxy.ask(path, headers=given))
    assert [answer.headers["x-llm-cache"] for answer in asked] == ["miss", "miss"]
    assert "for the other" in asked[1].text
    assert proxy.ask(f"{CHAT}?{mine[1]}", headers={"authorization": "", **mine[0]}).headers["x-llm-cache"] == "hit"


def test_nobody_joins_another_callers_stream(upstream: FakeUpstream, proxy: Running) -> None:
    import threading

    gate = threading.Event()
    upstream.script(CHAT, *[_held(gate), _held(gate)])
    found: list[str] = []

    def ask(key: str) -> None:
        found.append(proxy.ask(json=STREAM, headers={"authorization": f"Bearer {key}"}).headers["x-llm-cache"])

    threads = [threading.Thread(target=ask, args=(key,)) for key in ("a", "b")]
    for thread in threads:
        thread.start()
    upstream.wait_for(2)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert found == ["miss", "miss"]


def _held(gate):
    from dataclasses import replace

    return replace(openai_chat_stream(["a", "b"]), gates={1: gate})


def test_the_scope_outlives_the_process(upstream: FakeUpstream, database: str) -> None:
    upstream.reply(CHAT, openai_chat("Hello!"))
    for expected in ("miss", "hit"):
        with running(upstream.url, database_url=database) as proxy:
            assert proxy.ask().headers["x-llm-cache"] == expected


def test_no_credential_is_in_the_store(upstream: FakeUpstream, database: str) -> None:
    from pathlib import Path

    upstream.reply("*", openai_chat("Hello!"))
    with running(upstream.url, database_url=database, enable_compression=False) as proxy:
        secret = {"authorization": "Bearer sk-SECRET1", "x-auth-token": "SECRET2", "cookie": "SECRET3"}
        proxy.ask(f"{CHAT}?key=SECRET4&api-version=visible", headers=secret)
        proxy.ask(f"{CHAT}?key=SECRET4&api-version=visible", headers=secret)
    data = b"".join(path.read_bytes() for path in Path(database).parent.iterdir())
    assert b"Say hello." in data
    assert b"SECRET" not in data
