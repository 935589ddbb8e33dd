"""Promise 2 and promise 3 against records that somebody has made up: nothing runs, nothing is imported."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import types
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given, settings, strategies as st

from llm_cache.codec import values_format as form
from llm_cache.codec.values import decode_value, encode_value, viewable
from llm_cache.codec.values_classes import _shape
from llm_cache.errors import FormatError
from tests.codec import value_classes as classes

pack = msgspec.msgpack.encode
HERE = "tests.codec.value_classes"


def ext(tag: int, parts: object) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(tag, parts if isinstance(parts, bytes) else pack(parts))


def tagged(root: object, *table: object) -> bytes:
    return form.joined(pack(list(table)), pack(root))


def naming(reference: object, root: object = None, shape: bytes = b"") -> bytes:
    return tagged(root if root is not None else ext(form.MODEL, [0, {}, None, [], None]), [reference, shape])


def shape_of(cls: type) -> bytes:
    return _shape(cls)


REFERENCES: list[Any] = [
    "os:system",
    "subprocess:Popen",
    "subprocess:run",
    "builtins:eval",
    "builtins:type",
    "builtins:object",
    "collections:OrderedDict",
    "logging:Logger",
    "types:FunctionType",
    "typing:TypeVar",
    "typing:Any",
    "pydantic:BaseModel.model_validate",
    "pydantic.main:ModelMetaclass",
    f"{HERE}:NotKept",
    f"{HERE}:local_class",
    f"{HERE}:ran",
    f"{HERE}:T",
    f"{HERE}:DictChild",
    f"{HERE}:Lone",
    f"{HERE}:Outer",
    f"{HERE}:Outer.Missing",
    f"{HERE}:Point.armed",
    f"{HERE}:Point.armed.fset",
    f"{HERE}:Point.__init__",
    f"{HERE}:Point.__class__",
    f"{HERE}:Point.__mro__",
    f"{HERE}:Model.__pydantic_validator__",
    f"{HERE}:",
    ":Point",
    "",
    "Point",
    f"{HERE}:Point:Point",
    f"{HERE}: Point",
    f"{HERE}:Point\0",
    "../tests/codec/value_classes:Point",
    5,
    None,
    [],
    [f"{HERE}:Box"],
    [f"{HERE}:Box", []],
    [f"{HERE}:Box", ["os:system"]],
    [f"{HERE}:Box", [f"{HERE}:NotKept"]],
    [f"{HERE}:Box", ["builtins:int", "builtins:int"]],
    [f"{HERE}:Model", ["builtins:int"]],
    ["builtins:list", ["builtins:int"]],
    ["os:system", ["builtins:int"]],
    [["builtins:dict", []], []],
    {"a": 1},
    [[[[[f"{HERE}:Box", ["builtins:int"]]]]]],
]


@pytest.mark.parametrize("reference", REFERENCES, ids=repr)
def test_no_reference_leads_to_anything_but_a_kept_class(reference: object) -> None:
    classes.ran.clear()
    loaded = set(sys.modules)
    for root in (
        ext(form.MODEL, [0, {}, None, [], None]),
        ext(form.DATACLASS, [0, {}, None, None]),
        ext(form.MEMBER, [0, "RED"]),
        1,
    ):
        # With the right shape, as somebody would who knows how.
        for shape in (b"", shape_of(type)):
            with pytest.raises(FormatError):
                decode_value(naming(reference, root, shape))
    assert classes.ran == []
    assert set(sys.modules) == loaded


def test_no_record_makes_us_import() -> None:
    code = """
import sys
import pydantic, openai, anthropic
from llm_cache.codec import values_format as form
from llm_cache.codec.values import decode_value
from llm_cache.errors import FormatError
import msgspec
body = msgspec.msgpack.encode(1)
for module in sys.argv[1:]:
    sys.modules.pop(module, None)
    loaded = set(sys.modules)
    try:
        decode_value(form.joined(msgspec.msgpack.encode([[f"{module}:Stream", b""]]), body))
    except FormatError:
        assert set(sys.modules) == loaded, set(sys.modules) - loaded
        continue
    raise SystemExit(module)
"""
    pytest.importorskip("openai")
    pytest.importorskip("anthropic")
    names = ["antigravity", "this", "openai.cli", "openai._client", "openai.types.../cli", "anthropic.lib", "no.one"]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_sdk_is_imported_that_is_not_there_already() -> None:
    code = """
import sys
from llm_cache.codec import values_format as form
from llm_cache.codec.values import decode_value
from llm_cache.errors import FormatError
import msgspec
for name in ("openai.types.chat.chat_completion:ChatCompletion", "anthropic.types.message:Message"):
    try:
        decode_value(form.joined(msgspec.msgpack.encode([[name, b""]]), msgspec.msgpack.encode(1)))
    except FormatError:
        continue
    raise SystemExit("read")
