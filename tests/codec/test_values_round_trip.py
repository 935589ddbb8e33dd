"""Promise 1 for values: the same type, equal, and rebuilt for each caller."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import math
import pathlib
import struct
import uuid
import zoneinfo
from typing import Any

import pydantic
import pydantic_core
import pytest
from hypothesis import given, settings, strategies as st

from llm_cache.codec.values import MAX_DEPTH, decode_value, encode_value, viewable
from llm_cache.errors import FormatError, UncacheableError
from tests.codec import value_classes as classes


def same(one: object, other: object) -> bool:
    """Equal in value and type all the way down; NaN is NaN, and 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        # The order counts.
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (set, frozenset)):
        return len(one) == len(other) and all(any(same(part, found) for found in other) for part in one)
    if isinstance(one, decimal.Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, pydantic.BaseModel):
        return all(same(getattr(one, name), getattr(other, name)) for name in pydantic.BaseModel.__slots__)
    if dataclasses.is_dataclass(one):
        names = [*getattr(one, "__dict__", ()), *getattr(type(one), "__slots__", ())]
        return all(same(getattr(one, name, None), getattr(other, name, None)) for name in names) and (
            not isinstance(one, dict) or same([*dict.items(one)], [*dict.items(other)])
        )
    return one == other


def again(value: Any) -> Any:
    data = encode_value(value)
    first, second = decode_value(data), decode_value(data)
    assert same(first, second)
    return first


_text = st.text(max_size=10) | st.text(st.characters(categories=["Cs", "Ll"]), max_size=5)
_times = st.timezones() | st.just(dt.timezone.utc) | st.just(dt.timezone(dt.timedelta(seconds=-3723), "odd"))
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | _text
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.none() | _times, allow_imaginary=True)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | _text.filter(lambda text: "\0" not in text).map(pathlib.PurePosixPath)
    | st.sampled_from([*classes.Colour, *classes.Level, *classes.Word, classes.Bits.A])
)
# A signalling NaN cannot be a key.
_hashable = leaves.filter(lambda leaf: not isinstance(leaf, decimal.Decimal) or not leaf.is_snan())
keys = _hashable | st.tuples(st.integers(), _text) | st.frozensets(st.integers(), max_size=3)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
        | st.builds(classes.Point, inner, inner)
        | st.builds(classes.Slotted, inner, inner)
        | st.builds(classes.Model, name=st.text(max_size=4), things=st.lists(inner, max_size=3))
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(values)
def test_every_value_comes_back(value: object) -> None:
    assert same(again(value), value)


@settings(deadline=None)
@given(values)
def test_every_value_can_be_shown_as_json(value: object) -> None:
    json.dumps(viewable(encode_value(value)), allow_nan=False)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -math.inf,
        -0.0,
        5e-324,
        2**63,
        2**64 - 1,
        2**64,
        -(2**63),
        -(2**63) - 1,
        10**5000,
        "",
        "\0",
        "\ud800",
        "\udfff\ud800",
        "🦜",
        b"",
        [],
        (),
        {},
        set(),
        frozenset(),
        ((),),
        {(): {}},
        [[[(1, [2])]]],
        {"1": 1, 1: 2, 1.5: 3, None: 4, b"1": 5, (1,): 6, frozenset({1}): 7},
        {"\ud800": 1},
        {"b": 1, "a": 2},
        {True, 2, "x", None, (1, 2)},
        dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        dt.datetime.max,
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, microseconds=7))),
        dt.timedelta(days=-999999999),
        dt.timedelta.max,
        decimal.Decimal("-0E-30"),
        decimal.Decimal("sNaN123"),
        decimal.Decimal("1." + "1" * 60),
        uuid.UUID(int=0),
        pathlib.Path("a/../b"),
        pathlib.PureWindowsPath("C:\\x"),
        zoneinfo.ZoneInfo("UTC"),
        classes.Colour.AZURE,
        classes.Level.LOW,
        classes.Word.YES,
        classes.Frozen("x", ({1: (2,)},)),
        {classes.Frozen("key"): classes.Colour.RED},
    ],
    ids=lambda value: type(value).__name__,
)
def test_odd_values_come_back(value: object) -> None:
    assert same(again(value), value)


