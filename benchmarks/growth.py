"""How a store grows: what a hit, a write and statistics take from a thousand entries to ten million.

A run of its own, by hand: `python -m benchmarks.growth FILE [ENTRIES …]` writes JSON. Ten million take some minutes and
7 GB. Past a hundred thousand, rows are copied under new keys, since making each in Python would take an hour.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import scale
from benchmarks.measure import alternately
from llm_cache.core.model import Row

MADE = 100_000
"""Rows that are made one by one, for the copies of a larger store."""
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
ANSWERS = 1_000


def multiply(path: Path, count: int) -> None:
    """Copy the rows of a store, under random keys, until there are so many. Indexes and sums are made at the end."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000", "temp_store=MEMORY"):
        database.execute(f"PRAGMA {pragma}")
    made = database.execute("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'entries' AND sql IS NOT NULL")
    parts = [part for part in made if part[0] in {"index", "trigger"}]
    for kind, name, _ in parts:
        database.execute(f"DROP {kind} {name}")
    columns = [row[1] for row in database.execute("PRAGMA table_info(entries)") if row[1] not in {"id", "key"}]
    names = ", ".join(columns)
    (there,) = database.execute("SELECT count(*) FROM entries").fetchone()
    database.execute("BEGIN")
    for begun in range(0, count - there, there):
        database.execute(
            f"INSERT INTO entries (key, {names}) SELECT randomblob(32), {names} FROM entries ORDER BY id LIMIT ?",
            (min(there, count - there - begun),),
        )
    for _, _, sql in parts:
        database.execute(sql)
    database.execute(
        "UPDATE groups SET (entries, size) ="
        " (SELECT count(*), coalesce(sum(size), 0) FROM entries WHERE group_id = groups.id)"
    )
    database.execute("COMMIT")
    database.execute("PRAGMA journal_mode=WAL")
    database.close()


def build(folder: Path, count: int, answering: list[Row]) -> scale.Built:
    """A store of so many rows."""
    if count <= MADE:
        return scale.Built(folder, count, answering)
    begun = time.perf_counter()
    made = scale.Built(folder, MADE, answering)
    made.cache.close()
    made.store.close()
    path = folder / f"{count}.db"
    made.path.rename(path)
    multiply(path, count)
    built = scale.Built(folder, count, answering, fresh=False)
    built.build_s = time.perf_counter() - begun
    return built


def measure(folder: Path, sizes: list[int]) -> list[dict[str, float]]:
    """A row for each size."""
    answering = scale.answers(folder, ANSWERS)
    found = []
    for count in sizes:
        begun = time.monotonic()
        built = build(folder, count, answering)
        jobs = {"hit": built.hit, "lookup": built.lookup}
        timings = alternately(jobs, rounds=10, calls=1000)
        timings |= alternately({"write": built.write}, rounds=10, calls=100)
        row = {"entries": float(count), "build_s": built.build_s, "bytes": float(built.path.stat().st_size)}
        for name, timing in timings.items():
            row |= {f"{name}_median_us": timing.median_us, f"{name}_p99_us": timing.p99_us}
        row |= {f"{name}, ms": taken for name, taken in built.once().items()}
        found.append(row)
        print(f"{count:,} entries: {time.monotonic() - begun:.0f} s", row, file=sys.stderr, flush=True)
        built.cache.close()
        built.store.close()
        for path in folder.glob(f"{count}.db*"):
            path.unlink()
    return found


def main(file: str, *sizes: str) -> None:
    """Measure these sizes, or all."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), [int(size) for size in sizes] or [*SIZES])
    about = {"at": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "rows": rows}
    Path(file).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
