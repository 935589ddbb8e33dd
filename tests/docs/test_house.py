"""The page for newcomers names rooms, files and names that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "llm_cache"
PAGE = (ROOT / "docs" / "explanation" / "the-house.md").read_text(encoding="utf-8")
WORDS = re.findall(r"`([^`\n]+)`", PAGE)


def test_every_room_is_there_and_every_room_is_told_of():
    rooms = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE.partition("The words are few")[0], re.MULTILINE)
    told = [name for line in rooms for name in re.findall(r"\w+", line)]
    there = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert set(told) == there | {"errors"}


def test_every_file_that_is_named_is_there():
    files = [word for word in WORDS if re.fullmatch(r"[\w/]+\.(py|mjs)", word)]
    assert len(files) > 20
    # Not everything that lies in the root: environments have files by the ten thousand.
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "build"))]
    found = {
        str(path.relative_to(base))
        for base, inside in ((SOURCE, [SOURCE]), (ROOT, folders))
        for folder in inside
        for path in folder.rglob("*.*")
    }
    assert [name for name in files if name not in found and f"runtime/{name}" not in found] == []


def test_every_name_that_is_named_is_there():
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    names = [word.removesuffix("()").rpartition(".")[2] for word in WORDS if re.fullmatch(r"[A-Za-z_.]+(\(\))?", word)]
    names = [name for name in names if name not in {"py", "golden"} and not name.startswith("make")]
    assert len(names) > 30
    assert [name for name in names if not re.search(rf"\b{name}\b", source)] == []
