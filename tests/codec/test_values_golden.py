"""Values as earlier versions wrote them, which every later one must read.

`python -m tests.codec.test_values_golden` adds what is missing in the file and never changes what is there.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import pathlib
import uuid
import zoneinfo
from pathlib import Path
from typing import Any

import pydantic_core
import pytest

from llm_cache.codec.values import decode_value, encode_value
from tests.codec import value_classes as classes

FILE = Path(__file__).resolve().parent.parent / "golden" / "values.json"
VALUES: dict[str, Any] = {
    "json": {"text": "grüezi", "list": [1, -2.5, True, False, None, {}], "nested": {"a": {"b": []}}},
    "bytes": b"\x00\xff",
    "integers": [2**63, 2**64 - 1, 2**64, -(2**63) - 1, 2**100, -(2**100)],
    "floats": [float("inf"), float("-inf"), 5e-324],
    "surrogates": ["\ud800", {"\udfff": 1}],
    "collections": [(1, (2,)), {3}, frozenset({4}), {(1, 2): "x", 5: "y"}],
    "times": [
        dt.datetime(2024, 2, 29, 12, 30, 15, 999999),
        dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3), "here")),
        dt.datetime(2024, 1, 1, tzinfo=pydantic_core.TzInfo(3600)),
        dt.date(1999, 12, 31),
        dt.time(23, 59, 59, 1),
        dt.timedelta(days=-1, microseconds=1),
        dt.timezone.utc,
        zoneinfo.ZoneInfo("UTC"),
    ],
    "numbers": [decimal.Decimal("1.50"), decimal.Decimal("-0E-5"), uuid.UUID(int=7)],
    "paths": [pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("C:\\x")],
    "enums": [classes.Colour.RED, classes.Word.YES, classes.Bits.A],
    "dataclasses": [classes.Point(1, {"a": (2,)}), classes.Slotted(b"x"), classes.HubOutput("hi", 0.5)],
    "models": [
        classes.Model(name="a", inner=classes.Model(name="b")),
        classes.Open(id="1", more=[1]),
        classes.Box[int](content=1),
        classes.Box[dict[str, classes.Model]](content={"x": classes.Model(name="y")}),
    ],
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_earlier_versions_are_read_for_ever(name: str) -> None:
    back = decode_value(bytes.fromhex(json.loads(FILE.read_text(encoding="utf-8"))[name]))
    assert back == VALUES[name]
    assert repr(back) == repr(VALUES[name])


def main() -> None:
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for name, value in VALUES.items():
        kept.setdefault(name, encode_value(value).hex())
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
