"""`make bench`: every comparison, as one table; `--quick` takes a minute or two where all takes a quarter of an hour.

`--json FILE` writes the figures, those of each comparison in place of what the file had of it, with the date and what
machine it was. `make speed` makes the documentation's page of such a file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from benchmarks import client, decorator, edge, fleet, gateway, library, miss, peers, proxy, scale, space, streams
from benchmarks.measure import Result

MODULES = (library, decorator, client, peers, proxy, edge, gateway, miss, fleet, streams, space, scale)


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


def _machine() -> dict[str, object]:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "at": time.strftime("%Y-%m-%d"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _keep(file: Path, name: str, about: dict[str, object], results: list[Result]) -> None:
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept.setdefault("comparisons", {})[name] = {**about, "results": [asdict(result) for result in results]}
    file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    """Run the comparisons that were asked for; 0 whatever they find, since machines differ."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: seconds instead of a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    names = [_name(module) for module in MODULES]
    parser.add_argument("--only", choices=names, action="append", help="run this comparison; may be repeated")
    arguments = parser.parse_args()
    results: list[Result] = []
    for module in MODULES:
        if not arguments.only or _name(module) in arguments.only:
            about = _machine()
            found = module.run(quick=arguments.quick)
            results += found
            if arguments.json and found:
                _keep(arguments.json, _name(module), about, found)
    Console(width=None if sys.stdout.isatty() else 160).print(_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
