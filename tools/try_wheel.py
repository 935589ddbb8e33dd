"""Installs the wheel of build/dist alone into an empty environment and runs the public tests there. Builds no wheel.

    python3.12 tools/try_wheel.py newest|locked|lowest [--quick | --sdks] [what pytest takes]

The interpreter that runs this is the one that is tried; standard library only. The tests run in a scratch folder that
holds a copy of them and nothing else of the repository: what they import can only be what the wheel has brought.
`newest` takes what the package index offers today within our bounds, `lowest` the lowest that we claim to work with.
`--quick` runs a few of the tests; `--sdks` installs SDKs in the end and runs what has to wait for them.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What tests are run with, and nothing that they might want to test.
TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis")
SDKS = ("httpx", "requests", "trio", "pydantic", "openai", "anthropic")
QUICK = ("tests/cli/test_installed.py", "tests/clients/test_cached_call.py", "tests/faces/test_value_kinds.py")
LOCKS = {"newest": None, "locked": "dev.txt", "lowest": "lowest.txt"}
# Fewer would mean that the choice has failed, not that there is less to test.
FEWEST_FILES = 10


def run(*command: str, cwd: Path = ROOT, show: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed, where nothing of this machine's Python setup can mislead it."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LLMCACHE_"))}
    # Recorded traffic is beside the repository; the tests look for it beside themselves.
    traffic = os.environ.get("LLMCACHE_TEST_TRAFFIC", str(ROOT.parent / "shared" / "traffic"))
    kept = {"LLMCACHE_TEST_TRAFFIC": traffic} if Path(traffic).is_dir() else {}
    surroundings = {**mine, **kept, "PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        command, cwd=cwd, env=surroundings, text=True, check=False, stdout=None if show else subprocess.PIPE
    )
    if done.returncode:
        sys.exit(f"wheel: `{' '.join(command)}` failed with status {done.returncode}.\n{done.stdout or ''}".rstrip())
    return done


def constraints(lock: str, folder: Path) -> tuple[str, ...]:
    """The versions of a lock as limits for pip, which still decides for itself what the wheel needs."""
    lines = re.findall(r"^(\S+==[^\\\n]+)", (ROOT / "requirements" / lock).read_text(encoding="utf-8"), re.MULTILINE)
    file = folder / "constraints.txt"
    file.write_text("".join(f"{line.strip()}\n" for line in lines), encoding="utf-8")
    return ("--constraint", str(file))


class Trial:
    """An environment with the wheel, what it asks for, and pytest; beside it a copy of the tests."""

    def __init__(self, wheel: Path, which: str, folder: Path) -> None:
        lock = LOCKS[which]
        self.limits = constraints(lock, folder) if lock else ()
        # Old releases use what has been deprecated since.
        self.loose = ("-W", "default") if which == "lowest" else ()
        self.tree = folder / "tree"
        made_here = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(ROOT / "tests", self.tree / "tests", ignore=made_here)
        shutil.copy(ROOT / "pyproject.toml", self.tree)
        venv.create(folder / "venv", with_pip=True)
        self.python = folder / "venv" / "bin" / "python"
        self.install(str(wheel), *TOOLS)
        home = run(str(self.python), "-c", "import llm_cache; print(llm_cache.__file__)", cwd=self.tree).stdout.strip()
        if not Path(home).resolve().is_relative_to(folder / "venv"):
            sys.exit(f"wheel: llm_cache came from {home}, not from the wheel.")

    def install(self, *what: str) -> None:
        """Let pip find what is needed, and see that it all fits together."""
        run(str(self.python), "-m", "pip", "install", "-qq", *self.limits, *what)
        run(str(self.python), "-m", "pip", "check")

    def files(self) -> list[str]:
        """The public tests that can run by now."""
        found = run(str(self.python), str(ROOT / "tools" / "public_tests.py"), str(self.tree)).stdout.split()
        if len(found) < FEWEST_FILES:
            sys.exit(f"wheel: only {len(found)} public test files can run here; tools/public_tests.py chose too few.")
        return found

    def test(self, *arguments: str) -> None:
        """Run tests on both cores."""
        command = ("-m", "pytest", "-q", "-n", "auto", *self.loose, *arguments)
        run(str(self.python), *command, cwd=self.tree, show=True)


def main(arguments: list[str]) -> int:
    """Install, copy, look where the package comes from, run."""
    which, *arguments = arguments or [""]
    wheels = sorted((ROOT / "build" / "dist").glob("*.whl"))
    if len(wheels) != 1 or which not in LOCKS:
        print(f"wheel: one of {', '.join(LOCKS)}, after `make dist`.", file=sys.stderr)
        return 2
    flag = arguments.pop(0) if arguments[:1] in (["--quick"], ["--sdks"]) else ""
    with tempfile.TemporaryDirectory(prefix="llm-cache-wheel-") as scratch:
        trial = Trial(wheels[0], which, Path(scratch).resolve())
        chosen = list(QUICK) if flag == "--quick" else trial.files()
        about = f"{wheels[0].name} on Python {sys.version.split()[0]}, {which} dependencies"
        print(f"wheel: {about}, nothing else, {len(chosen)} test files", flush=True)
        trial.test(*chosen, *arguments)
        if flag == "--sdks":
            trial.install(*SDKS)
            # Those of before may have been skipped for want of an SDK; only those that were run whole are left out.
            later = [file for file in trial.files() if file not in chosen or file.startswith("tests/sdk/")]
            print(f"wheel: {about}, and SDKs, {len(later)} test files", flush=True)
            trial.test(*later, *arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
