"""The miss nobody expected: what differs from the nearest request that is stored."""

from __future__ import annotations

import random
import time

import pytest

from llm_cache.core.canonical import parse, write
from llm_cache.core.explain import Difference, Nearest, advice, differences, nearest, render, shown


def document(*, kind: str = "http", **body) -> bytes:
    inner = body if kind == "http" else {"model": "m", "request": body}
    return write({"body": inner, "endpoint": "/v1/say", "kind": kind, "sample": 0})


def said(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user" if index % 2 == 0 else "assistant", "content": text} for index, text in enumerate(texts)]


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


def test_names_that_are_no_words_are_quoted_in_a_path():
    found = differences(document(**{"a.b": {"": {"[0]": 1, "é-1": 2}}}), document(**{"a.b": {"": {}}}))
    assert [difference.path for difference in found] == ['body["a.b"][""]["[0]"]', 'body["a.b"][""].é-1']
    assert {difference.field for difference in found} == {"a.b"}


@pytest.mark.parametrize(("ours", "theirs"), [(1, True), (0, False), ("1", 1), (None, False), ([], {}), ("", None)])
def test_whatever_has_another_key_differs(ours, theirs):
    """Python holds 1 and True to be equal; the key does not."""
    assert len(differences(document(a=ours), document(a=theirs))) == 1
    assert len(differences(document(a=[ours]), document(a=[theirs]))) == 1
    assert differences(document(a=ours), document(a=ours)) == []


def test_numbers_that_only_decimal_tells_apart_differ():
    ours, theirs = (document(a=parse(text)) for text in (b"0.1", b"0.10000000000000001"))
    assert differences(ours, theirs) == [Difference("body.a", "0.1", "0.10000000000000001")]
    assert len(differences(document(a=parse(b"1e400")), document(a=parse(b"2e400")))) == 1


def test_a_body_that_counted_by_its_bytes_can_be_compared_too():
    found = differences(b'{"body_sha256":"00","endpoint":"/"}', document(a=1))
    assert [difference.path for difference in found] == ["body_sha256", "endpoint", "body", "kind", "sample"]


# --- lists ---------------------------------------------------------------------------------------

TALK = said(*(f"This is turn {number} of a talk." for number in range(60)))


@pytest.mark.parametrize("at", [0, 1, 30, 59, 60])
def test_one_message_put_in_is_one_difference(at):
    longer = [*TALK[:at], {"role": "system", "content": "Be brief."}, *TALK[at:]]
    ours, theirs = document(messages=longer), document(messages=TALK)
    text = '{"content":"Be brief.","role":"system"}'
    assert differences(ours, theirs) == [Difference(f"body.messages[{at}]", text, None)]
    assert differences(theirs, ours) == [Difference(f"body.messages[{at}]", None, text)]


def test_insertions_far_apart_and_a_change_between_are_three_differences():
    other = [dict(message) for message in TALK]
    other[30]["content"] = "This is turn thirty of a talk."
    other.insert(50, {"role": "user", "content": "Wait."})
    other.insert(3, {"role": "user", "content": "Hm."})
    found = differences(document(messages=TALK), document(messages=other))
    assert [(difference.path, difference.ours is None) for difference in found] == [
        ("body.messages[3]", True),
        ("body.messages[30].content", False),
        ("body.messages[51]", True),
    ]


def test_a_message_that_was_changed_is_not_taken_for_the_one_that_was_put_in_beside_it():
    ours = said("Name a city.", "Paris, the capital of France.", "Another.")
    theirs = said("Name a city.", "Paris, the capitol of France.", "Really?", "Another.")
    theirs[3]["role"] = "user"
    found = differences(document(messages=ours), document(messages=theirs))
    assert [difference.path for difference in found] == ["body.messages[1].content", "body.messages[2]"]
    assert found[1].ours is None


def test_equal_messages_said_several_times_do_not_confuse():
    ours = said("go on", "ok", "go on", "ok", "go on")
    assert differences(document(messages=ours), document(messages=ours[2:])) == [
        Difference("body.messages[0]", '{"content":"go on","role":"user"}', None),
        Difference("body.messages[1]", '{"content":"ok","role":"assistant"}', None),
    ] or differences(document(messages=ours), document(messages=ours[2:])) == [
        Difference("body.messages[3]", '{"content":"ok","role":"assistant"}', None),
        Difference("body.messages[4]", '{"content":"go on","role":"user"}', None),
    ]


def test_what_was_moved_is_told_in_two_places():
    ours, theirs = [1, 2, 3, 4, 5], [2, 3, 4, 5, 1]
    assert differences(document(x=ours), document(x=theirs)) == [
        Difference("body.x[0]", "1", None),
        Difference("body.x[4]", None, "1"),
    ]


def test_alignment_is_complete_in_order_and_never_wrong():
    chance = random.Random(5)
    for _ in range(300):
        ours = [chance.choice("abcdef") * chance.choice([1, 1, 9]) for _ in range(chance.randrange(9))]
        theirs = [chance.choice([*"abcxyz", *ours]) for _ in range(chance.randrange(9))]
        found = differences(document(x=ours), document(x=theirs))
        assert (found == []) == (ours == theirs)
        assert len(found) <= len(ours) + len(theirs)
        gained = sum(difference.ours is None for difference in found) - sum(d.theirs is None for d in found)
        assert gained == len(theirs) - len(ours)


def test_long_lists_of_anything_take_no_time():
    chance = random.Random(1)
    for vocabulary in (2, 100_000):
        ours, theirs = ([chance.randrange(vocabulary) for _ in range(8000)] for _ in range(2))
        began = time.perf_counter()
        assert len(differences(document(input=ours), document(input=theirs))) > 1000
        assert time.perf_counter() - began < 2


# --- what looks generated ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ('"2026-01-31T12:00:00Z"', "a time"),
        ('"at 2026-01-31 12:00"', "a time"),
        ('"Sat, 31 Jan 2026 12:00:00 GMT"', "a time"),
        ('"8f14e45f-ceea-467f-9575-6a1b4e3c2d1f"', "a UUID"),
        ('"8F14E45F-CEEA-467F-9575-6A1B4E3C2D1F"', "a UUID"),
        ("1767225600", "seconds since the epoch"),
        ("1767225600.123", "seconds since the epoch"),
        ('"1767225600123"', "seconds since the epoch"),
        ("1767225600123456789", "seconds since the epoch"),
        ('"call_8Yq2Zk1vBn3mQwErTyUi"', "a generated id"),
        ('"chatcmpl-9aBcDeFgHiJkLmNoPqRs"', "a generated id"),
        ('"01ARZ3NDEKTSV4RRFFQ69G5FAV"', "a generated id"),
        ('"d41d8cd98f00b204e9800998ecf8427e"', "random hex"),
        ("176722560", None),
        ("17672256001", None),
        ('"2026-01-31"', None),
        ('"hello"', None),
        ('"gpt-4o-2024-08-06"', None),
        ('"deadbeef"', None),
        ('"internationalization"', None),
        ('{"at":"2026-01-31T12:00:00Z"}', None),
        (None, None),
    ],
)
def test_what_is_new_every_time_is_known_by_its_look(text, look):
    assert Difference("body.x", text, None).look == look
    assert Difference("body.x", None, text).look == look
    assert Difference("body.x", text, None).volatile is (look is not None)
    if text is not None and " at " not in f" {text.strip(chr(34))}":
        assert Difference("body.x", text, '"hello"').look == look


