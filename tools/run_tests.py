"""Runs pytest in the interpreter that runs this, and says plainly when there was nothing to run. Decides no more.

    python tools/run_tests.py [--only FOLDER] [what pytest takes]

Files among the arguments replace the folder. With `--only`, a choice (`-k`, files) that leaves nothing of the folder is
no failure: it was meant for the run before.
"""

import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Run the tests and give their exit status; an empty collection is a failure that says so."""
    only = arguments[:1] == ["--only"]
    folder = ROOT / arguments[1] if only else ROOT / "tests"
    chosen = arguments[2:] if only else arguments
    if not folder.is_dir():
        print(f"tests: there is no folder {folder.relative_to(ROOT)}.", file=sys.stderr)
        return 1

    files = [argument for argument in chosen if (ROOT / argument.partition("::")[0]).exists()]
    if only and files and not any((ROOT / file).resolve().is_relative_to(folder) for file in files):
        return 0
    here = {each.name: each.version for each in distributions()}
    sdks = ", ".join(f"{name} {here.get(name, '(none)')}" for name in ("openai", "anthropic"))
    print(f"tests: {folder.relative_to(ROOT)} on Python {sys.version.split()[0]} with {sdks}", flush=True)
    # A whole folder is shared by as many workers as there are cores; a file is quicker without them.
    everything = [] if files else ["-n", "auto", str(folder)]
    status = int(pytest.main([f"--rootdir={ROOT}", *everything, *chosen]))
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        print(f"tests: nothing of {folder.relative_to(ROOT)} was chosen.", file=sys.stderr)
        return 0 if only and chosen else status
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
