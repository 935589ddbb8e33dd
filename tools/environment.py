"""Makes a virtual environment from a lock file, or leaves it alone if it is already that. Standard library only.

    python3 tools/environment.py .venv requirements/dev.txt [build/dist/a.whl]

pip does the installing, not uv: it is there wherever Python is, and it obeys whatever index, mirror or certificate the
machine's pip is set up with. What was installed is written into the environment when everything else is done, so an
interrupted run starts again, a second run costs nothing, and a copied environment (whose paths are wrong) is remade.
With a wheel it is the wheel that is put in, and not this source tree.
"""

import sys

# Before anything that an old Python could stumble over.
if sys.version_info < (3, 10):
    sys.exit(
        "llm-cache needs Python 3.10 or newer, and '%s' is %d.%d: say `make PYTHON=/path/to/python3 ...`."
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "llm-cache-environment"
RECIPE = 1  # to be raised when what build() does changes
# Each of these would send the packages, or the interpreter's eyes, somewhere else.
MISLEADING = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIREMENT")


def wanted(folder: Path, lock: Path, source: Path) -> tuple[str, str]:
    """What the environment would be, and what the project in it: equal to its stamp means there is nothing to do."""
    locked = hashlib.sha256(lock.read_bytes()).hexdigest()
    project = hashlib.sha256(source.read_bytes()).hexdigest()
    return f"{RECIPE} {folder} {sys.base_prefix} {sys.version!r} {locked}", project


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two makes at once must not build in the same folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name.lstrip('.')}.lock").open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows: not worth a second mechanism
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(*command: str) -> None:
    """Run a command that must succeed, in surroundings that cannot mislead it."""
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(f"environment: `{' '.join(command)}` failed with status {done.returncode}.")


def pip_install(folder: Path, *what: str) -> None:
    """Install exactly what is named. The lock is complete: pip has nothing to work out and may not add anything."""
    run(str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-deps", *what)


def build(folder: Path, lock: Path) -> None:
    """Fill the folder with what the lock says and nothing else."""
    try:
        import ensurepip  # noqa: F401 (asked whether it is there, as Debian splits it off)
    except ImportError:
        sys.exit(f"environment: {sys.executable} cannot make virtual environments; install its venv package.")
    run(sys.executable, "-m", "venv", "--clear", str(folder))
    pip_install(folder, "--require-hashes", "--requirement", str(lock))


def main(folder_name: str, lock_name: str, wheel: str = "") -> None:
    """Make the environment, or only put the project into it anew, or do nothing at all."""
    folder, lock = ROOT / folder_name, ROOT / lock_name
    stamp = folder / STAMP
    with alone(folder):
        packages, project = wanted(folder, lock, ROOT / (wheel or "pyproject.toml"))
        found = stamp.read_text(encoding="utf-8").splitlines() if stamp.is_file() else []
        if found == [packages, project]:
            return
        started = time.monotonic()
        if found[:1] != [packages]:
            print(f"environment: making {folder_name} from {lock_name} ...", file=sys.stderr, flush=True)
            build(folder, lock)
        stamp.unlink(missing_ok=True)
        # The build backend is in the lock: without isolation nothing outside the lock is ever fetched.
        editable = ("--no-build-isolation", "--editable", str(ROOT))
        pip_install(folder, *(("--force-reinstall", str(ROOT / wheel)) if wheel else editable))
        stamp.write_text(f"{packages}\n{project}\n", encoding="utf-8")
        print(f"environment: {folder_name} is ready after {time.monotonic() - started:.0f} s.", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