@pytest.mark.parametrize(
    ("path", "look"),
    [
        ("body.seed", "a seed"),
        ("body.options.seed", "a seed"),
        ("body.metadata[0].trace_id", "a generated id"),
        ("body.request-id", "a generated id"),
        ("body.timestamp", "a time"),
        ("body.nonce", "a random number"),
        ("body.seeds", None),
        ("body.temperature", None),
    ],
)
def test_and_by_its_name(path, look):
    assert Difference(path, "1", "2").look == look
    assert Difference(path, "null", None).look is None


def test_only_what_differs_is_looked_at():
    now = "You are an agent. It is 2026-01-31T12:00:0{}Z. Your run is 8f14e45f-ceea-467f-9575-6a1b4e3c2d1{}. {}"
    ours, theirs = (f'"{now.format(digit, digit, "Be brief.")}"' for digit in "12")
    assert Difference("body.system", ours, theirs).look == "a UUID"
    # A prompt that has a time in it, and asks something else.
    assert Difference("body.system", ours, f'"{now.format(2, 2, "Be long.")}"').look is None
    assert Difference("body.system", ours, ours.replace("agent", "poet")).look is None
    assert Difference("body.x", '"at 12:00:00"', '"at noon"').look is None
    # However much is around it.
    long = '"' + "Be brief. " * 10_000
    assert Difference("body.system", f'{long} 12:00:01"', f'{long} 12:00:02"').look == "a time"
    assert Difference("body.system", f'{long} now"', f'{long} then"').look is None


# --- which is the nearest ------------------------------------------------------------------------


def test_the_nearest_differs_least_and_the_first_of_equals_wins():
    ours = document(a=1, b=2)
    candidates = [("k1", document(a=9, b=9)), ("k2", document(a=1, b=9)), ("k3", document(a=9, b=2))]
    assert nearest(ours, candidates) == Nearest("k2", [Difference("body.b", "2", "9")])
    assert nearest(ours, [*candidates, ("k4", ours)]) == Nearest("k4", [])
    assert nearest(ours, []) is None


def test_two_parameters_are_less_than_another_prompt():
    ours = document(messages=said("Tell me of the sea. " * 20), temperature=0, seed=1)
    prompt = document(messages=said("What is a monad? " * 20), temperature=0, seed=1)
    parameters = document(messages=said("Tell me of the sea. " * 20), temperature=1, seed=2)
    near = nearest(ours, [("prompt", prompt), ("parameters", parameters)])
    assert near is not None
    assert near.key == "parameters"


