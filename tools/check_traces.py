"""Checks that nothing in the repository tells of the machine it was made on: its folders, its package index.

What is in the repository works on any machine, or it is not finished; an address of an index would even work on the
wrong one. The patterns are written so that this file does not match itself.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = {
    "a folder of one machine": re.compile(r"(?<![\w.~}])/(?:root|opt|work|home/\w+|Users/\w+|var/folders)/(?=[\w.])"),
    "the address of a package index": re.compile(
        r"(?:\bpypi\.|pythonhosted\.)org|/pypi(?:-\w+)?/|/simple/?\b(?=[\s\"'])"
    ),
    "an option that chooses a package index": re.compile(
        r"--(?:extra-|default-)?index(?:-url)?[ =]|--find[-]links?[ =]"
    ),
}
OWN = Path(__file__).resolve()
# What is recorded from elsewhere is data: an answer may speak of any folder.
DATA = re.compile(r"\.(jsonl|png|svg|db|bin)$|^tests/(?:\w+/)*(?:data|recorded|vectors)/")


def files() -> list[Path]:
    """What git tracks or would track; everything but hidden folders where there is no git."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 0:
        names = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    else:
        names = [
            file for file in ROOT.rglob("*") if not any(p.startswith(".ven") for p in file.relative_to(ROOT).parts)
        ]
    return sorted(file for file in names if file.is_file() and not DATA.search(str(file.relative_to(ROOT))))


def complaints(file: Path) -> list[str]:
    """The lines of a file that tell too much."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []
    return [
        f"{file.relative_to(ROOT)}:{number}: {what}: {match[0]!r}."
        for number, line in enumerate(lines, 1)
        for what, pattern in PATTERNS.items()
        if (match := pattern.search(line))
    ]


def main() -> int:
    """Every file but this."""
    found = [complaint for file in files() if file != OWN for complaint in complaints(file)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
