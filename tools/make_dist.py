"""Builds the sdist and the wheel into build/dist and says whether they are fit to publish. Publishes nothing.

The wheel is built from the unpacked sdist, in a folder that is not the repository: what the sdist lacks, the wheel
lacks too, and is told. Built twice, with other times and permissions, both must be the same to the byte.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "dist"
# What the repository has for its own host and not for who unpacks a release.
ONLY_IN_THE_REPOSITORY = (".ci/", ".github/", ".editorconfig")
# Without these the package starts and fails later.
NEEDED = ("py.typed", "codec/small-1.dict", "proxy/dashboard/static/index.html", "testing/plugin.py")


def run(*command: str, cwd: Path = ROOT) -> None:
    """Run a command that must succeed, and show what it says only if it does not."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"dist: `{' '.join(command)}` failed with status {done.returncode}:\n{done.stdout.strip()}")


def tracked() -> set[str]:
    """What git tracks: a release has that, and nothing that lies about."""
    done = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        sys.exit("dist: this is no git repository, so nobody knows what belongs into a release.")
    return {name for name in done.stdout.decode().split("\0") if name and (ROOT / name).exists()}


def built(source: Path, target: str, folder: Path) -> Path:
    """The wheel or the sdist of a source tree."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder), cwd=source)
    (file,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return file


def unpacked(sdist: Path, folder: Path) -> Path:
    """The tree in an sdist, made to look as if it came from elsewhere: other times, other permissions."""
    with tarfile.open(sdist) as tar:
        tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(folder)  # noqa: S202 - made a moment ago
    (tree,) = folder.iterdir()
    for file in tree.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
        if file.is_file():
            file.chmod(0o600)
    return tree


def complaints(sdist: Path, wheel: Path) -> list[str]:
    """What is missing or too much in either, each in one line."""
    ours = tracked()
    with tarfile.open(sdist) as tar:
        packed = {member.name.partition("/")[2] for member in tar.getmembers() if member.isfile()}
    wanted = {name for name in ours if not name.startswith(ONLY_IN_THE_REPOSITORY)}
    found = [f"the sdist lacks {name}" for name in sorted(wanted - packed)]
    found += [f"the sdist has {name}, which git does not track" for name in sorted(packed - ours - {"PKG-INFO"})]

    with zipfile.ZipFile(wheel) as archive:
        installed = set(archive.namelist())
    about = {name for name in installed if name.partition("/")[0].endswith(".dist-info")}
    package = {name.removeprefix("src/") for name in ours if name.startswith("src/")}
    found += [f"the wheel lacks {name}" for name in sorted(package - installed)]
    found += [f"the wheel has {name}, which git does not track" for name in sorted(installed - package - about)]
    found += [f"the wheel lacks llm_cache/{name}" for name in NEEDED if f"llm_cache/{name}" not in installed]
    if not any(name.endswith("/licenses/LICENSE") for name in about):
        found.append("the wheel lacks the licence")
    return found


def digest(file: Path) -> str:
    """What two equal files have in common."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> int:
    """Build, look, and leave both in build/dist."""
    shutil.rmtree(OUT, ignore_errors=True)
    sdist = built(ROOT, "sdist", OUT)
    with tempfile.TemporaryDirectory() as scratch:
        tree = unpacked(sdist, Path(scratch) / "tree")
        wheel = built(tree, "wheel", OUT)
        pairs = [
            (sdist, built(tree, "sdist", Path(scratch) / "again")),
            (wheel, built(ROOT, "wheel", Path(scratch) / "again")),
        ]
        found = [f"{one.name} is another one each time it is built" for one, two in pairs if digest(one) != digest(two)]
    found += complaints(sdist, wheel)
    for complaint in found:
        print(f"dist: {complaint}.")
    if found:
        return 1
    # What the long description looks like on an index, and what a wheel should not hold.
    run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    run(sys.executable, "-m", "check_wheel_contents", str(wheel))
    for file in (sdist, wheel):
        print(f"dist: {file.relative_to(ROOT)}, {file.stat().st_size:,} bytes, sha256 {digest(file)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
