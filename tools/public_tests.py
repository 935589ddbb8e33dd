"""Finds the tests that use the public API alone: those that an installed llm-cache must pass. Runs nothing.

    python tools/public_tests.py [FOLDER]     their files, one a line

A test file is public if all that it imports of llm_cache is public, and so is what the helpers and conftests beside it
import. No list is kept by hand: who writes a test with public names alone has written one for every release.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The doors that docs/reference/public-api.md names.
PUBLIC = ("llm_cache", "llm_cache.httpx", "llm_cache.httpx2", "llm_cache.testing")
# These test the repository, which is not there where a wheel is.
OF_THE_REPOSITORY = ("tests/docs", "tests/examples", "tests/typing")


def imports(tree: ast.Module) -> Iterator[tuple[str, int, tuple[str, ...], bool]]:
    """Each import: module, level, names, and whether it happens as soon as the file is read."""
    early = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, 0, (), id(node) in early
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level, tuple(alias.name for alias in node.names), id(node) in early


class Suite:
    """The test files of a tree, and what each stands on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[Path, tuple[set[str], set[str]]] = {}

    def needs(self, file: Path) -> tuple[set[str], set[str]]:
        """What a file and its helpers import of llm_cache, and the packages that they cannot be read without."""
        if file in self._seen:
            return self._seen[file]
        ours: set[str] = set()
        others: set[str] = set()
        self._seen[file] = ours, others
        beside = {folder / "conftest.py" for folder in file.parents if folder.is_relative_to(self.root / "tests")}
        for module, level, names, early in imports(ast.parse(file.read_text(encoding="utf-8"))):
            full = self._absolute(file, module, level)
            top = full.partition(".")[0]
            if top == "tests":
                beside.update(self._files(full, names))
            elif top == "llm_cache":
                ours.add(full)
            elif early:
                others.add(top)
        for helper in sorted(beside - {file}):
            if helper.is_file():
                of_helper = self.needs(helper)
                ours |= of_helper[0]
                others |= of_helper[1]
        return ours, others

    def _absolute(self, file: Path, module: str, level: int) -> str:
        if not level:
            return module
        package = file.relative_to(self.root).parts[:-level]
        return ".".join((*package, *filter(None, [module])))

    def _files(self, module: str, names: tuple[str, ...]) -> Iterator[Path]:
        base = self.root.joinpath(*module.split("."))
        yield base.with_suffix(".py")
        yield from (base / f"{name}.py" for name in names)

    def public(self) -> list[Path]:
        """The files of public tests, wherever they can run."""
        return [
            file
            for file in sorted((self.root / "tests").rglob("test_*.py"))
            if not str(file.relative_to(self.root)).startswith(OF_THE_REPOSITORY) and self.needs(file)[0] <= set(PUBLIC)
        ]

    def missing(self, file: Path) -> list[str]:
        """The packages that a file needs and this environment has not."""
        return sorted(name for name in self.needs(file)[1] if importlib.util.find_spec(name) is None)


def main(arguments: list[str]) -> int:
    """Print the files that can run here; say on standard error what the others lack."""
    suite = Suite(Path(arguments[0]).resolve() if arguments else ROOT)
    for file in suite.public():
        name = file.relative_to(suite.root)
        if missing := suite.missing(file):
            print(f"{name}: needs {', '.join(missing)}", file=sys.stderr)
        else:
            print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
