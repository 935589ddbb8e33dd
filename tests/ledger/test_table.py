"""The user's own prices: how they may be written, and which model a row means."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llm_cache.errors import ConfigError
from llm_cache.ledger.table import Price, price_table, row_for, undated


def where(path):
    return ".".join(("pricing_table", *path))


ROW = {"input": Decimal("0.03"), "output": Decimal("0.06")}
PRICE = Price(Decimal("0.03"), Decimal("0.06"))


@pytest.mark.parametrize(
    "written",
    [
        {"openai": {"gpt-3": {"5-turbo": ROW}}},  # what TOML makes of openai.gpt-3.5-turbo
        {"openai": {"gpt-3.5-turbo": ROW}},
        {"openai.gpt-3.5-turbo": ROW},
        {"openai": {"gpt-3.5-turbo": PRICE}},
    ],
)
def test_nested_and_dotted_are_one(written):
    assert price_table(written, where) == {"openai": {"gpt-3.5-turbo": PRICE}}


def test_a_row_may_have_a_longer_name_beside_it():
    table = price_table({"openai": {"gpt-4": {**ROW, "1": {"input": 1}}}}, where)
    assert table == {"openai": {"gpt-4": PRICE, "gpt-4.1": Price(Decimal(1))}}


def test_floats_mean_what_is_written():
    assert price_table({"a.b": {"input": 0.1, "output": 1e-7}}, where)["a"]["b"] == Price(
        Decimal("0.1"), Decimal("1E-7")
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (7, "must be a table"),
        ({"gpt-4": ROW}, "provider.model"),
        ({"openai": {"gpt-4": {"inptu": 1}}}, "'inptu'"),
        ({"openai": {"gpt-4": {"output": 1}}}, "no input price"),
        ({"openai": {"gpt-4": {}}}, "no input price"),
        ({"openai": {"gpt-4": {"input": -1}}}, "from 0"),
        ({"openai": {"gpt-4": {"input": float("nan")}}}, "from 0"),
        ({"openai": {"gpt-4": {"input": Decimal("Infinity")}}}, "from 0"),
        ({"openai": {"gpt-4": {"input": "0.03"}}}, "from 0"),
        ({"openai": {"gpt-4": {"input": True}}}, "from 0"),
        ({"openai": {"gpt-4": {"input": None}}}, "from 0"),
        ({"openai": {"gpt-4": {"input": 10_000_000}}}, "from 0"),
        ({"openai": {7: ROW}}, "no text"),
        ({"openai": {"gpt-4": ROW}, "openai.gpt-4": ROW}, "two rows"),
    ],
)
def test_what_is_wrong_is_named(written, said):
    with pytest.raises(ConfigError, match="pricing_table") as caught:
        price_table(written, where)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-3-opus-20240229", "claude-3-opus"),
        ("claude-3-opus@20240229", "claude-3-opus"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ("gpt-4-0613", "gpt-4"),
        ("mistral-large-2407", "mistral-large"),
        ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash-preview"),
        ("gpt-4-1106-preview", None),
        ("gpt-4-turbo", None),
        ("gemini-1.5-pro-002", None),
        ("llama-3-8192", None),
        ("gpt-4-9999", None),
        ("x-2024-13-45", None),
        ("-latest", None),
        ("gpt-4", None),
    ],
)
def test_what_a_trailing_date_is(model, name):
    assert undated(model) == name


def test_a_row_matches_exactly_or_without_one_date_and_never_by_its_beginning():
    table = {"openai": {"gpt-4": PRICE, "gpt-4-0314": Price(Decimal(9))}}
    assert row_for(table, "openai", "gpt-4") is PRICE
    assert row_for(table, "openai", "gpt-4-0613") is PRICE
    assert row_for(table, "openai", "gpt-4-0314") == Price(Decimal(9))
    for other in ("gpt-4-turbo", "gpt-4o", "gpt-4-turbo-2024-04-09", "gpt", "gpt-4-0613-2024-01-01"):
        assert row_for(table, "openai", other) is None
    assert row_for(table, "azure", "gpt-4") is None


def test_a_dated_row_is_not_for_other_dates():
    table = {"openai": {"gpt-4o-2024-05-13": PRICE}}
    assert row_for(table, "openai", "gpt-4o-2024-08-06") is None
    assert row_for(table, "openai", "gpt-4o") is None
