"""Other interpreters on this machine. It must not install any."""

from __future__ import annotations

import functools
import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import llm_cache

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
SOURCE = Path(llm_cache.__file__).resolve().parents[1]


@functools.cache
def interpreter(version):
    """One of that version that starts, or a skip that says there is none."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    # Tests have a home of their own, which is not where people keep their interpreters.
    home = Path(os.environ.get("PYENV_ROOT") or Path(f"~{getpass.getuser()}").expanduser() / ".pyenv")
    places = [shutil.which(f"python{version}"), *sorted(home.glob(f"versions/{version}.*/bin/python3"))]
    for place in filter(None, places):
        try:
            done = subprocess.run(
                [place, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.stdout.strip() == version:
            return str(place)
    pytest.skip(f"there is no Python {version} on this machine")


def run(version, *arguments, text=None, folder=None, path=()):
    """What a program writes in that version, with nothing but this package to import."""
    done = subprocess.run(
        [interpreter(version), *arguments], input=text, capture_output=True, text=True, timeout=50, check=False,
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *map(str, path)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
