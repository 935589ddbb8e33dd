"""Files as earlier versions wrote them, which every later one must read.

`python -m tests.stores.golden_files` adds the file of this version's schema if it is missing in tests/golden/stores
and never changes what is there. What is written is always the same, so that all files can be told what they hold.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from llm_cache.core.model import Row
from llm_cache.stores.sqlite import SqliteStore
from llm_cache.stores.sqlite_schema import MIGRATIONS
from llm_cache.testing.contract import a_row

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "stores"
SUMS = {("2026-01-01", "openai", "a", "default"): {"hits": 3, "spent_pico": 2**70}}
HITS = {a_row(1).key: (3, 1_700_000_500.5), a_row(2).key: (1, 1_700_000_400.0)}


def rows() -> list[Row]:
    """What was put, in this order."""
    made = [
        a_row(
            number,
            value=hashlib.sha256(b"%d" % number).digest() * (number % 7),
            provider=("openai", "anthropic")[number % 2],
            model=("a", "b", "c")[number % 3],
            endpoint=("/v1/x", "/v1/y")[number // 2 % 2],
            namespace=("default", "team", "")[number // 3 % 3],
            stream=number % 4 == 0,
            created_at=1_700_000_000.125 + number // 2,
            expires_at=None if number % 5 == 0 else 1_800_000_000.5 + number,
            input_tokens=None if number % 6 == 0 else number,
            output_tokens=None if number % 6 == 0 else 2 * number,
            cost_pico=None if number % 4 else number * 10**6,
            latency_ms=number * 1.5,
        )
        for number in range(40)
    ]
    return [*made, a_row(40, value=hashlib.sha256(b"big").digest() * 400, model="日本語 \0 \U0001f99c")]


def expected() -> list[Row]:
    """What must be found: newest first, with hits."""
    found = [
        row._replace(hits=HITS[row.key][0], last_hit_at=HITS[row.key][1]) if row.key in HITS else row for row in rows()
    ]
    return sorted(found, key=lambda row: (-row.created_at, row.key))


def write(path: Path) -> None:
    store = SqliteStore(path)
    for row in rows():
        store.put(row)
    store.touch(HITS)
    store.add(SUMS)
    store.secret("scope")
    store.close()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    newest = FOLDER / f"schema-{len(MIGRATIONS)}.db"
    if not newest.exists():
        write(newest)
