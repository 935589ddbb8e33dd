"""Checks that what is public is what docs/reference/public-api.md says is public, neither more nor less.

A heading of that page names a module, each list item under it a name of the module's `__all__`. A module without
`__all__` is one that is still being built, and only its names that are there are looked at.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "public-api.md"
HEADING = re.compile(r"^## `(llm_cache[\w.]*)`")
ITEM = re.compile(r"^- `(\w+)`")


def documented() -> dict[str, set[str]]:
    """Module by module the names on the page."""
    modules: dict[str, set[str]] = {}
    names: set[str] = set()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if match := HEADING.match(line):
            names = modules.setdefault(match[1], set())
        elif match := ITEM.match(line):
            names.add(match[1])
    return modules


def complaints(name: str, expected: set[str]) -> Iterator[str]:
    """What differs between one module and its section, each in one line."""
    page = PAGE.relative_to(ROOT)
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        # Not built, or (httpx2 on Python 3.10) not for this Python: what is documented for it cannot be looked at.
        place = ROOT.joinpath("src", *name.split("."))
        if (place.is_dir() or place.with_suffix(".py").is_file()) and not name.endswith(".httpx2"):
            yield f"{name}: cannot be imported: {error}."
        return
    if not hasattr(module, "__all__"):
        return
    public = set(module.__all__)
    if len(public) != len(module.__all__):
        yield f"{name}.__all__: a name is there twice."
    for missing in sorted(expected - public):
        yield f"{name}.{missing}: documented in {page}, but not in {name}.__all__."
    for missing in sorted(public - expected):
        yield f"{name}.{missing}: in {name}.__all__, but not documented in {page}."
    for absent in sorted(each for each in public if not hasattr(module, each)):
        yield f"{name}.{absent}: in {name}.__all__, but it cannot be imported."


def main() -> int:
    """Every module on the page."""
    modules = documented()
    if not modules.get("llm_cache"):
        print(f"{PAGE.relative_to(ROOT)}: has no list of names under a heading `llm_cache`.")
        return 1
    found = [complaint for name, expected in modules.items() for complaint in complaints(name, expected)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
