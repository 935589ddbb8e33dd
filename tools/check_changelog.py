"""Checks that CHANGELOG.md has the form of Keep a Changelog, and that it tells of a release. It writes nothing.

    python tools/check_changelog.py [v1.2.3]

With a tag, the tag, the version in pyproject.toml and the newest release in the changelog must be one, with its day.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"## \[(?P<version>Unreleased|\d+\.\d+\.\d+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?(?: \[YANKED\])?")
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def complaints(text: str) -> list[str]:
    """What is not as https://keepachangelog.com/en/1.1.0/ has it, each in one line."""
    found = []
    versions: list[str] = []
    kinds: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            match = HEADING.fullmatch(line)
            if match is None or (match["version"] == "Unreleased") == bool(match["day"]):
                found.append(f"{number}: not `## [Unreleased]` or `## [1.2.3] - 2026-01-31`")
            else:
                versions.append(match["version"])
            kinds = []
        elif line.startswith("### "):
            kind = line.removeprefix("### ")
            if kind not in KINDS or kind in kinds:
                found.append(f"{number}: {kind!r} is twice in one release, or none of {', '.join(KINDS)}")
            kinds.append(kind)
        elif line.startswith("- ") and not kinds:
            found.append(f"{number}: a change that is neither {' nor '.join(KINDS)}")
    if versions[:1] != ["Unreleased"]:
        found.append("1: it begins with what is unreleased, even if that is nothing")
    released = [tuple(map(int, version.split("."))) for version in versions if version != "Unreleased"]
    if released != sorted(set(released), reverse=True) or len(released) < len(versions) - 1:
        found.append("1: releases are in order, the newest first, each once")
    return found


def main(arguments: list[str]) -> int:
    """The form; with a tag, the release as well."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = [f"CHANGELOG.md:{complaint}." for complaint in complaints(text)]
    if arguments:
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        version = next(iter(re.findall(r'^version = "(.+)"$', project, re.MULTILINE)), "none")
        newest = next(iter(re.findall(r"^## \[(\d.*?)\] - ", text, re.MULTILINE)), "none")
        if arguments[0] != f"v{version}" or newest != version:
            found.append(
                f"The tag is {arguments[0]}, the version {version}, the newest release in CHANGELOG.md {newest}."
            )
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
