"""The change that CONTRIBUTING begins with is a change: its test fails before it and passes after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_guides import BLOCK, patched

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
NEEDED = (
    "pyproject.toml",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/redis_servers.py",
    "tests/faces/__init__.py",
)


def test_what_it_changes_is_there():
    [(_, file, diff)] = [block for block in BLOCKS if block[0] == "diff"]
    assert patched((ROOT / file).read_text(encoding="utf-8"), diff)


@pytest.mark.slow
@pytest.mark.timeout(120)  # everything is compiled anew
def test_its_test_fails_before_and_passes_after(tmp_path):
    pytest.importorskip("httpx")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    [(_, test, text)] = [block for block in BLOCKS if block[0] == "python"]
    [(_, file, diff)] = [block for block in BLOCKS if block[0] == "diff"]
    (tmp_path / test).write_text(text)

    def run():
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", test]
        environ = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=50)

    before = run()
    assert before.returncode == pytest.ExitCode.TESTS_FAILED, before.stdout
    assert "['t-1', None]" in before.stdout
    (tmp_path / file).write_text(patched((tmp_path / file).read_text(), diff))
    after = run()
    assert after.returncode == 0, after.stdout
    assert "1 passed" in after.stdout
