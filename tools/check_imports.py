"""Checks the import rules that import-linter's contracts cannot say. Reads files, imports nothing of ours.

* `core` is standard library only: a contract can forbid names, not everything but some.
* Nothing inside imports from the package root: the root imports lazily from all rooms, which would close a circle.
* No pickle and no YAML anywhere in `src`: both make objects of bytes that somebody else may have written. One exception
  reads what another program has written in YAML, with the loader that makes plain data and nothing else
  (docs/decisions/0009-yaml-for-cassettes-alone.md); the other writes bytes to be digested, and reads none
  (docs/decisions/0012-a-wrapped-client-has-a-short-way.md).
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "llm_cache"
ALLOWED = {("transfer/vcr.py", "yaml"), ("clients/short_calls.py", "marshal")}
DANGEROUS = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "yaml"}


def imports(tree: ast.Module) -> Iterator[tuple[int, str, list[str]]]:
    """Line, module and the names taken from it, of every import anywhere in a file; relative ones begin with dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or ""), [alias.name for alias in node.names]


def complaints(file: Path) -> list[str]:
    """What is wrong with one file, each in one line."""
    inside = file.relative_to(PACKAGE)
    found = []
    rooms = {place.stem for place in PACKAGE.iterdir()}
    for line, module, names in imports(ast.parse(file.read_text(encoding="utf-8"))):
        where, top = f"{file.relative_to(ROOT)}:{line}", module.partition(".")[0]
        if module.startswith("."):
            found.append(f"{where}: relative import; write the whole name.")
        elif top in DANGEROUS and (inside.as_posix(), top) not in ALLOWED:
            found.append(f"{where}: {top} makes objects of bytes; use llm_cache.codec.")
        elif inside.parts[0] == "core" and top != "llm_cache" and top not in sys.stdlib_module_names:
            found.append(f"{where}: core imports {top}; core is standard library only.")
        elif module == "llm_cache" and inside != Path("__init__.py") and not rooms.issuperset(names or [""]):
            found.append(f"{where}: imports from the package root; import from the room that has it.")
    return found


def main() -> int:
    """Every file of the package."""
    found = [complaint for file in sorted(PACKAGE.rglob("*.py")) for complaint in complaints(file)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
