"""Starts the benchmarks, which are the package `benchmarks` beside `src`. Measures nothing itself."""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    if not (ROOT / "benchmarks" / "__main__.py").is_file():
        sys.exit("bench: there is no benchmarks/__main__.py to run.")
    sys.path.insert(0, str(ROOT))
    runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
