"""`make bench`: every comparison, as one table; `--json FILE` writes the figures, `--quick` takes seconds."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from benchmarks import client, decorator, edge, library, proxy, scale, space, streams
from benchmarks.measure import Result

MODULES = (library, decorator, client, proxy, edge, streams, space, scale)


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _table(results: list[Result]) -> Table:
    table = Table(title=f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}")
    for column in ("what", "ours", "beside", "theirs", "ratio", "target", ""):
        table.add_column(column)
    for result in results:
        met = "met" if result.met else "missed"
        table.add_row(result.name, result.ours, result.peer, result.theirs, result.figure, result.target, met)
    return table


def main() -> int:
    """Run the comparisons that were asked for; 0 whatever they find, since machines differ."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: seconds instead of a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--only", choices=[_name(module) for module in MODULES], help="run one comparison")
    arguments = parser.parse_args()
    results: list[Result] = []
    for module in MODULES:
        if arguments.only in {None, _name(module)}:
            results += module.run(quick=arguments.quick)
    Console(width=None if sys.stdout.isatty() else 160).print(_table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