def test_members_come_back_as_themselves() -> None:
    assert again([classes.Colour.RED, classes.Word.YES])[0] is classes.Colour.RED
    assert type(again(classes.Word.YES)) is classes.Word


def test_no_context_rounds_a_number() -> None:
    value = decimal.Decimal("1.23456789012345")
    with decimal.localcontext() as context:
        context.prec = 3
        assert again(value).as_tuple() == value.as_tuple()


def test_callers_share_nothing() -> None:
    inner: list[int] = []
    value = {"a": inner, "b": inner, "c": classes.Point(inner)}
    data = encode_value(value)
    one, other = decode_value(data), decode_value(data)
    one["a"].append(1)
    one["c"].x.append(2)
    assert other == value == {"a": [], "b": [], "c": classes.Point([])}
    assert one["b"] == []


def test_dataclasses_keep_their_whole_state_and_run_nothing() -> None:
    point = classes.Point({"a": (1, 2)}, tags=["t"])
    point.unknown = 5
    slotted = classes.Slotted({1}, None)
    both = classes.WithSlotBase(1)
    both.extra = "slot"
    half = object.__new__(classes.Slotted)
    object.__setattr__(half, "a", 1)
    classes.ran.clear()
    values = again([point, slotted, both, half, classes.Outer.Inner(3), classes.Checked(1)])
    assert classes.ran == []
    assert values[:3] == [point, slotted, both]
    assert (values[0].unknown, values[2].extra, values[2].x) == (5, "slot", 1)
    assert not hasattr(values[3], "b")
    assert values[4:] == [classes.Outer.Inner(3), classes.Checked(1)]


def test_a_dataclass_that_is_a_dict_keeps_both() -> None:
    output = classes.HubOutput("hi", 0.5)
    output["more"] = 1
    output.score = 0.75
    back = again(output)
    assert type(back) is classes.HubOutput
    assert dict(back) == {"text": "hi", "score": 0.5, "more": 1}
    assert back.score == 0.75


def test_models_keep_their_whole_state_and_run_nothing() -> None:
    model = classes.Model(name="a", inner=classes.Model(name="b", number=7), things=[(1,), {2}])
    model._private = 9
    assert model.shout == "A"
    loose = classes.Model.model_construct(name=5, stray=1)
    classes.ran.clear()
    back, loose_back = again([model, loose])
    assert classes.ran == []
    for one, other in ((back, model), (loose_back, loose)):
        assert one == other
        assert repr(one) == repr(other)
        assert one.__dict__ == other.__dict__
        assert one.model_fields_set == other.model_fields_set
        assert one.model_dump(warnings=False) == other.model_dump(warnings=False)
        assert one.model_dump(exclude_unset=True, warnings=False) == other.model_dump(
            exclude_unset=True, warnings=False
        )
    assert back._private == 9
    assert back.shout == "A"


def test_models_of_every_kind() -> None:
    extra = classes.Open(id="1", more={"deep": [1]}, other=None)
    values = [
        extra,
        classes.FrozenModel(n=1),
        {classes.FrozenModel(n=2): 1},
        classes.Box[int](content=1),
        classes.Box[classes.Model](content=classes.Model(name="x")),
        classes.Box[classes.Box[list[str]]](content=classes.Box[list[str]](content=["x"])),
        classes.Box[Any](content=1),
        classes.Box[dict[str, int]](content={"a": 1}),
        classes.Box[None](content=None),
        classes.Box(content=1),
        classes.Boxes([classes.Box[int](content=1)]),
    ]
    back = again(values)
    assert back == values
    assert [type(value) for value in back] == [type(value) for value in values]
    assert back[0].model_extra == extra.model_extra
    assert back[0].more == {"deep": [1]}
    assert again(pydantic.TypeAdapter(dt.datetime).validate_python("2024-01-01T00:00:00+02:00")).tzinfo == (
        pydantic_core.TzInfo(7200)
    )


