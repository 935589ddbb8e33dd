"""The key covers everything that can change the answer, and nothing else; it never changes once published."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from llm_cache.core.canonical import NotCanonical
from llm_cache.core.model import Request
from llm_cache.core.policy import Mode, Policy
from llm_cache.core.signature import HEADERS, loads, sign, sign_named, sign_value
from llm_cache.providers.format import OUTSIDE
from llm_cache.providers.registry import endpoint_named, recognise
from tests.core.making import endpoint, request

VECTORS = json.loads((Path(__file__).parent.parent / "golden" / "keys.json").read_text(encoding="utf-8"))


def policy_of(vector) -> Policy:
    given = dict(vector.get("policy", {}))
    given["ignore_fields"] = frozenset(given.get("ignore_fields", ()))
    return Policy(**given)


def signature_of(vector):
    policy = policy_of(vector)
    if vector["kind"] == "named":
        return sign_named(vector["explicit"], policy)
    if vector["kind"] == "value":
        rules = endpoint_named(vector["provider"], vector["endpoint"])
        where = endpoint(
            provider=vector["provider"],
            path=vector["endpoint"],
            outside=rules.outside,
            unmark=rules.unmark,
            stream_counts=rules.stream_counts,
        )
        return sign_value(where, vector["model"], vector["request_data"], policy)
    headers = tuple((name, value) for name, value in vector["headers"])
    asked = Request("POST", vector["url"], headers, vector["body"].encode())
    body = loads(asked.body, asked.header("content-type") or "")
    where = recognise(asked, body.value)
    assert where is not None
    return sign(asked, body, where, policy)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_keys_of_version_1_are_frozen(vector):
    """Vectors are appended, never edited: an edit would empty every cache that there is."""
    signature = signature_of(vector)
    assert signature.document.decode() == vector["document"]
    assert signature.key == vector["key"]
    assert hashlib.sha256(vector["document"].encode()).hexdigest() == vector["key"]
    assert signature.digest.hex() == vector["key"]


def test_the_first_vectors_are_one_request_in_different_words():
    assert len({vector["key"] for vector in VECTORS[:3]}) == 1
    # Of the others only the two forms with one content are one.
    assert len({vector["key"] for vector in VECTORS[2:]}) == len(VECTORS[2:]) - 1


# --- what counts --------------------------------------------------------------------------------


def key(what=None, where=None, policy=None) -> str:
    what = what or request()
    return sign(what, loads(what.body), where or endpoint(), policy or Policy()).key


@pytest.mark.parametrize(
    "other",
    [
        {"what": request(b'{"prompt":"ho"}')},
        {"what": request(b'{"prompt":"hi","n":1}')},
        {"what": request(b'{"prompt":"hi","stream":true}')},
        {"what": request(b'{"prompt":"hi","stream":null}')},
        {"what": request(b'{"prompt":"hi","stream":0}')},
        {"what": request(b'{"prompt":"hi","stop":null}')},
        {"what": request(b'{"prompt":"hi","stop":[]}')},
        {"what": request(b'{"prompt":["hi"]}')},
        {"what": request(b'{"prompt":"hi","inner":{"stream":false}}')},
        {"what": request(headers=(("openai-beta", "assistants=v2"),))},
        {"where": endpoint(upstream="acme:8000")},
        {"where": endpoint(path="/v2/say")},
        {"where": endpoint(query=(("api-version", "2024"),))},
        {"policy": Policy(namespace="other")},
        {"policy": Policy(scope="alice")},
        {"policy": Policy(sample=1)},
    ],
)
def test_everything_that_can_change_the_answer_changes_the_key(other):
    assert key(**other) != key()


@pytest.mark.parametrize(
    "same",
    [
        {"what": request(b' {"prompt" : "\\u0068i"}')},
        {"what": request(b'{"prompt":"hi","stream":false}')},
        {"what": request(method="PUT")},
        {"what": request(url="https://other.example/x?key=secret")},
        {"what": request(headers=(("authorization", "Bearer x"), ("x-stainless-lang", "python"), ("cookie", "a=b")))},
        {"where": endpoint(provider="other", model="other", stream=False)},
        {"policy": Policy(mode=Mode.REFRESH, ttl_s=1, join_timeout_s=1, max_age_s=1, store=False)},
    ],
)
def test_what_cannot_change_the_answer_is_not_in_the_key(same):
    """What the endpoint says of upstream, path and query counts; how the URL was written does not."""
    assert key(**same) == key()


@pytest.mark.parametrize("field", sorted(OUTSIDE))
def test_a_field_that_is_left_out_changes_nothing_at_the_top_and_counts_below(field):
    where = endpoint(outside=OUTSIDE)
    plain = key(where=where)
    assert key(request(b'{"prompt":"hi","%s":"x"}' % field.encode()), where) == plain
    assert key(request(b'{"prompt":"hi","in":{"%s":"x"}}' % field.encode()), where) != plain
    assert key(request(b'{"prompt":"hi","%s":"x"}' % field.encode())) != plain


def test_fields_of_ones_own_can_be_left_out_besides():
    policy = Policy(ignore_fields=frozenset({"trace"}))
    assert key(request(b'{"prompt":"hi","trace":[1]}'), policy=policy) == key()
    where = endpoint(outside=frozenset({"user"}))
    assert key(request(b'{"prompt":"hi","trace":1,"user":2}'), where, policy) == key()


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_a_header_that_counts_is_the_same_in_one_line_or_several(name):
    lines = request(headers=((name, "a"), ("x-other", "y"), (name, " b ,c")))
    line = request(headers=((name, "a,b, c"),))
    assert key(lines) == key(line) != key()
    assert key(request(headers=((name, "c,b,a"),))) != key(line)


def test_the_headers_that_count_are_these_and_no_others():
    assert frozenset(HEADERS) == {
        "anthropic-beta",
        "anthropic-version",
        "openai-beta",
        "openai-organization",
        "openai-project",
    }


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\x00", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 500, b""]
)
def test_a_body_that_readers_may_understand_differently_counts_by_its_bytes(body):
    document = json.loads(sign(request(body), loads(body), endpoint(), Policy()).document)
    assert document["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert "body" not in document
    assert key(request(body)) != key(request(body + b" "))


def test_a_body_counts_by_its_bytes_when_the_vendor_file_makes_it_unwritable():
    body = loads(b'{"a":1}')
    where = endpoint(unmark=lambda _: {"a": float("nan")})
    assert "body_sha256" in json.loads(sign(request(b'{"a":1}'), body, where, Policy()).document)


def test_vendor_marks_are_taken_off_after_the_fields_that_are_left_out():
    seen = []
    where = endpoint(outside=frozenset({"user"}), unmark=lambda body: seen.append(body) or {"prompt": "hi"})
    assert key(request(b'{"prompt":"hi!","user":1}'), where) == key()
    assert seen == [{"prompt": "hi!"}]


@pytest.mark.parametrize(
    ("body", "value", "exact"), [(b'{"a":1}', {"a": 1}, True), (b'{"a":1,"a":2}', {"a": 2}, False), (b"{", None, False)]
)
def test_a_body_is_parsed_once_for_everyone_and_its_shape_seen_where_possible(body, value, exact):
    assert (loads(body).value, loads(body).exact) == (value, exact)


# --- values and names ---------------------------------------------------------------------------


def test_bytes_and_values_never_share_an_entry():
    where = endpoint()
    by_value = sign_value(where, "m", {"prompt": "hi"}, Policy())
    assert by_value.key != key()
    assert json.loads(by_value.document)["kind"] == "value"


@pytest.mark.parametrize(
    "other",
    [
        ("acme", "n", "/p", {"a": 1}),
        ("acme", "m", "/q", {"a": 1}),
        ("x", "m", "/p", {"a": 1}),
        ("acme", "m", "/p", {"a": 2}),
    ],
)
def test_provider_model_endpoint_and_data_of_a_value_count(other):
    def of(provider, model, path, data):
        return sign_value(endpoint(provider=provider, path=path), model, data, Policy()).key

    assert of(*other) != of("acme", "m", "/p", {"a": 1})


def test_a_program_may_write_numbers_as_it_likes():
    def of(data):
        return sign_value(endpoint(), "m", data, Policy()).key

    assert of({"t": 1.0}) == of({"t": 1})
    assert of({"t": True}) != of({"t": 1})
    assert of({"t": (1, 2)}) == of({"t": [1, 2]})
    assert of({"t": 1e23}) == of({"t": 10**23})


@pytest.mark.parametrize(
    ("data", "error"),
    [({"a": float("nan")}, ValueError), ({"a": object()}, TypeError), ({"a": "\ud800"}, NotCanonical)],
)
def test_a_description_that_is_not_json_is_refused(data, error):
    with pytest.raises(error):
        sign_value(endpoint(), "m", data, Policy())


def test_an_explicit_key_alone_decides_with_namespace_scope_and_sample():
    def of(name="k", **policy):
        return sign_named(name, Policy(**policy)).key

    keys = [of(), of("K"), of(namespace="n"), of(scope="s"), of(sample=1), of("k "), of("\ud800"), of("")]
    assert len(set(keys)) == len(keys)
    assert of(ignore_fields=frozenset({"k"}), ttl_s=1) == of()
