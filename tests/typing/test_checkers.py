"""The public API is typed: mypy, pyright and ty find every type in `sample.py`, and the mistakes, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cache.config import KEYS
from llm_cache.config.arguments import Arguments

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PLACE = ROOT / ".venvs" / "pyright"
SAMPLE = (HERE / "sample.py").read_text(encoding="utf-8")
NEEDED = ("openai", "anthropic", "httpx", "typing_extensions")


def test_every_setting_is_an_argument_with_a_type():
    assert {*Arguments.__annotations__, "backend", "database_url"} == set(KEYS)


def mistakes(checker):
    lines = enumerate(SAMPLE.splitlines(), 1)
    return {number for number, line in lines if "  # wrong" in line and f"if not to {checker}" not in line}


def said(output, where):
    """The lines of the sample that a checker has complained of."""
    return {int(number) for number in re.findall(rf"{re.escape(where)}:(\d+)(?::\d+)?:? (?:- )?error", output)}


@pytest.fixture
def sample(tmp_path):
    """A copy, so that no configuration of ours reaches it."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    (tmp_path / "sample.py").write_text(SAMPLE, encoding="utf-8")
    return tmp_path


def test_ty(sample):
    ty = Path(sys.executable).with_name("ty")
    if not ty.exists():
        pytest.skip("ty is not installed")
    command = [str(ty), "check", "--python", sys.prefix, "--output-format", "concise", "sample.py"]
    done = subprocess.run(command, cwd=sample, capture_output=True, text=True, timeout=55)
    assert said(done.stdout, "sample.py") == mistakes("ty"), done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mypy(sample):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--hide-error-context", "sample.py"]
    done = subprocess.run(command, cwd=sample, capture_output=True, text=True, timeout=300)
    assert said(done.stdout, "sample.py") == mistakes("mypy"), done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pyright(sample):
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on the path")
    PLACE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, PLACE)
    quick = ["--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0", "--fetch-timeout=30000"]
    done = subprocess.run(["npm", "ci", *quick], cwd=PLACE, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot install pyright: {done.stderr.strip().splitlines()[-1:]}")
    (sample / "pyrightconfig.json").write_text(json.dumps({"include": ["sample.py"], "typeCheckingMode": "strict"}))
    command = ["node", str(PLACE / "node_modules" / "pyright" / "index.js"), "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=sample, capture_output=True, text=True, timeout=150)
    assert said(done.stdout, "sample.py") == mistakes("pyright"), done.stdout
