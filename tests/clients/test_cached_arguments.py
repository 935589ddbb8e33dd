"""What arguments count as: types count, objects count by their fields, and what cannot count is refused by name."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import math
import pathlib
import uuid
import zoneinfo

import pytest

from llm_cache import cached_call
from tests.clients.call_classes import Bits, Model, Odd, Open, Pair, Point, Slotted, Text, Tone, Word

NAIVE = dt.datetime.fromisoformat("2024-01-01T00:00:00")
EQUAL_BUT_DIFFERENT = [
    [1, 1.0, True, "1", b"1", decimal.Decimal(1), 1 + 0j],
    [0, 0.0, -0.0, False, None, "", b"", [], {}, (), set(), frozenset()],
    [[1, 2], (1, 2), {1, 2}, frozenset({1, 2}), {1: 2}, Pair(1, 2), [[1, 2]], [(1, 2)], ["list", 1, 2]],
    ["warm", Tone.WARM, Word.WARM, ["enum", "warm"], {"value": "warm"}, Text],
    [Bits.A, Bits.A | Bits.B, Bits(0), 1, 3],
    [Point(1), Point(1.0), Point(1, 2), {"x": 1, "y": None}, Slotted(1)],
    [Model(name="a"), Model(name="a", n=0), Model(name="a", n=1), {"name": "a", "n": 0}],
    [Open(), Open(a=1), Open(a=None), {}],
    [b"ab", bytearray(b"ab"), "ab", b"ab".hex()],
    [pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), pathlib.Path("a"), "a"],
    [dt.date(2024, 1, 1), NAIVE, "2024-01-01", dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
     dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")), NAIVE.replace(fold=1)],
    [dt.time(1), dt.timedelta(hours=1), dt.timezone(dt.timedelta(hours=1)), 3600],
    [uuid.UUID(int=1), str(uuid.UUID(int=1)), 1],
    [decimal.Decimal("1.0"), decimal.Decimal("1.00"), 1.0],
    [math.nan, math.inf, -math.inf, "nan", None],
    [10**30, 1e30, str(10**30), hex(10**30), ["int", hex(10**30)]],
    [collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), {"a": 1, "b": 2}],
    ["\ud83d", "\ud83d\ude00", "\U0001f600", ["str", "eda0bd"]],
    [{"a": 1}, {"a": 1.0}, {"a": True}, {1: 1}, {"1": 1}, [["a", 1]], [("a", 1)]],
    [..., None, "..."],
]  # fmt: skip


@pytest.fixture
def key(cache):
    @cached_call(cache=cache)
    def ask(x): ...

    return ask.cache_key


@pytest.mark.parametrize("values", EQUAL_BUT_DIFFERENT, ids=lambda values: repr(values[0]))
def test_types_count(key, values):
    values = [value for value in values if not isinstance(value, type)]
    for made in (lambda value: value, lambda value: [value], lambda value: {"a": {"b": value}}):
        keys = [key(made(value)) for value in values]
        assert len(set(keys)) == len(keys)


def test_what_is_the_same_is_the_same(key):
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
    assert key({3, 1, 2}) == key({2, 3, 1})
    assert key({(1,): 1, "a": 2}) == key({"a": 2, (1,): 1})
    assert key(float("nan")) == key(-math.nan)
    assert key(Point(1, [2])) == key(Point(1, [2]))
    assert key(Slotted(1)) == key(Slotted())
    assert key(Model(name="a")) == key(Model.model_validate({"name": "a"}))


def test_private_attributes_and_what_is_cached_on_an_object_do_not_count(key):
    model, point = Model(name="a"), Point(1)
    model._secret = 5
    point.__dict__["cached"] = 1
    assert key(model) == key(Model(name="a"))
    assert key(point) == key(Point(1))


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (Odd(), r"x is of type tests\.clients\.call_classes\.Odd"),
        ([1, {"a": (Odd(),)}], r"x\[1\]\['a'\]\[0\] is of type"),
        (Point(1, Odd()), r"x\.y is of type"),
        (Model.model_construct(name=Odd()), r"x\.name is of type"),
        (Text("a"), "call_classes.Text"),
        (collections.defaultdict(int), "collections.defaultdict"),
        (Point, "x is of type type"),
        (len, "x is of type builtin_function_or_method"),
        (lambda: 1, "x is of type function"),
        (object(), "x is of type object"),
    ],
)
def test_what_cannot_count_is_refused_before_the_call(cache, value, where):
    called = []

    @cached_call(cache=cache)
    def ask(a, x=1):
        called.append(1)

    for asking in (ask, ask.cache_key, ask.invalidate):
        with pytest.raises(TypeError, match=rf"ask\(\): the argument 'x' .*{where}.*ignore=\('x',\)"):
            asking("fine", x=value)
    assert called == []


def test_a_loop_is_refused(key):
    loop = []
    loop.append({"a": loop})
    with pytest.raises(TypeError, match="nested more than 100 deep"):
        key(loop)


def test_a_generator_function_refuses_at_the_call_too(cache):
    @cached_call(cache=cache)
    def items(x):
        yield 1

    @cached_call(cache=cache)
    async def async_items(x):
        yield 1

    for function in (items, async_items):
        with pytest.raises(TypeError, match="argument 'x'"):
            function(Odd())
        with pytest.raises(TypeError, match="missing"):
            function()


def test_what_the_sdks_write_for_not_given(key):
    openai = pytest.importorskip("openai")
    not_given = openai.NOT_GIVEN
    assert key(not_given) == key(type(not_given)())
    assert len({key(not_given), key(None), key(openai.Omit())}) == 3


def test_no_code_of_a_class_runs(key):
    from tests.clients import call_classes

    point = Point(1)
    call_classes.ran.clear()
    key(point)
    assert call_classes.ran == []
