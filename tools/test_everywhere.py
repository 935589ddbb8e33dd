"""The slow run: slow tests here, then the default tests wherever else they can run. Downloads no interpreter.

Goes through all of it even if something fails, and ends with one line for each part.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def candidates(version: str) -> Iterator[str]:
    """Where an interpreter of that version usually is: on the path, with pyenv, with uv."""
    if found := shutil.which(f"python{version}"):
        yield found
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local" / "share" / "uv" / "python"))
    for folder in (*sorted(pyenv.glob(f"{version}.*")), *sorted(uv.glob(f"cpython-{version}.*"))):
        yield str(folder / "bin" / "python3")


def interpreter(version: str) -> str | None:
    """The first candidate that starts and is what its name says (a pyenv shim may be neither), or None."""
    ask = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates(version):
        try:
            answer = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.stdout.strip() == version:
            return candidate
    return None


def run(title: str, *command: str) -> bool:
    """Run one part under a heading."""
    print(f"\n== {title}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def run_in(title: str, python: str, folder: str, lock: str, *tests: str) -> bool:
    """Make an environment and run tests in it."""
    made = run(title, python, "tools/environment.py", folder, f"requirements/{lock}.txt")
    return made and run(title, f"{folder}/bin/python", "tools/run_tests.py", *tests)


def main(arguments: list[str]) -> int:
    """Every part, then the account of them."""
    results: dict[str, str] = {}

    def note(title: str, passed: bool) -> None:
        results[title] = "passed" if passed else "FAILED"

    title = f"slow tests, Python {HERE}"
    note(title, run(title, sys.executable, "tools/run_tests.py", "-m", "slow", *arguments))

    found = {version: interpreter(version) for version in PYTHONS if version != HERE}
    for version, python in found.items():
        title = f"default tests, Python {version}"
        if python is None:
            results[title] = f"skipped: no Python {version} on this machine"
        else:
            note(title, run_in(title, python, f".venvs/python{version}", "dev", *arguments))

    # The lowest versions belong to the lowest Python; wherever that is missing, to this one.
    version, python = next(((v, p) for v, p in found.items() if p), (HERE, sys.executable))
    if PYTHONS[0] == HERE:
        version, python = HERE, sys.executable
    title = f"default tests, lowest versions, Python {version}"
    # Old releases use what has been deprecated since; that is theirs to mend and they have.
    note(title, run_in(title, python, ".venvs/lowest", "lowest", "-W", "default", *arguments))

    title = f"SDK tests, openai 1, Python {HERE}"
    only = ("--only", "tests/sdk")
    note(title, run_in(title, sys.executable, ".venvs/openai1", "sdk-openai1", *only, *arguments))
    for name in ("frameworks", "frameworks2"):
        title = f"SDK tests, {name}, Python {HERE}"
        # Frameworks leave connections open that nobody can close for them.
        loose = ("-p", "no:unraisableexception")
        note(title, run_in(title, sys.executable, f".venvs/{name}", f"sdk-{name}", *only, *loose, *arguments))

    print()
    for title, result in results.items():
        print(f"{title}: {result}")
    return 1 if "FAILED" in results.values() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