# --- the rule that would have made it a hit ------------------------------------------------------

UUIDS = "8f14e45f-ceea-467f-9575-6a1b4e3c2d1f", "c9f0f895-fb98-4b91-a4d0-9d6f2c6a0b11"


@pytest.mark.parametrize(
    ("ours", "theirs", "rule"),
    [
        ({"trace": UUIDS[0]}, {"trace": UUIDS[1]}, ("trace",)),
        ({"trace": UUIDS[0]}, {}, ("trace",)),
        ({"trace": UUIDS[0], "seed": 1}, {"trace": UUIDS[1], "seed": 2}, ("seed", "trace")),
        ({"trace": {"id": UUIDS[0], "step": 1}}, {"trace": {"id": UUIDS[1], "step": 2}}, ("trace",)),
        ({"at": [1767225600]}, {"at": [1767225601]}, ("at",)),
        ({"trace": UUIDS[0], "temperature": 0}, {"trace": UUIDS[1], "temperature": 1}, ()),
        ({"label": "a"}, {"label": "b"}, ()),
        ({"messages": said(UUIDS[0])}, {"messages": said(UUIDS[1])}, ()),
        ({"input": UUIDS[0], "seed": 1}, {"input": UUIDS[1], "seed": 2}, ()),
        ({"a,b": UUIDS[0]}, {"a,b": UUIDS[1]}, ()),
        ({"stream": UUIDS[0]}, {"stream": UUIDS[1]}, ()),
    ],
)
@pytest.mark.parametrize("kind", ["http", "value"])
def test_a_rule_is_advised_only_where_it_makes_one_key_of_what_is_not_the_prompt(ours, theirs, rule, kind):
    near = nearest(document(kind=kind, **ours), [("k", document(kind=kind, **theirs))])
    assert near is not None
    assert near.rule == rule
    if rule:
        assert advice(near) == [f'it looks generated; to leave it out of the key: ignore_fields = "{", ".join(rule)}"']
    else:
        assert "ignore_fields" not in render(near)


def test_what_lies_around_the_body_is_never_in_a_rule():
    ours = document(trace=UUIDS[0])
    near = nearest(ours, [("k", document(trace=UUIDS[1]).replace(b'"sample":0', b'"sample":1'))])
    assert near is not None
    assert near.rule == ()


def test_what_the_model_reads_is_named_where_it_looks_generated():
    near = nearest(document(messages=said(UUIDS[0])), [("k", document(messages=said(UUIDS[1])))])
    assert near is not None
    assert advice(near) == [
        "it looks generated, but the model reads it (in messages): only the program can make it the same each time"
    ]


# --- for people ----------------------------------------------------------------------------------


def test_without_a_candidate_there_is_nothing_to_say():
    assert render(None) == ""


def test_the_explanation_is_for_people():
    found = [Difference(f"body.x{number}", "1", None) for number in range(12)]
    found[1] = Difference("body.prompt", '"' + "p" * 100 + '"', None)
    lines = render(Nearest("0123456789abcdef", found)).splitlines()
    assert lines[0] == "the nearest stored request is 0123456789ab…, which differs in:"
    assert lines[1] == "  body.x0: 1 here, absent there"
    assert lines[2] == f'  body.prompt: "{"p" * 59}… (102 characters) here, absent there'
    assert lines[-1] == "  and 2 more"
    assert len(lines) == 12


def test_the_very_same_request_is_told_with_what_else_is_known():
    assert render(Nearest("0123456789abcdef", [])) == "the very same request is stored as 0123456789ab…"
    told = render(Nearest("0123456789abcdef", [], note="it has expired"))
    assert told == "the very same request is stored as 0123456789ab…; it has expired"


def test_long_values_are_shown_around_the_place_where_they_differ():
    one, two = (f'"{"x" * 500} and then {word} {"y" * 500}"' for word in ("Paris", "London"))
    ours, theirs = shown(one, two)
    assert "Paris" in ours
    assert "London" in theirs
    assert ours.startswith("…xxxx")
    assert ours.endswith("… (1018 characters)")
    assert len(ours) < 90
    # A difference at the very end, and a text that is the beginning of the other.
    ours, theirs = shown('"' + "z" * 100 + '"', '"' + "z" * 100 + '!"')
    assert ours == "…" + "z" * 59 + '" (102 characters)'
    assert theirs == "…" + "z" * 58 + '!" (103 characters)'


def test_nothing_that_is_shown_moves_a_cursor():
    near = Nearest("k", [Difference("body.\x9b2J\u202e", '"\x9b\u202e"', '"' + "\u2028" * 200 + '"')])
    assert all(line.isprintable() for line in render(near).splitlines())
    assert len(render(near).splitlines()) == 2
