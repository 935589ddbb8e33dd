"""The dashboard's data, without a browser: sums, pages of entries, one entry, deleting."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import httpx
import pytest

from llm_cache.clients.engine import Engine
from llm_cache.config import load
from llm_cache.core.events import About, Bypassed, Hit, Missed, Stored
from llm_cache.proxy.dashboard.entries import Entries
from llm_cache.proxy.dashboard.figures import figures
from llm_cache.testing import openai_chat
from tests.dashboard import filling
from tests.dashboard.filling import keep, key_of, made
from tests.proxy.running import NO_PROXY, running

WRITES = {"content-type": "application/json", "x-llm-cache-dashboard": "1"}


@pytest.fixture
def engine():
    engine = Engine(load({"database_url": ":memory:"}), lambda: filling.NOW)
    yield engine
    engine.close()


def test_sums_are_exact_and_add_up(ask):
    told = ask("overview", days="30")
    total = told["total"]
    assert total["hits"] == 10 + 11 + 12 + 13 + 14 + 1
    assert total["misses"] == 27
    assert Decimal(total["cost_saved_usd"]) == Decimal("1.234567890123") * 15 + Decimal("1e-12")
    assert total["unpriced_spent"] == 2
    assert sum(Decimal(day["cost_saved_usd"]) for day in told["days"]) == Decimal(total["cost_saved_usd"])
    assert sum(Decimal(line["cost_saved_usd"]) for line in told["lines"]) == Decimal(total["cost_saved_usd"])
    assert len(told["days"]) == 30
    assert told["days"][0]["hit_rate"] is None  # nothing was asked on that day, which is not a rate of 0
    assert [line["provider"] for line in told["lines"]] == ["openai", "anthropic"]
    assert told["entries"] == 126


def test_sums_of_some_days_and_of_one_namespace(ask):
    assert ask("overview", days="2")["total"]["hits"] == 10 + 11 + 1
    assert ask("overview", days="all", namespace="agents")["total"]["hits"] == 1
    assert ask("overview", model="nobody")["total"]["hits"] == 0
    assert "days is a number" in ask("overview", 400, days="0")["error"]["message"]


def test_reasons_of_misses(ask):
    reasons = ask("misses")["reasons"]
    assert reasons["miss"] == [{"reason": "absent", "count": 22}, {"reason": "expired", "count": 5}]
    assert reasons["bypass"] == [{"reason": "no_store", "count": 5}, {"reason": "not_cacheable", "count": 1}]
    assert reasons["drop"] == [{"reason": "cut_off", "count": 5}]


def test_pages_have_every_entry_once_newest_first(ask):
    found, query = [], {"limit": "50"}
    while True:
        told = ask("entries", **query)
        found += told["entries"]
        if told["next"] is None:
            break
        query["after"] = told["next"]
    assert len(found) == len({row["key"] for row in found}) == 126
    assert [row["created_at"] for row in found] == sorted((row["created_at"] for row in found), reverse=True)


@pytest.mark.parametrize("same", [True, False])
def test_entries_of_one_moment_are_not_lost_between_pages(engine, same):
    keep(engine, *(made(f"{n}", created_at=filling.NOW + (0 if same else n)) for n in range(7)))
    entries, found, query = Entries(engine), [], {"limit": "3"}
    while query is not None:
        told = entries.page(query)
        found += [row["key"] for row in told["entries"]]
        query = {"limit": "3", "after": told["next"]} if told["next"] else None
    assert sorted(found) == sorted(key_of(f"{n}") for n in range(7))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"provider": "anthropic"}, {"talk"}),
        ({"namespace": "agents"}, {"talk"}),
        ({"model": "claude-sonnet-4-5", "namespace": "agents"}, {"talk"}),
        ({"text": "SONNET"}, {"talk"}),
        ({"text": "gpt-4o", "state": "expired"}, {"old"}),
        ({"state": "expired"}, {"old"}),
        ({"key": key_of("talk")[:9].upper()}, {"talk"}),
        ({"key": key_of("talk"), "provider": "openai"}, set()),
        ({"text": "no such model"}, set()),
    ],
)
def test_filters(ask, query, names):
    assert {row["key"] for row in ask("entries", **query)["entries"]} == {key_of(name) for name in names}


def test_a_text_that_fits_several_models_merges_them_in_order(ask):
    told = ask("entries", text="gpt", limit="10")
    assert [row["key"] for row in told["entries"][:3]] == [key_of("plain"), key_of("stream"), key_of("long")]
    after = ask("entries", text="gpt", limit="10", after=told["next"])
    assert not {row["key"] for row in after["entries"]} & {row["key"] for row in told["entries"]}


@pytest.mark.parametrize(
    "query", [{"key": "xyz"}, {"limit": "0"}, {"limit": "9999"}, {"after": "x~y"}, {"state": "odd"}]
)
def test_wrong_questions_are_answered_with_a_sentence(ask, query):
    assert ask("entries", 400, **query)["error"]["message"].endswith(".")


def test_the_list_says_what_was_asked_last(ask):
    (row,) = ask("entries", key=key_of("plain"))["entries"]
    assert row["glance"] == "Question plain"
    assert row["cost_usd"] is None  # nobody has priced it: unknown, and not 0


def test_one_entry_whole(ask):
    told = ask(f"entries/{key_of('talk')}")
    assert [message["role"] for message in told["request"]["messages"]] == ["system", "user", "assistant", "user"]
    user = told["request"]["messages"][1]["parts"]
    assert [part["kind"] for part in user] == ["text", "image", "link"]
    assert user[1]["src"] == f"data:image/png;base64,{filling.PNG}"
    call = told["request"]["messages"][2]["parts"][0]
    assert (call["kind"], call["name"], call["ref"]) == ("call", "read_file", "t1")
    result = told["request"]["messages"][3]["parts"][0]
    assert result["failed"]
    assert result["parts"][0]["text"] == "no such file"
    assert [part["kind"] for part in told["answer"][0]["parts"]] == ["thought", "text"]
    assert told["request"]["tools"][0]["name"] == "read_file"
    assert [row["name"] for row in told["request"]["settings"]] == ["model", "max_tokens"]
    assert ask("entries/" + "0" * 64, 404)["error"]["message"].startswith("There is no such entry")
    ask("entries/odd", 404)


def test_a_stream_as_text_and_as_frames(ask):
    told = ask(f"entries/{key_of('stream')}")
    text, call = told["answer"][0]["parts"]
    assert text["text"] == "It streams."
    assert (call["name"], call["ref"], call["text"]) == ("look", "c1", '{"at": 1}')
    frames = ask(f"entries/{key_of('stream')}/frames")
    assert frames["total"] == len(filling.STREAM)
    # Waits are kept to an eighth.
    assert [frame["at_us"] for frame in frames["frames"]] == pytest.approx([1000 * n for n in range(1, 8)], abs=125)
    assert frames["frames"][-1]["text"] == "data: [DONE]\n\n"
    assert ask(f"entries/{key_of('stream')}/frames", first="5")["frames"][0]["number"] == 5


def test_a_long_text_comes_in_part_and_then_whole(served, ask):
    told = ask(f"entries/{key_of('long')}")
    part = told["answer"][0]["parts"][0]
    assert len(part["text"]) < 5000
    assert part["length"] == len(filling.LONG)
    url = f"{served.url}/dashboard/api/entries/{key_of('long')}/texts/{part['id']}"
    with httpx.stream("GET", url, **NO_PROXY) as answer:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        pieces = list(answer.iter_raw())
    assert len(pieces) > 3  # it is not held back until it is whole
    assert b"".join(pieces).decode() == filling.LONG
    assert httpx.get(url.rpartition("/")[0] + "/999", **NO_PROXY).status_code == 404


def test_the_bill_names_its_parts(tmp_path):
    table = {"openai": {"gpt-4o": {"input": 2, "cached": 1, "output": 10}}}
    with running(None, database_url=str(tmp_path / "db"), pricing_table=table) as proxy:
        usage = replace(made("x").usage, cache_read_tokens=400, reasoning_tokens=100)
        keep(proxy.engine, made("billed", usage=usage))
        bill = proxy.get(f"/dashboard/api/entries/{key_of('billed')}").json()["bill"]
    assert [(line["what"], line["tokens"], line["cost_usd"]) for line in bill] == [
        ("input", 600, "1.2"),
        ("read from the provider's cache", 400, "0.4"),
        ("output", 500, "5"),
        ("of it for reasoning", 100, None),
        ("total", 1500, "6.6"),
    ]


def test_the_bill_names_what_is_billed_otherwise(tmp_path):
    row = {"input": 2, "cached": 1, "cache_write": 3, "cache_write_1h": 4, "output": 10, "web_searches": 5, "flex": 0.5}
    with running(None, database_url=str(tmp_path / "db"), pricing_table={"openai": {"gpt-4o": row}}) as proxy:
        usage = replace(
            made("x").usage,
            cache_read_tokens=400,
            cache_write_tokens=300,
            cache_write_1h_tokens=100,
            web_searches=2,
            terms="flex",
        )
        keep(proxy.engine, made("billed", usage=usage))
        told = proxy.get(f"/dashboard/api/entries/{key_of('billed')}").json()
    assert [(line["what"], line["tokens"], line["cost_usd"]) for line in told["bill"]] == [
        ("input", 300, "0.3"),
        ("read from the provider's cache", 400, "0.2"),
        ("written to the provider's cache", 200, "0.3"),
        ("written to the provider's cache for an hour", 100, "0.2"),
        ("output", 500, "2.5"),
        ("searches in the web", 2, "0.005"),
        ("total, at flex terms", 1500, "3.505"),
    ]
    assert told["cost_usd"] == "3.505"


def test_damage_and_what_is_no_json_are_shown_as_such(tmp_path):
    with running(None, database_url=str(tmp_path / "db")) as proxy:
        keep(proxy.engine, made("bytes", response=b"\xff\x00 no json"), made("broken"))
        row = proxy.engine.store.get(bytes.fromhex(key_of("broken")))
        proxy.engine.store.put(row._replace(value=row.value[:40]))
        assert len(proxy.get("/dashboard/api/entries").json()["entries"]) == 2
        assert "cannot be read" in proxy.get(f"/dashboard/api/entries/{key_of('broken')}").json()["unreadable"]
        assert proxy.get(f"/dashboard/api/entries/{key_of('broken')}/frames").status_code == 409
        told = proxy.get(f"/dashboard/api/entries/{key_of('bytes')}").json()
        assert "base64" in told["raw_answer"]["text"]


def test_latest_calls_of_every_process(tmp_path):
    with running(None, database_url=str(tmp_path / "db")) as proxy:
        other = Engine(load({"database_url": str(tmp_path / "db")}))
        entry = made("one", cost_usd=Decimal("0.25"))
        keep(other, entry)
        about = About("openai", "gpt-4o", "/v1/chat/completions", "default", entry.key)
        for event in (Missed(about, "absent"), Stored(about, entry), Hit(about, entry), Bypassed(About(), "off")):
            other.ledger(event)
        other.close()
        calls = proxy.get("/dashboard/api/calls").json()["calls"]
    assert [(call["status"], call["reason"], call["kept"], call["cost_usd"]) for call in calls] == [
        ("bypass", "off", None, None),
        ("hit", "", None, "0.25"),
        ("miss", "absent", "stored", "0.25"),
    ]


def test_fields_that_cost_hits_are_named_without_their_values(tmp_path, upstream):
    upstream.reply("/v1/chat/completions", openai_chat("Hi"))
    with running(upstream.url, database_url=str(tmp_path / "db")) as proxy:
        for at in range(3):
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "seed": 7_654_321 + at}
            assert proxy.ask(json=body).headers["x-llm-cache"] == "miss"
        told = proxy.get("/dashboard/api/misses")
    (field,) = told.json()["fields"]
    assert (field["fields"], field["misses"]) == (["seed"], 2)
    assert "76543" not in told.text


def test_months_of_long_ago_count_and_are_not_drawn_beside_days():
    sums = {
        ("calls", "2024", "openai", "m", "default"): {"hits": 1},
        ("calls", "2026-01", "openai", "m", "default"): {"hits": 2},
        ("calls", "2026-11-02", "openai", "m", "default"): {"hits": 4},
        ("calls", "2026-11-03", "openai", "m", "default"): {"hits": 8},
    }
    now = 1_793_700_000.0  # 2026-11-03
    told = figures(sums, now, {"days": "all"})
    assert told["total"]["hits"] == 15
    assert [(day["day"], day["hits"]) for day in told["days"]] == [("2024", 1), ("2026-01", 2), ("2026-11", 12)]
    told = figures(sums, now, {"days": "2"})
    assert [(day["day"], day["hits"]) for day in told["days"]] == [("2026-11-02", 4), ("2026-11-03", 8)]


def test_health_names_no_secret_and_finds_damage_on_demand(ask):
    told = ask("health")
    assert told["answers"]
    assert told["entries"] == 126
    assert told["expired"] == 1
    assert "encryption_key" not in {row["name"] for row in told["settings"]}
    assert ask("check") == {"findings": []}


def test_deleting_counts_first_and_then_deletes(tmp_path):
    with running(None, database_url=str(tmp_path / "db")) as proxy, httpx.Client(**NO_PROXY, headers=WRITES) as client:
        keep(proxy.engine, made("one"), made("two", model="other"), made("three", model="other"))
        url = f"{proxy.url}/dashboard/api/purge"
        assert client.post(url, json={"model": "other"}).json() == {"count": 2, "deleted": False}
        assert proxy.engine.store.summary().entries == 3
        assert client.post(url, json={"model": "other", "confirm": True}).json() == {"count": 2, "deleted": True}
        assert proxy.engine.store.summary().entries == 1
        for wrong in ({}, {"confirm": True}, {"everything": True, "model": "x"}, {"odd": 1}, {"key": "xyz"}, []):
            assert client.post(url, json=wrong).status_code == 400, wrong
        assert proxy.engine.store.summary().entries == 1
        assert client.post(url, json={"everything": True, "confirm": True}).json()["count"] == 1


def test_a_store_that_fails_is_told_and_nothing_else_breaks(tmp_path):
    (tmp_path / "db").mkdir()
    with running(None, database_url=str(tmp_path / "db")) as proxy:
        assert proxy.get("/dashboard/").status_code == 200
        answer = proxy.get("/dashboard/api/entries")
        assert answer.status_code == 503
        assert answer.json()["error"]["message"].startswith("The store fails")
        assert proxy.get("/dashboard/api/health").json()["answers"] is False
        assert proxy.get("/dashboard/api/overview").json()["problem"]


SECRET = "a key of the tests' own"


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_sealed_store_is_shown_with_its_key_and_only_told_of_without(request, tmp_path, kind):
    url = str(tmp_path / "db") if kind == "sqlite" else request.getfixturevalue("redis_server").url
    sealed = {"database_url": url, "enable_encryption": True, "encryption_key": SECRET}
    with running(None, **sealed) as proxy:
        keep(
            proxy.engine,
            made("talk", request=filling.TALK, response=filling.SAID, path="/v1/messages", provider="anthropic"),
            made("stream", chunks=filling.STREAM),
            made("near", request={"model": "gpt-4o", "messages": [{"role": "user", "content": "Question near!"}]}),
            made("near 2", request={"model": "gpt-4o", "messages": [{"role": "user", "content": "Question near?"}]}),
        )
        listed = proxy.get("/dashboard/api/entries").json()["entries"]
        assert {row["kind"] for row in listed} == {"http"}
        assert {row["glance"] for row in listed} >= {"Question near!", "Question near?"}
        keys = {row["glance"]: row["key"] for row in listed}
        assert key_of("near") not in keys.values()  # keys are HMACs there
        told = proxy.get(f"/dashboard/api/entries/{keys['Question near!']}").json()
        assert told["answer"][0]["parts"][0]["text"] == "Answer near"
        why = proxy.get(f"/dashboard/api/entries/{keys['Question near!']}/why").json()
        assert [place["path"] for place in why["differences"]] == ["body.messages[0].content"]
        streamed = next(row["key"] for row in listed if row["stream"])
        frames = proxy.get(f"/dashboard/api/entries/{streamed}/frames").json()
        assert "It " in frames["frames"][0]["text"]
    with running(None, database_url=url) as proxy:
        listed = proxy.get("/dashboard/api/entries").text
        told = proxy.get(f"/dashboard/api/entries/{keys['Question near!']}").json()
        frames = proxy.get(f"/dashboard/api/entries/{streamed}/frames")
        why = proxy.get(f"/dashboard/api/entries/{keys['Question near!']}/why")
        assert "encrypted" in told["unreadable"]
        assert (frames.status_code, why.status_code) == (409, 409)
        shown = listed + json.dumps(told) + frames.text + why.text
        for word in ("Question", "Answer", "streams", "no such file"):
            assert word not in shown
        assert told["model"] == "gpt-4o"


def test_a_store_in_redis_has_all_of_it(redis_server):
    with running(None, database_url=redis_server.url) as proxy:
        keep(
            proxy.engine,
            *(made(f"many {n}", created_at=filling.NOW - n) for n in range(5)),
            made("one", provider="acme", namespace="team", model="big", created_at=filling.NOW + 1),
        )
        first = proxy.get("/dashboard/api/entries?limit=4").json()
        rest = proxy.get("/dashboard/api/entries", params={"limit": 4, "after": first["next"]}).json()
        keys = [row["key"] for row in (*first["entries"], *rest["entries"])]
        assert keys == [key_of("one"), *(key_of(f"many {n}") for n in range(5))]
        assert rest["next"] is None
        chosen = proxy.get("/dashboard/api/entries?provider=acme&namespace=team&text=BIG").json()["entries"]
        assert [row["key"] for row in chosen] == [key_of("one")]
        assert "acme" in proxy.get("/dashboard/api/names").json()["providers"]
        assert proxy.get("/dashboard/api/health").json()["backend"] == "redis"
        told = proxy.get(f"/dashboard/api/entries/{key_of('one')}").json()
        assert told["request"]["messages"][0]["parts"][0]["text"] == "Question one"
        writes = {"x-llm-cache-dashboard": "1"}
        what = {"provider": "acme", "confirm": True}
        done = httpx.post(f"{proxy.url}/dashboard/api/purge", json=what, headers=writes, **NO_PROXY)
        assert done.json() == {"count": 1, "deleted": True}
        assert proxy.get("/dashboard/api/overview").json()["entries"] == 5
