"""Makes the tables and pictures of docs/explanation/speed.md from the figures beside it. `--check` only compares.

python tools/make_speed.py [--check]

`make bench ARGS="--json docs/explanation/speed.json"` writes the figures. Each picture carries the digest of what it
was drawn from, so that comparing needs nothing that draws.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "speed.md"
FIGURES = ROOT / "docs" / "explanation" / "speed.json"
PICTURES = ROOT / "docs" / "_static"
BLOCK = re.compile(r"(<!-- made: (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)
RATE, FULL = 100_000, 0.6
"""Hits a second that are asked for, and how busy a process may be at that."""
GROWTH = (
    ("hit_median_us", "hit, µs"), ("lookup_median_us", "lookup, µs"), ("write_median_us", "write, µs"),
    ("statistics, ms", "statistics, ms"), ("list, the newest 50, ms", "list of 50, ms"),
    ("purge --dry-run --expired, ms", "count of expired, ms"),
)  # fmt: skip


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [[*head], *([*row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _ratio(row: dict[str, Any]) -> str:
    """What was found; where calls were timed one by one, with the ratio of what 99 of 100 stay under."""
    data = row["data"]
    if "ours_p99_us" not in data or not row["figure"].endswith("x"):
        return str(row["figure"])
    return f"{row['figure']} (p99 {data['ours_p99_us'] / data['theirs_p99_us']:.2f}x)"


def comparison(figures: dict[str, Any], name: str) -> str:
    """The results of one comparison, and when and where they were found."""
    found = figures["comparisons"][name]
    shown = ("name", "ours", "peer", "theirs")
    rows = (
        (*(row[key] for key in shown), _ratio(row), row["target"], "yes" if row["met"] else "**no**")
        for row in found["results"]
    )
    table = _table(("what", "ours", "beside", "theirs", "", "target", "reached"), rows)
    where = f"{found['python']}, {found['system']}, {found['cores']} cores ({found['cpu']})"
    return f"{table}\n{found['at']}, {where}; load of the machine at the beginning: {found['load']}.\n"


def growth(figures: dict[str, Any]) -> str:
    """How a store grows."""
    found = figures["growth"]
    rows = (
        (
            f"{int(row['entries']):,}",
            f"{row['bytes'] / 1e6:,.0f} MB",
            *(f"{row[key]:.1f}" for key, _ in GROWTH),
        )
        for row in found["rows"]
    )
    return (
        f"{_table(('entries', 'file', *(name for _, name in GROWTH)), rows)}\n{found['at']}, {found['cores']} cores.\n"
    )


def sums(figures: dict[str, Any]) -> str:
    """What a hundred thousand hits a second take of proxies and of Redis, from what one takes."""
    found = {row["name"]: row["data"] for row in figures["comparisons"]["fleet"]["results"]}
    near, far = (
        next(data for name, data in found.items() if name.endswith(end)) for end in ("in memory", "memory_mb=0")
    )
    rows = []
    for share in (1.0, 0.9, 0.5, 0.0):
        cores = RATE * (share * near["ours_us"] + (1 - share) * far["ours_us"]) / 1e6
        redis = RATE * (1 - share) * far["theirs_us"] / 1e6
        machines = str(max(1, math.ceil(redis / FULL)))
        rows.append((f"{share:.0%}", f"{cores:.1f}", f"{math.ceil(cores / FULL)}", f"{redis:.2f}", machines))
    head = (
        "answered from a worker's memory",
        "cores of proxies",
        f"workers at {FULL:.0%}",
        "cores of Redis",
        "masters",
    )
    return _table(head, rows)


def made(text: str, figures: dict[str, Any]) -> str:
    """The page with its tables made anew."""

    def block(match: re.Match[str]) -> str:
        name = match[2]
        table = {"growth": growth, "sums": sums}.get(name, partial(comparison, name=name))
        return f"{match[1]}{table(figures)}{match[3]}"

    return BLOCK.sub(block, text)


def digest(figures: dict[str, Any]) -> str:
    """What a picture says that it was drawn from."""
    return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()


def pictures() -> list[Path]:
    """What the page shows."""
    return [PICTURES / name for name in re.findall(r"_static/(speed-\w+\.svg)", PAGE.read_text(encoding="utf-8"))]


def main() -> int:
    """Write, or say what is not as it would be written."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(made(text, figures), encoding="utf-8")
        draw = [str(ROOT / ".venvs" / "plots" / "bin" / "python"), str(ROOT / "tools" / "draw_speed.py")]
        return subprocess.run([*draw, digest(figures)], cwd=ROOT, check=False).returncode
    stale = [] if made(text, figures) == text else [PAGE]
    stale += [each for each in pictures() if digest(figures) not in each.read_text(encoding="utf-8")]
    for each in stale:
        print(f"{each.relative_to(ROOT)} is not what docs/explanation/speed.json says: run `make speed`.")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