REFUSED = [
    (object(), "value is of type object,"),
    ({"a": [1, {"b": classes.NotKept()}]}, "value['a'][1]['b'] is of type tests.codec.value_classes.NotKept,"),
    ({(1, classes.NotKept()): 1}, "value.keys()[0][1] is of type tests.codec.value_classes.NotKept"),
    (classes.Point(1, [lambda: 1]), "value.y[0] is of type function,"),
    (classes.Model.model_construct(name="x", things=[classes.StrChild("x")]), "value.things[0] is of type"),
    (classes.DictChild(), "DictChild"),
    ({10**5000: [object()]}, "value[int][0]"),
    (classes.Bits.A | classes.Bits.B, "no name of its own"),
    (classes.local_class()(), "inside a function"),
    (classes.SlotModel(), "__slots__"),
    (classes.Lone("x"), "Lone"),
    (bytearray(b"x"), "bytearray"),
    (range(3), "range"),
    (1j, "complex"),
    (iter([]), "list_iterator"),
    (classes, "module"),
    (classes.Point, "is of type type,"),
    (ValueError("x"), "ValueError"),
    (struct.Struct("i"), "Struct"),
    (classes.Box[classes.local_class()], "ModelMetaclass"),
]


@pytest.mark.parametrize(("value", "said"), REFUSED, ids=lambda part: type(part).__name__)
def test_what_cannot_be_kept_is_named_with_its_place(value: object, said: str) -> None:
    with pytest.raises(UncacheableError) as raised:
        encode_value(value)
    assert said in str(raised.value)
    assert str(raised.value).startswith("value")


def test_a_class_that_is_not_where_it_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    value = classes.Frozen("x")
    data = encode_value(value)
    monkeypatch.setattr(classes, "Frozen", classes.Point)
    with pytest.raises(UncacheableError, match="another class"):
        encode_value(value)
    with pytest.raises(FormatError, match="no longer has the fields"):
        decode_value(data)
    monkeypatch.delattr(classes, "Frozen")
    with pytest.raises(UncacheableError, match="cannot be found"):
        encode_value(value)
    with pytest.raises(FormatError, match="cannot be found"):
        decode_value(data)


def test_generics_over_what_cannot_be_named_are_refused() -> None:
    with pytest.raises(UncacheableError, match="inside a function"):
        encode_value(classes.Box[classes.local_class()].model_construct())
    with pytest.raises(UncacheableError, match="generic argument"):
        encode_value(classes.Box[int | str](content=1))


def test_depth_and_size_are_bounded() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert same(again(deep), deep)
    with pytest.raises(UncacheableError, match="deep"):
        encode_value([deep])
    tuples: Any = 1
    for _ in range(MAX_DEPTH):
        tuples = (tuples,)
    assert same(again(tuples), tuples)
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(UncacheableError, match="itself"):
        encode_value(circle)


@pytest.mark.slow
def test_a_value_that_unfolds_without_end_is_refused() -> None:
    twice: Any = [1]
    for _ in range(40):
        twice = [twice, twice]
    with pytest.raises(UncacheableError, match="parts"):
        encode_value(twice)


def test_views_read_like_json() -> None:
    value = {
        "model": classes.Open(id="1", more=1),
        "point": classes.Point((1, 2), {3}),
        "hub": classes.HubOutput("hi"),
        "colour": classes.Colour.RED,
        "box": classes.Box[int](content=1),
        "bytes": b"\xff",
        "nan": math.nan,
        "when": dt.datetime(2024, 1, 1, tzinfo=pydantic_core.TzInfo(3600)),
        "path": pathlib.PurePosixPath("/x"),
        "big": 2**70,
        "bigger": 2**4000,
        1: {(1, 2): decimal.Decimal("1.50")},
    }
    assert viewable(encode_value(value)) == {
        "model": {"id": "1", "more": 1},
        "point": {"x": [1, 2], "y": [3], "tags": []},
        "hub": {"text": "hi", "score": None},
        "colour": "Colour.RED",
        "box": {"content": 1},
        "bytes": {"base64": "/w=="},
        "nan": "nan",
        "when": "2024-01-01T00:00:00+01:00",
        "path": "/x",
        "big": 2**70,
        "bigger": hex(2**4000),
        "1": {"[1, 2]": "1.50"},
    }
