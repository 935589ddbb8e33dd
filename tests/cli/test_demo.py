"""`llm-cache demo` shows what it says it shows, and leaves the user's own cache alone."""

import re
import subprocess
import sys

import pytest


def demo(env):
    run = [sys.executable, "-m", "llm_cache.cli.main", "demo", "--fast"]
    return subprocess.run(run, env=env, capture_output=True, text=True, timeout=50)


@pytest.fixture
def home(tmp_path):
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLMCACHE_")}
    return {**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}


def check(done, tmp_path):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "the same to the letter" in done.stdout
    assert re.search(r"10 answers .* 1 request reached the provider", done.stdout)
    assert '"Why is the Sky blue?" here, "Why is the sky blue?" there' in done.stdout
    # One question, one story, one question of ten callers; the offline miss reached nobody.
    assert "15; 3 of them reached the provider" in done.stdout
    assert re.search(r"Spent +\$0\.0013275\n", done.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sdk
def test_the_demo_with_the_sdk(home, tmp_path):
    pytest.importorskip("openai")
    done = demo(home)
    assert "through the OpenAI SDK" in done.stdout
    check(done, tmp_path)


def test_the_demo_without_an_sdk(home, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "openai.py").write_text("raise ImportError('not here')")
    done = demo({**home, "PYTHONPATH": str(blocked)})
    (blocked / "openai.py").unlink()
    for left in blocked.rglob("*.pyc"):
        left.unlink()
    for left in sorted(blocked.rglob("*"), reverse=True):
        left.rmdir()
    blocked.rmdir()
    assert "(the OpenAI SDK is not installed)" in done.stdout
    check(done, tmp_path)
