"""The guides for who extends llm-cache do what they say: their files and lines, put into a copy, work as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ("add-a-vendor", "add-a-provider", "add-a-store")
# Programs of their own, one with some thousand small files, on a machine that may have other things to do.
pytestmark = pytest.mark.timeout(300)
BLOCK = re.compile(r"^```(python|diff)\n# (\S+\.py)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(guide):
    return BLOCK.findall((ROOT / "docs" / "how-to" / f"{guide}.md").read_text(encoding="utf-8"))


def patched(text, diff):
    """The text after a change of neighbouring lines, of which some stay, some go and some come."""
    lines = [(line[:1], line[1:]) for line in diff.splitlines()]
    before = "\n".join(line for sign, line in lines if sign in {" ", "-"})
    after = "\n".join(line for sign, line in lines if sign in {" ", "+"})
    assert text.count(before + "\n") == 1, f"the guide changes what is not there:\n{before}"
    return text.replace(before, after)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A repository in which somebody has followed both guides."""
    folder = tmp_path_factory.mktemp("repository")
    junk = shutil.ignore_patterns("__pycache__", "node", "golden")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=junk)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for guide in GUIDES:
        for kind, path, text in blocks(guide):
            file = folder / path
            assert file.exists() == (kind == "diff")
            file.write_text(patched(file.read_text(), text) if kind == "diff" else text)
    return folder


@pytest.fixture
def run(copy, tmp_path):
    def running(*command, status=0, **environ):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            env={**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1", **environ},
            cwd=copy, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return running


def test_a_provider_is_a_file_of_less_than_120_lines_and_a_store_one_of_less_than_160(copy):
    assert len((copy / "src/llm_cache/providers/parrot.py").read_text().splitlines()) < 120
    assert len((copy / "src/llm_cache/stores/folder.py").read_text().splitlines()) < 160
    # Three lines: how long it lives, and how to make it.
    contract = (copy / "tests/stores/test_folder.py").read_text().partition("(StoreContract):\n")[2]
    assert len([line for line in contract.splitlines() if line.strip()]) == 3


@pytest.mark.parametrize(
    ("guide", "added"), [("add-a-vendor", [1]), ("add-a-provider", [1, 1, 1]), ("add-a-store", [1])]
)
def test_nothing_else_is_changed_but_a_line_here_and_there(guide, added):
    changes = [text for kind, _, text in blocks(guide) if kind == "diff"]
    assert [len(re.findall(r"^\+", text, re.MULTILINE)) for text in changes] == added


def test_the_new_store_passes_the_contract(run):
    said = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "tests/stores/test_folder.py")
    passed = re.search(r"^(\d+) passed in", said, re.MULTILINE)
    assert passed
    assert int(passed[1]) > 60


def test_the_new_provider_passes_its_tests(run):
    pytest.importorskip("httpx")
    said = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "tests/providers/test_parrot.py")
    assert "9 passed" in said


PROGRAM = """
import sys
from llm_cache import LLMCache

def ask():
    print("asked")
    return {"answer": 42}

for _ in range(2):
    with LLMCache() as cache:
        for _ in range(2):
            assert cache.get_or_set("k", ask, "parrot", "grey-1", "/v3/utter", {}) == {"answer": 42}
        hits, backend = cache.stats().hits, cache.settings.backend
print(hits, backend)
"""


def test_the_new_store_is_known_to_the_library_and_to_the_commands(run, tmp_path):
    where = {"LLMCACHE_DATABASE_URL": f"folder://{tmp_path}/kept"}
    assert run("-c", PROGRAM, **where).split() == [
        "asked",
        "3",
        "folder",
    ]
    assert len(list((tmp_path / "kept").glob("*.row"))) == 1
    assert "grey-1" in run("-m", "llm_cache.cli.main", "list", **where)
    assert '"hits": 3' in run("-m", "llm_cache.cli.main", "stats", "--json", **where)
    assert f"{tmp_path}/kept" in run("-m", "llm_cache.cli.main", "doctor", **where)


def test_a_backend_without_a_place_of_its_own_asks_for_one(run):
    run("-m", "llm_cache.cli.main", "stats", status=2, LLMCACHE_BACKEND="folder")


VENDORS = """
import json
from llm_cache.core.model import Request
from llm_cache.providers.registry import recognise
from llm_cache.providers.upstreams import BUILT_IN, route

body = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
for url in ("https://api.nimbus.example/v1/chat/completions", "https://api.nimbus.example/chat/completions"):
    found = recognise(Request("POST", url, (), json.dumps(body).encode()), body)
    print(found.provider, found.upstream)
print(*route("/nimbus/chat/completions", "", (), BUILT_IN))
print(route("/v1/chat/completions", "", (("authorization", "Bearer nim-1"),), BUILT_IN)[0], BUILT_IN["nimbus"])
"""


def test_a_compatible_vendor_is_a_line(run):
    assert run("-c", VENDORS).splitlines() == [
        "nimbus api.nimbus.example:443",
        "nimbus api.nimbus.example:443",
        "nimbus /chat/completions",
        "nimbus https://api.nimbus.example/v1",
    ]


def test_a_server_of_ones_own_is_a_line_of_configuration(tmp_path):
    from llm_cache.config import load

    page = (ROOT / "docs" / "how-to" / "add-a-vendor.md").read_text(encoding="utf-8")
    (tmp_path / "config.toml").write_text(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1])
    settings = load({}, {"LLMCACHE_CONFIG": str(tmp_path / "config.toml")})
    assert dict(settings.upstreams) == {"acme": "https://llm.acme.example/v1"}


def test_what_is_added_is_written_as_the_house_wants_it(copy):
    ruff = Path(sys.executable).parent / "ruff"
    if not ruff.exists():
        pytest.skip("the linter is not in this environment")
    files = [path for guide in GUIDES for _, path, _ in blocks(guide)]
    for command in (("check", "-q", "--no-cache"), ("format", "--check", "-q", "--no-cache")):
        done = subprocess.run([ruff, *command, *files], cwd=copy, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a type checker, and nine hundred tests
def test_what_is_added_has_its_types_and_breaks_no_other_test(run):
    pytest.importorskip("mypy")
    run("-m", "mypy", "src/llm_cache/providers", "src/llm_cache/stores")
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "tests/providers", "tests/stores/test_registry.py")
