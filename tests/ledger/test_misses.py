"""What many misses have in common: the field that is new each time is found, and nothing else is blamed."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

import httpx
import pytest

from llm_cache import LLMCache, wrap
from llm_cache.ledger import misses
from llm_cache.ledger.misses import line_of, rank
from llm_cache.testing import openai_chat

CHAT = "/v1/chat/completions"


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def document(body, kind="http", **more):
    whole = {"version": 1, "kind": kind, "namespace": "default", "headers": {}, "endpoint": CHAT, "body": body, **more}
    return json.dumps(whole, separators=(",", ":")).encode()


def ranked(bodies, price=lambda key: None, **more):
    lines = [line_of(float(n), f"{n:064x}", CHAT, document(body, **more), digest) for n, body in enumerate(bodies)]
    return rank(lines[::-1], price)


def uuid(number):
    return f"{number:08x}-0000-4000-8000-000000000000"


def ask(text="hello", **more):
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def test_a_generated_field_is_blamed_with_the_rule_that_would_save_it():
    (found,) = ranked([ask(request_id=uuid(n)) for n in range(5)], lambda key: Decimal("0.25"))
    assert (found.fields, found.misses, found.cost_usd, found.unpriced) == (("request_id",), 4, Decimal(1), 0)
    assert found.rule == ("request_id",)
    assert 'ignore_fields = "request_id"' in found.advice
    assert (found.key, found.near) == (f"{4:064x}", f"{3:064x}")


def test_several_generated_fields_are_blamed_together():
    bodies = [ask(request_id=uuid(n), sent_at=1_700_000_000 + n) for n in range(3)]
    (found,) = ranked(bodies)
    assert (found.fields, found.rule, found.misses) == (("request_id", "sent_at"), ("request_id", "sent_at"), 2)
    assert found.unpriced == 2


def test_a_time_in_a_prompt_is_found_but_no_rule_leaves_out_the_prompt():
    bodies = [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": f"It is 2026-01-01 12:00:{n:02}"},
                {"role": "user", "content": q},
            ],
        }
        for n, q in enumerate(["a", "a", "b", "a"])
    ]
    (found,) = ranked(bodies)
    assert (found.fields, found.paths, found.misses, found.rule) == (("messages",), ("messages[0]",), 2, ())
    assert "the model reads it" in found.advice


def test_other_questions_are_not_to_blame():
    assert ranked([ask(f"question {n}") for n in range(5)]) == []
    assert ranked([ask("hello"), {**ask("hello"), "model": "other"}]) == []
    conversation = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert ranked([{"model": "m", "messages": conversation[:n]} for n in (1, 2)]) == []


def test_what_was_varied_on_purpose_is_told_last_and_without_a_rule():
    bodies = [ask(temperature=n / 10) for n in range(4)] + [ask(seed=n) for n in range(2)]
    seed, temperature = ranked(bodies)
    assert (seed.fields, seed.rule, seed.generated) == (("seed",), ("seed",), True)
    assert (temperature.fields, temperature.misses, temperature.rule) == (("temperature",), 3, ())
    assert not temperature.generated


def test_the_same_request_again_has_no_field_to_blame():
    line = line_of(0.0, "aa", CHAT, document(ask()), digest)
    assert rank([line, line], lambda key: None) == []


def test_parts_of_the_key_beside_the_body_have_no_rule():
    lines = [line_of(0.0, str(n), CHAT, document(ask(), headers={"openai-beta": uuid(n)}), digest) for n in range(2)]
    (found,) = rank(lines, lambda key: None)
    assert (found.fields, found.rule) == (("(headers)",), ())


def test_values_and_calls_are_named_as_their_rules_are():
    values = [{"model": "m", "request": {"q": 1, "trace_id": uuid(n)}} for n in range(2)]
    (found,) = ranked(values, kind="value")
    assert (found.fields, found.rule) == (("trace_id",), ("trace_id",))
    calls = [{"model": "m", "code": "x", "arguments": {"q": 1, "now": 1_700_000_000 + n}} for n in range(2)]
    (found,) = ranked(calls, kind="call")
    assert found.rule == ("now",)
    assert "cached_call(ignore=('now',))" in found.advice


def test_lines_hold_digests_and_never_a_value():
    line = line_of(0.0, "aa", CHAT, document(ask("the secret of the house", request_id=uuid(7))), digest)
    assert b"secret" not in line
    assert uuid(7).encode() not in line
    other = line_of(0.0, "aa", CHAT, document(ask("the secret of the house")), lambda data: "sealed")
    assert b'"messages[0]":["sealed"]' in other


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{" * 10_000, b"7"])
def test_what_is_no_document_has_no_line(data):
    assert line_of(0.0, "aa", CHAT, data, digest) is None


def test_lines_are_bounded_and_damaged_ones_passed_over():
    body = {f"field{n}": "x" * 100 for n in range(5000)} | {"messages": [{"content": str(n)} for n in range(5000)]}
    line = line_of(0.0, "aa", CHAT, document(body), digest)
    assert len(line) < 5000
    good = [line_of(0.0, str(n), CHAT, document(ask(seed=n)), digest) for n in range(2)]
    bad = [b"", b"{", b"[]", b'{"fields":3}', b'{"fields":{"a":1},"key":1,"kind":"","endpoint":""}']
    assert len(rank([*bad, *good], lambda key: None)) == 1


def test_calls_that_miss_are_looked_at_by_whoever_asks(upstream, database):
    upstream.reply(CHAT, openai_chat("hello", model="gpt-4o-2024-08-06"))
    with LLMCache(database_url=database) as cache, httpx.Client(trust_env=False) as client:
        with wrap(client, cache):
            for number in range(4):
                client.post(upstream.url + CHAT, json=ask(request_id=uuid(number)))
            client.post(upstream.url + CHAT, json=ask(request_id=uuid(0)))
    with LLMCache(database_url=database) as cache:
        (found,) = cache.engine.ledger.costly()
        assert (found.rule, found.misses) == (("request_id",), 3)
        assert len(cache.engine.store.jotted(misses.JOURNAL, 100)) == 4
