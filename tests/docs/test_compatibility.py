"""The compatibility table says what was noted of the tests' runs, all of it, and nothing failed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.sdk.cases import FOLDER, cases
from tests.sdk.sdks import installed

ROOT = Path(__file__).resolve().parents[2]


def tool():
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "tools" / "compatibility.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_is_noted():
    compatibility = tool()
    assert compatibility.PAGE.read_text(encoding="utf-8") == compatibility.rendered(compatibility.noted())


def test_no_cell_failed_when_it_was_noted():
    cells = {
        (row, column): value
        for found in tool().noted().values()
        for row, one in found.items()
        for column, value in one["cells"].items()
    }
    assert cells
    assert [cell for cell, value in cells.items() if value == "FAILED"] == []


@pytest.mark.skipif(FOLDER is None, reason="no recorded traffic")
@pytest.mark.skipif(not (installed("openai") or "").startswith("3."), reason="not the environment of today's SDKs")
def test_every_sdk_that_is_tested_here_is_noted_with_its_major_version():
    noted = tool().noted()["current"]
    for sdk, exchange in cases():
        column = f"sync {'stream' if exchange.stream else 'plain'}"
        assert noted[sdk.row]["cells"][column] == "works", sdk.row
