"""The slow run: slow tests here, then a release everywhere else that it has to work. Downloads no interpreter.

Here the tests run on the source. Everywhere else they run on the wheel, from a copy of the repository without a source
in it: alone with what the wheel asks for, in its newest and its lowest versions, and beside the SDKs. Goes through all
of it even if something fails, and ends with one line for each part. `--only WORD` takes the parts with that word in
their title.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
TREE = ROOT / "build" / "without-source"


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


def without_source() -> None:
    """A copy of what git tracks, all but the package."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
    shutil.rmtree(TREE, ignore_errors=True)
    for name in filter(None, listed.split("\0")):
        if not name.startswith("src/") and (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, TREE / name)


class Slow:
    """The parts that were asked for, and what became of them."""

    def __init__(self, word: str, arguments: list[str]) -> None:
        self.word = word
        self.arguments = arguments
        self.results: dict[str, str] = {}

    def asked(self, title: str) -> bool:
        """Whether a part was asked for."""
        return self.word in title

    def part(self, title: str, *commands: tuple[str, ...], cwd: Path = ROOT) -> None:
        """Run the commands of a part until one fails."""
        if not self.asked(title):
            return
        print(f"\n== {title}", flush=True)
        started = time.monotonic()
        passed = True
        for number, command in enumerate(commands):
            # The last command is the one that tests; those before prepare, in the repository.
            last = number == len(commands) - 1
            more = self.arguments if last else []
            done = subprocess.run((*command, *more), cwd=cwd if last else ROOT, check=False)
            if done.returncode:
                passed = False
                break
        self.results[title] = f"{'passed' if passed else 'FAILED'} after {time.monotonic() - started:.0f} s"

    def tests(self, title: str, python: str, folder: str, lock: str, *tests: str, wheel: Path | None = None) -> None:
        """Make an environment and run tests in it: on the source, or on a wheel and without the source."""
        make = (python, "tools/environment.py", folder, f"requirements/{lock}.txt")
        own = str(ROOT / folder / "bin" / "python")
        if wheel is None:
            self.part(title, make, (own, "tools/run_tests.py", *tests))
        else:
            made = (*make, str(wheel.relative_to(ROOT)))
            self.part(title, made, (own, "tools/run_tests.py", *tests), cwd=TREE)


def main(arguments: list[str]) -> int:
    """Every part, then the account of them."""
    word = ""
    if arguments[:1] == ["--only"]:
        word, arguments = arguments[1], arguments[2:]
    slow = Slow(word, arguments)
    slow.part(f"slow tests, Python {HERE}", (sys.executable, "tools/run_tests.py", "-m", "slow"))

    release = (sys.executable, "tools/environment.py", ".venvs/release", "requirements/release.txt")
    build = (".venvs/release/bin/python", "tools/make_dist.py")
    if any(subprocess.run(command, cwd=ROOT, check=False).returncode for command in (release, build)):
        print("slow: there is no wheel to test.", file=sys.stderr)
        return 1
    (wheel,) = (ROOT / "build" / "dist").glob("*.whl")
    without_source()

    found = {version: sys.executable if version == HERE else interpreter(version) for version in PYTHONS}
    for version, python in found.items():
        if python is None:
            slow.results[f"Python {version}"] = "skipped: there is none on this machine"
            continue
        for which, more in (("newest", ("--sdks",)), ("lowest", ())):
            title = f"wheel alone, {which} versions, Python {version}"
            slow.part(title, (python, "tools/try_wheel.py", which, *more))
        if version != HERE:
            title = f"default tests on the wheel, Python {version}"
            slow.tests(title, python, f".venvs/python{version}", "dev", wheel=wheel)

    # The lowest versions belong to the lowest Python that is here.
    version, python = next((v, p) for v, p in found.items() if p)
    title = f"default tests on the wheel, lowest versions, Python {version}"
    # Old releases use what has been deprecated since; that is theirs to mend and they have.
    slow.tests(title, python, ".venvs/lowest", "lowest", "-W", "default", wheel=wheel)

    only = ("--only", "tests/sdk")
    slow.tests(f"SDK tests, openai 1, Python {HERE}", sys.executable, ".venvs/openai1", "sdk-openai1", *only)
    for name in ("frameworks", "frameworks2"):
        # Frameworks leave connections open that nobody can close for them.
        loose = ("-p", "no:unraisableexception")
        slow.tests(f"SDK tests, {name}, Python {HERE}", sys.executable, f".venvs/{name}", f"sdk-{name}", *only, *loose)

    print()
    for title, result in slow.results.items():
        print(f"{title}: {result}")
    return 1 if any(result.startswith("FAILED") for result in slow.results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
