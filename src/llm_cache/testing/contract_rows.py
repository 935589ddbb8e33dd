"""Rows and filters for the tests of stores. It must hold no test."""

from __future__ import annotations

import hashlib
from typing import Any

from llm_cache.core.model import Row
from llm_cache.stores.base import EVERYTHING, Filter

ODD_NAMES = ("", " ", "\0", "a\0b", "ünïcode", "日本語 🦜", "per%cent_under", "'; DROP TABLE rows; --", "x" * 5000)


def a_row(number: int = 0, **changes: Any) -> Row:
    """A row that differs from all others by its number, and from the usual one by the changes."""
    row = Row(
        key=hashlib.sha256(number.to_bytes(8, "big")).digest(),
        value=b"value %d" % number,
        kind="http",
        provider="openai",
        model="gpt-4o",
        endpoint="/v1/chat/completions",
        namespace="default",
        stream=False,
        status=200,
        created_at=1_700_000_000.0 + number,
        expires_at=None,
        input_tokens=10,
        output_tokens=20,
        cost_pico=1_234_567,
        latency_ms=812.5,
    )
    return row._replace(**changes)


FILTERS = (
    EVERYTHING,
    Filter(provider="openai"),
    Filter(provider="nobody"),
    Filter(model="b"),
    Filter(endpoint="/v1/y"),
    Filter(namespace=""),
    Filter(namespace="team"),
    Filter(created_before=30.0),
    Filter(created_since=30.0),
    Filter(created_since=10.0, created_before=11.0),
    Filter(expired_at=3.0),
    Filter(live_at=3.0),
    Filter(expired_at=3.0, live_at=1.0),
    Filter(key_prefix="0"),
    Filter(key_prefix="f"),
    Filter(key_prefix=a_row(7).key.hex()[:5]),
    Filter(key_prefix=a_row(7).key.hex()),
    Filter(provider="openai", model="c"),
    Filter(provider="openai", model="c", namespace="default", endpoint="/v1/x"),
    Filter(model="a", expired_at=5.0, created_since=5.0),
    Filter(namespace="team", live_at=2.0, created_before=50.0, provider="anthropic"),
    Filter(key_prefix="a", provider="openai", expired_at=6.0),
)
"""Each condition alone, and combined."""
