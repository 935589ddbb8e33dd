"""The miss nobody expected: what differs from the nearest request that is stored."""

from __future__ import annotations

import pytest

from llm_cache.core.canonical import parse, write
from llm_cache.core.explain import Difference, differences, nearest, render


def document(**body) -> bytes:
    return write({"body": body, "endpoint": "/v1/say", "sample": 0})


def test_each_place_that_differs_is_named_by_its_path():
    ours = document(model="a", messages=[{"role": "user", "content": "hi"}], n=1, only={"here": 1})
    theirs = document(model="b", messages=[{"role": "user", "content": "ho"}, {"role": "x"}], n=1, there=[2])
    assert differences(ours, theirs) == [
        Difference("body.messages[0].content", '"hi"', '"ho"'),
        Difference("body.messages[1]", None, '{"role":"x"}'),
        Difference("body.model", '"a"', '"b"'),
        Difference("body.only", '{"here":1}', None),
        Difference("body.there", None, "[2]"),
    ]


@pytest.mark.parametrize(("ours", "theirs"), [(1, True), (0, False), ("1", 1), (None, False), ([], {}), ("", None)])
def test_whatever_has_another_key_differs(ours, theirs):
    """Python holds 1 and True to be equal; the key does not."""
    assert len(differences(document(a=ours), document(a=theirs))) == 1
    assert differences(document(a=ours), document(a=ours)) == []


def test_numbers_that_only_decimal_tells_apart_differ():
    ours, theirs = (document(a=parse(text)) for text in (b"0.1", b"0.10000000000000001"))
    assert differences(ours, theirs) == [Difference("body.a", "0.1", "0.10000000000000001")]
    assert len(differences(document(a=parse(b"1e400")), document(a=parse(b"2e400")))) == 1


def test_a_body_that_counted_by_its_bytes_can_be_compared_too():
    found = differences(b'{"body_sha256":"00","endpoint":"/"}', document(a=1))
    assert [difference.path for difference in found] == ["body_sha256", "endpoint", "body", "sample"]


@pytest.mark.parametrize(
    ("text", "volatile"),
    [
        ('"2026-01-31T12:00:00Z"', True),
        ('"at 2026-01-31 12:00"', True),
        ('"8f14e45f-ceea-467f-9575-6a1b4e3c2d1f"', True),
        ("1767225600", True),
        ('"1767225600123"', True),
        ("176722560", False),
        ('"2026-01-31"', False),
        ('"hello"', False),
        (None, False),
    ],
)
def test_what_is_new_every_time_is_known_by_its_look(text, volatile):
    assert Difference("body.x", text, None).volatile is volatile
    assert Difference("body.x", None, text).volatile is volatile


def test_the_nearest_has_the_fewest_differences_and_the_first_of_equals_wins():
    ours = document(a=1, b=2)
    candidates = [("k1", document(a=9, b=9)), ("k2", document(a=1, b=9)), ("k3", document(a=9, b=2))]
    assert nearest(ours, candidates) == ("k2", [Difference("body.b", "2", "9")])
    assert nearest(ours, [*candidates, ("k4", ours)]) == ("k4", [])
    assert nearest(ours, []) == ("", [])


def test_without_a_candidate_there_is_nothing_to_say():
    assert render("", []) == ""


def test_the_explanation_is_for_people():
    found = [Difference(f"body.x{number}", "1", None) for number in range(12)]
    found[1] = Difference("body.prompt", '"' + "p" * 100 + '"', None)
    lines = render("0123456789abcdef", found).splitlines()
    assert lines[0] == "the nearest stored request is 0123456789ab…, which differs in:"
    assert lines[1] == "  body.x0: 1 here, absent there"
    assert lines[2] == f'  body.prompt: "{"p" * 59}… (102 characters) here, absent there'
    assert lines[-1] == "  and 2 more"
    assert len(lines) == 12


UUID = '"8f14e45f-ceea-467f-9575-6a1b4e3c2d1f"'


@pytest.mark.parametrize(
    ("paths", "advice"),
    [
        (["body.trace"], '"trace"'),
        (["body.trace", "body.at", "body.messages[0].id"], '"at, trace"'),
        (["body.id", "body.messages[0].width"], '"id"'),
        (["body.messages[0].id"], None),
        (["body.inner.id"], None),
        (["headers.openai-beta"], None),
    ],
)
def test_only_whole_fields_of_the_body_that_look_generated_are_suggested(paths, advice):
    text = render("k", [Difference(path, UUID, "1") for path in paths])
    if advice is None:
        assert "ignore_fields" not in text
    else:
        assert text.endswith(f"ignore_fields = {advice}")
