"""Writes docs/reference/compatibility.md from what the tests of the SDKs have shown. It claims nothing by itself.

    .venv/bin/python tools/compatibility.py --run current     runs tests/sdk here and notes what came of it
    .venv/bin/python tools/compatibility.py                   writes the page anew from what is noted

Each environment (`.venv`, those in `.venvs/`) notes its own SDKs, under a name of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTES = ROOT / "docs" / "reference" / "compatibility.json"
PAGE = ROOT / "docs" / "reference" / "compatibility.md"
ENVIRONMENTS = {
    "current": "`make test`",
    "openai2": "`make test`, in `.venvs/openai2`",
    "openai1": "`make test-slow`",
    "frameworks": "`make test-slow`",
    "frameworks2": "`make test-slow`",
}
"""The environments in the order of the page, and what runs them."""
COLUMNS = ("sync plain", "sync stream", "async plain", "async stream")
HEAD = """\
# What works with what

Each cell is a set of tests with the real SDK against recorded or made-up replies of its provider: a miss, then a hit
through `wrap`, then one through `install()`, equal in type, value, `repr` and dumps, with one request upstream. This
page is written by `tools/compatibility.py` from what those tests have shown; nothing is in it that was not run.

"""


def noted() -> dict[str, Any]:
    """What has been noted, by environment."""
    found: dict[str, Any] = json.loads(NOTES.read_text(encoding="utf-8")) if NOTES.exists() else {}
    return found


def rendered(notes: dict[str, Any]) -> str:
    """The page."""
    lines = ["| SDK | tested | plain | streamed | async, plain | async, streamed | also |", "|" + "---|" * 7]
    reasons: list[str] = []
    rows = {
        row: (environment, found)
        for environment in reversed(ENVIRONMENTS)
        for row, found in notes.get(environment, {}).items()
    }

    def cell(value: str | None) -> str:
        if value in {None, "works"}:
            return "–" if value is None else "yes"
        if value not in reasons:
            reasons.append(str(value))
        return f"no [{reasons.index(str(value)) + 1}]"

    for row in sorted(rows, key=lambda name: (name.rpartition(" ")[0], -int(name.rpartition(" ")[2] or 0))):
        _, found = rows[row]
        cells = found["cells"]
        also = [
            column if cells[column] == "works" else f"{column}: {cell(cells[column])}"
            for column in sorted(cells)
            if column not in COLUMNS
        ]
        main = [cell(cells.get(column)) for column in COLUMNS]
        lines.append("| " + " | ".join([row, found["version"], *main, ", ".join(also) or "–"]) + " |")
    lines.append("")
    lines.append("–: the SDK has no such call, or there was no reply to test it with.")
    lines.extend(f"\n[{number}] {reason}" for number, reason in enumerate(reasons, 1))
    lines.append("\n## Where they run\n")
    for environment, runs in ENVIRONMENTS.items():
        names = sorted(row for row, (where, _) in rows.items() if where == environment)
        if names:
            lines.append(f"- {runs}: {', '.join(names)}")
    return HEAD + "\n".join(lines) + "\n"


def run(environment: str) -> int:
    """Run the tests of the SDKs in this interpreter, and note what became of each cell."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cells.json"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "tests/sdk"]
        if environment.startswith("frameworks"):
            # As in test_everywhere.py.
            command += ["-p", "no:unraisableexception"]
        status = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "LLMCACHE_COMPATIBILITY": str(file)}, check=False
        ).returncode
        cells: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
    notes = noted()
    notes[environment] = {
        row: {"version": version(row.partition(",")[0].rpartition(" ")[0] or row.partition(",")[0]), "cells": found}
        for row, found in cells.items()
    }
    NOTES.write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return status


def main(arguments: list[str]) -> int:
    """Run if that is asked for; then write the page."""
    status = run(arguments[1]) if arguments[:1] == ["--run"] else 0
    PAGE.write_text(rendered(noted()), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
