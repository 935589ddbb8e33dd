"""A million entries go out and come back in constant memory. Takes many minutes; `make test-slow` runs it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from llm_cache import LLMCache
from llm_cache.stores.sqlite_schema import ADD_ROW, SELECT_GROUP, group_of, values_of
from tests.transfer.conftest import NOON, an_entry

COMMAND = str(Path(sys.executable).with_name("llm-cache"))
COUNT = int(os.environ.get("TEST_ENTRIES", "1000000"))
MOST_KB = 200_000
MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def measured(*arguments, database) -> tuple[int, float]:
    """Run the command; its largest resident memory in kilobytes, and the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "LLMCACHE_DATABASE_URL": str(database)},
    )
    assert done.returncode == 0, done.stderr
    kilobytes = int(re.findall(r"\d+", done.stdout)[-1])
    took = time.monotonic() - began
    print(f"\n{' '.join(map(str, arguments[:1]))}: {kilobytes / 1000:.0f} MB, {took:.0f} s")
    return kilobytes, took


def fill(database):
    """Many rows in one transaction, because a million of them would take an hour."""
    with LLMCache(database_url=str(database)) as cache:
        codec, store = cache.engine.codec, cache.engine.store
        store.put(codec.encode(an_entry(1)))
        rows = map(codec.encode, map(numbered, range(1, COUNT)))
        while batch := list(islice(rows, 10_000)):
            with store._connections.writing() as channel:
                group = channel.execute(SELECT_GROUP, group_of(batch[0])).fetchone()[0]
                channel.executemany(ADD_ROW, [values_of(row, group) for row in batch])


def numbered(number):
    key = hashlib.sha256(str(number).encode()).hexdigest()
    return replace(an_entry(1), key=key, created_at=NOON + number)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_million_entries_go_out_and_come_back_in_constant_memory(tmp_path):
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    fill(first)
    one, other = tmp_path / "one.jsonl.zst", tmp_path / "other.jsonl.zst"
    assert measured("export", str(one), database=first)[0] < MOST_KB
    first.unlink()
    assert measured("import", str(one), database=second)[0] < MOST_KB
    assert measured("export", str(other), database=second)[0] < MOST_KB
    assert one.read_bytes() == other.read_bytes()
