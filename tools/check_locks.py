"""Checks that each lock is whole and neutral: exact versions, a hash for each, no address, nothing pyproject lacks."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENT = re.compile(r"^([a-z0-9][a-z0-9.-]*)==[\w.!+]+ (?:; .*)?\\$")


def complaints(file: Path) -> list[str]:
    """What is wrong with one lock, each in one line."""
    name = file.relative_to(ROOT)
    found = []
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if "://" in line or (line.startswith("-") and not line.startswith("    ")):
            found.append(f"{name}:{number}: an address or an option in a lock; make it with `make lock`.")
        elif line and not line.startswith((" ", "#")):
            if not REQUIREMENT.match(line):
                found.append(f"{name}:{number}: not an exact version with hashes; make it with `make lock`.")
            elif number == len(lines) or not lines[number].startswith("    --hash=sha256:"):
                found.append(f"{name}:{number}: no hash; make it with `make lock`.")
    return found


def missing() -> list[str]:
    """Dependencies of pyproject.toml that no lock has: somebody forgot `make lock`."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text[text.index("\ndependencies = [") : text.index("[tool.")]
    locked = {
        match[1]
        for file in (ROOT / "requirements").glob("*.txt")
        for line in file.read_text(encoding="utf-8").splitlines()
        if (match := REQUIREMENT.match(line))
    }
    wanted = {name.lower() for name in re.findall(r"\"([A-Za-z0-9.-]+)[><=]=", section)}
    return [f"pyproject.toml: {name} is in no lock; say `make lock`." for name in sorted(wanted - locked)]


def main() -> int:
    """Every lock."""
    found = [complaint for file in sorted((ROOT / "requirements").glob("*.txt")) for complaint in complaints(file)]
    found += missing()
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