assert not {"openai", "anthropic", "pydantic"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Trap(types.ModuleType):
    """A module that does something when it is asked for a name, as lazy ones do."""

    def __getattr__(self, name: str) -> object:
        classes.ran.append(f"Trap.{name}")
        return classes.Point


class Meta(type):
    def __getattribute__(cls, name: str) -> object:
        classes.ran.append(f"Meta.{name}")
        return super().__getattribute__(name)


def test_looking_up_runs_no_module_and_no_metaclass(monkeypatch: pytest.MonkeyPatch) -> None:
    trap = Trap("trap")
    trap.Nasty = Meta("Nasty", (), {"Inner": classes.Point})
    monkeypatch.setitem(sys.modules, "trap", trap)
    monkeypatch.setitem(sys.modules, "trap.none", None)
    monkeypatch.setitem(sys.modules, "trap.odd", classes.Point(1))
    classes.ran.clear()
    for reference in ("trap:Point", "trap:Nasty.Missing", "trap.none:Point", "trap.odd:x"):
        with pytest.raises(FormatError):
            decode_value(naming(reference))
    assert classes.ran == []


POINT, MODEL = [f"{HERE}:Point", shape_of(classes.Point)], [f"{HERE}:Model", shape_of(classes.Model)]
COLOUR = [f"{HERE}:Colour", shape_of(classes.Colour)]
SLOTTED = [f"{HERE}:Slotted", shape_of(classes.Slotted)]


def test_state_of_any_kind_runs_nothing() -> None:
    classes.ran.clear()
    point = decode_value(tagged(ext(form.DATACLASS, [0, {"armed": 1, "__class__": 2, "x": 3}, None, None]), POINT))
    assert type(point) is classes.Point
    model = decode_value(tagged(ext(form.MODEL, [0, {"name": 5}, {"x": 1}, ["name"], {"_private": 1}]), MODEL))
    assert type(model) is classes.Model
    assert classes.ran == []


@pytest.mark.parametrize(
    "root",
    [
        # A kind of thing used as another.
        (ext(form.MODEL, [0, {}, None, [], None]), POINT),
        (ext(form.DATACLASS, [0, {}, None, None]), MODEL),
        (ext(form.MEMBER, [0, "RED"]), POINT),
        (ext(form.DATACLASS, [0, {}, None, None]), COLOUR),
        # Places that are none.
        (ext(form.MODEL, [1, {}, None, [], None]), MODEL),
        (ext(form.MODEL, ["0", {}, None, [], None]), MODEL),
        (ext(form.MEMBER, [0, "GREEN"]), COLOUR),
        (ext(form.MEMBER, [0, []]), COLOUR),
        (ext(form.MEMBER, [0, "__class__"]), COLOUR),
        (ext(form.MEMBER, [0]), COLOUR),
        # State that is none.
        (ext(form.MODEL, [0, [], None, [], None]), MODEL),
        (ext(form.MODEL, [0, None, None, [], None]), MODEL),
        (ext(form.MODEL, [0, {}, 5, [], None]), MODEL),
        (ext(form.MODEL, [0, {}, None, [], []]), MODEL),
        (ext(form.MODEL, [0, {}, None, [[]], None]), MODEL),
        (ext(form.MODEL, [0, {}, None, 5, None]), MODEL),
        (ext(form.MODEL, [0, {}]), MODEL),
        (ext(form.MODEL, {}), MODEL),
        (ext(form.DATACLASS, [0, 5, None, None]), POINT),
        (ext(form.DATACLASS, [0, {}, {"x": 1}, None]), POINT),
        (ext(form.DATACLASS, [0, {}, None, [1, 2]]), POINT),
        (ext(form.DATACLASS, [0, {"a": 1}, None, None]), SLOTTED),
        (ext(form.DATACLASS, [0, None, {"c": 1}, None]), SLOTTED),
        (ext(form.DATACLASS, [0, None, {"__class__": 1}, None]), SLOTTED),
        (ext(form.DATACLASS, [0, None, [1], None]), SLOTTED),
        # A changed class.
        (1, [POINT[0], b"12345678"]),
        (1, [POINT[0]]),
        (1, POINT[0]),
        (1, 5),
        # Collections that are none.
        (ext(form.TUPLE, {}),),
        (ext(form.TUPLE, b""),),
        (ext(form.SET, [[]]),),
        (ext(form.SET, [{}]),),
        (ext(form.DICT, [1]),),
        (ext(form.DICT, [[], 1]),),
        (ext(form.STR, b"\xff"),),
        (ext(0, []),),
        (ext(99, []),),
        (ext(-5, []),),
        # Values that are none.
        (ext(form.STDLIB, []),),
        (ext(form.STDLIB, [99]),),
        (ext(form.STDLIB, [-1, "x"]),),
        (ext(form.STDLIB, ["0"]),),
        (ext(form.STDLIB, [True, 5]),),
        (ext(form.STDLIB, [0, 2024, 13, 1, 0, 0, 0, 0, None, 0]),),
        (ext(form.STDLIB, [0, 2024]),),
        (ext(form.STDLIB, [0, 2024, 1, 1, 0, 0, 0, 0, "UTC", 0]),),
        (ext(form.STDLIB, [1, 0]),),
        (ext(form.STDLIB, [3, 10**12]),),
        (ext(form.STDLIB, [5, "../../etc/passwd"]),),
        (ext(form.STDLIB, [5, "/etc/passwd"]),),
        (ext(form.STDLIB, [5, "No/Where"]),),
        (ext(form.STDLIB, [6, "one"]),),
        (ext(form.STDLIB, [6, 1.5]),),
        (ext(form.STDLIB, [7, b"short"]),),
        (ext(form.STDLIB, [8, 5]),),
        (ext(form.STDLIB, [8, "a", "b"]),),
    ],
    ids=lambda root: re.sub(" at 0x[0-9a-f]+", "", repr(root)),
)
def test_what_does_not_fit_is_a_format_error(root: tuple[object, ...]) -> None:
    classes.ran.clear()
    with pytest.raises(FormatError):
        decode_value(tagged(*root))
    assert classes.ran == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\1",
        b"\2",
        b"\3\x01",
        b"\1\x01\x01",
        b"\1\xdd\xff\xff\xff\xff",
        b"\1\xdf\xff\xff\xff\xff",
        b"\1\xc6\xff\xff\xff\xff",
        b"\1\xc9\xff\xff\xff\xff\x05",
        b"\1" + b"\x91" * 1_000_000,
        b"\1" + b"\x81\xa1a" * 1_000_000,
        b"\1\x81\x91\x80\x01",
        b"\1\xa2\xff\xfe",
        b"\1\xd4\x03\x90",
        b"\2\0\0\0\0",
        b"\2\xff\xff\xff\xff\x90\x01",
        b"\2\1\0\0\0\x90",
        b"\2\1\0\0\0\x01\x01",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_garbage_is_a_format_error(data: bytes) -> None:
    for read in (decode_value, viewable):
        if read is viewable and data == b"\2\1\0\0\0\x01\x01":
            continue  # a view does not look at classes that nobody uses
        with pytest.raises(FormatError):
            read(data)


def test_nesting_of_any_depth_is_a_format_error() -> None:
    root: object = 1
    for _ in range(3000):
        root = ext(form.TUPLE, [root])
    data = tagged(root)
    for read in (decode_value, viewable):
        with pytest.raises(FormatError, match="Recursion"):
            read(data)


@settings(max_examples=500)
@given(st.binary(max_size=100), st.sampled_from([b"", b"\1", b"\2\1\0\0\0\x90"]))
def test_random_bytes_are_read_or_refused(data: bytes, start: bytes) -> None:
    for read in (decode_value, viewable):
        try:
            read(start + data)
        except FormatError:
            continue


def test_every_flip_of_a_value_is_read_or_refused_and_runs_nothing() -> None:
    value = [
        classes.Model(name="a", inner=classes.Model(name="b"), things=[(1, {2})]),
        classes.Point(classes.Slotted(1), {(1, 2): classes.Colour.RED}),
        {"\ud800": 2**80, "box": classes.Box[int](content=1)},
    ]
    data, chance = encode_value(value), random.Random(3)
    loaded = set(sys.modules)
    classes.ran.clear()
    for place in range(len(data)):
        for _ in range(6):
            broken = bytearray(data)
            broken[place] ^= chance.randrange(1, 256)
            for read in (decode_value, viewable):
                try:
                    read(bytes(broken))
                except FormatError:
                    continue
    assert classes.ran == []
    assert set(sys.modules) == loaded


def test_truncated_values_are_refused() -> None:
    for value in ({"a": [1, 2.5, "x" * 100]}, classes.Point(1, (2,))):
        data = encode_value(value)
        for length in range(len(data)):
            with pytest.raises(FormatError):
                decode_value(data[:length])


def test_pydantic_of_version_1_is_not_taken_for_version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_value(classes.Open())
    monkeypatch.setitem(sys.modules, "pydantic.main", types.SimpleNamespace(BaseModel=type("BaseModel", (), {})))
    with pytest.raises(FormatError):
        decode_value(data)
    monkeypatch.delitem(sys.modules, "pydantic.main")
    with pytest.raises(FormatError):
        decode_value(data)
    monkeypatch.undo()
    assert isinstance(decode_value(data), pydantic.BaseModel)
