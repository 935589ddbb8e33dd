"""JSON values, and the many ways to write one. Independent of the code under test: it holds no tests."""

from __future__ import annotations

import json
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.one_of(
    st.integers(-(10**45), 10**45),
    st.integers(-20, 20),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Decimal(repr(number))),
    st.sampled_from([Decimal(text) for text in ("0.1", "0.10000000000000001", "1e-4", "1e-5", "1e40", "1e39", "-0")]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def spelled(value: Any, chance: Random) -> str:
    """One of the texts that mean this value."""
    space = "".join(chance.choices(" \t\r\n", k=chance.choice([0, 0, 1, 2])))
    return space + _spelled(value, chance) + space


def _spelled(value: Any, chance: Random) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return _text(value, chance)
    if isinstance(value, (int, Decimal)):
        return _number(Decimal(value), chance)
    if isinstance(value, list):
        return "[" + ",".join(spelled(item, chance) for item in value) + "]"
    members = list(value.items())
    chance.shuffle(members)
    return "{" + ",".join(f"{spelled(name, chance)}:{spelled(item, chance)}" for name, item in members) + "}"


def _text(value: str, chance: Random) -> str:
    return '"' + "".join(_character(character, chance) for character in value) + '"'


def _character(character: str, chance: Random) -> str:
    short = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\", "/": r"\/"}
    if character in short and chance.random() < 0.5:
        return short[character]
    if character < " " or character in '"\\' or chance.random() < 0.2:
        units = character.encode("utf-16-be")
        escapes = [f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)]
        return "".join(chance.choice([escape, escape[:2] + escape[2:].upper()]) for escape in escapes)
    return character


def _number(value: Decimal, chance: Random) -> str:
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)) or "0"
    assert isinstance(exponent, int)
    if not any(digits):
        sign = chance.choice([0, 1])
    zeros = chance.choice([0, 0, 0, 1, 3])
    text, exponent = text + "0" * zeros, exponent - zeros
    if abs(exponent) < 60 and chance.random() < 0.5:
        # Without an exponent.
        if exponent >= 0:
            whole, fraction = text + "0" * exponent, ""
        else:
            padded = text.rjust(1 - exponent, "0")
            whole, fraction = padded[:exponent], padded[exponent:]
        tail = ""
    else:
        cut = chance.randint(1, len(text))
        whole, fraction = text[:cut], text[cut:]
        exponent += len(fraction)
        mark = chance.choice("eE") + (chance.choice(["", "+"]) if exponent >= 0 else "-")
        tail = mark + chance.choice(["", "0"]) + str(abs(exponent)) if exponent or chance.random() < 0.5 else ""
    whole = whole.lstrip("0") or "0"
    if not fraction and chance.random() < 0.3:
        fraction = "0"
    return ("-" if sign else "") + whole + (f".{fraction}" if fraction else "") + tail


def meaning(text: str) -> object:
    """What a JSON text means, as something that compares equal exactly when it means the same."""
    return _tagged(json.loads(text, parse_int=Decimal, parse_float=Decimal))


def _tagged(value: Any) -> object:
    if isinstance(value, dict):
        return ("object", frozenset((name, _tagged(item)) for name, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(_tagged(item) for item in value))
    return (type(value).__name__, value)
