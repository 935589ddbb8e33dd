"""Checks that files are short and say what they are for. Reads them, imports nothing of ours."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 400  # lines; a file has one subject, and a reader can hold this much
FOLDERS = ("src", "tests", "tools", "benchmarks", "examples")
COMMENTS = {".js": "// ", ".css": "/* "}  # how the first line of a file of the dashboard begins


def complaints(file: Path) -> list[str]:
    """What is wrong with one file, each in one line."""
    text = file.read_text(encoding="utf-8")
    name = file.relative_to(ROOT)
    found = []
    if (lines := text.count("\n")) >= LIMIT:
        found.append(f"{name}: {lines} lines; a file has fewer than {LIMIT}, divide it by subject.")
    if name.parts[0] != "src":
        return found
    if file.suffix in COMMENTS:
        if not text.startswith(COMMENTS[file.suffix]):
            found.append(f"{name}: its first line must be a comment that says what it is for.")
        return found
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [*found, f"{name}:{error.lineno}: {error.msg}."]
    if not (tree.body and ast.get_docstring(tree) and tree.body[0].lineno == 1):
        found.append(f"{name}: its first line must be a docstring that says what it is for and what it must not do.")
    return found


def main() -> int:
    """Every Python file of the project, and every script and style sheet."""
    files = sorted(
        file for folder in FOLDERS for end in (".py", *COMMENTS) for file in (ROOT / folder).rglob(f"*{end}")
    )
    found = [complaint for file in files for complaint in complaints(file)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
