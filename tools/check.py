"""Runs every gate, all of them even if one fails, and ends with a line for each. Mends nothing.

python tools/check.py [name of a gate ...]
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
GATES: dict[str, tuple[str, ...]] = {
    "format": (f"{BIN}/ruff", "format", "--check", "--quiet"),
    "lint": (f"{BIN}/ruff", "check", "--quiet"),
    "types": (f"{BIN}/mypy", "--no-error-summary"),
    "layers": (f"{BIN}/lint-imports",),
    "imports": (sys.executable, "tools/check_imports.py"),
    "files": (sys.executable, "tools/check_files.py"),
    "surface": (sys.executable, "tools/check_surface.py"),
    "reference": (sys.executable, "tools/make_reference.py", "--check"),
    "changelog": (sys.executable, "tools/check_changelog.py"),
    "traces": (sys.executable, "tools/check_traces.py"),
    "locks": (sys.executable, "tools/check_locks.py"),
}


def main(names: list[str]) -> int:
    """The gates by name, or all of them."""
    if unknown := set(names) - set(GATES):
        print(f"check: there is no gate {', '.join(sorted(unknown))}; there are {', '.join(GATES)}.", file=sys.stderr)
        return 2
    failed = []
    for name in names or GATES:
        done = subprocess.run(GATES[name], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        # The output of a gate that is content is noise.
        if done.returncode:
            print(f"== {name}\n{done.stdout.decode(errors='replace').strip()}")
            failed.append(name)
    for name in names or GATES:
        print(f"{name}: {'FAILED' if name in failed else 'ok'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
