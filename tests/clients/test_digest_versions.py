"""Digests of functions and texts of arguments, frozen, the same in every Python version. Add vectors, never edit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients import digests_of, digests_of_ours
from tests.clients.interpreters import VERSIONS, run

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "function_digests.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))
RIGHT = {case["name"]: case.get("digest") or case["written"] for case in CASES}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_finds_the_same(version):
    found = json.loads(run(version, digests_of.__file__, text=json.dumps(CASES)))
    assert found == RIGHT


def test_the_vectors_are_of_different_functions():
    digests = [right for name, right in RIGHT.items() if "as the smallest" not in name]
    assert len(set(digests)) == len(digests) >= 16


def test_every_version_finds_the_same_for_our_own_code():
    found = {version: json.loads(run(version, digests_of_ours.__file__)) for version in VERSIONS}
    first = found[VERSIONS[0]]
    assert len(first) > 150
    for version, digests in found.items():
        assert {name for name in first if digests.get(name) != first[name]} == set(), version


PROGRAM = """
from llm_cache.clients.function_digest import digest
TEMPLATE = "one"
def ask(x): return TEMPLATE + x
print(digest(ask))
"""


@pytest.mark.parametrize("seed", ["0", "1"])
def test_processes_and_hash_seeds_find_the_same(tmp_path, monkeypatch, seed):
    (tmp_path / "program.py").write_text(
        PROGRAM + "SET = {'a', 'b', 'c'}\ndef other(): return SET\nprint(digest(other))"
    )
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    first = run("3.11", "program.py", folder=tmp_path)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert run("3.11", "program.py", folder=tmp_path) == first


def test_a_script_and_its_import_find_the_same_names(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "app.py").write_text(
        "from llm_cache.clients.typed import home, class_name\nclass A: pass\nprint(home(__name__), class_name(A))\n"
    )
    found = {
        run("3.11", "pkg/app.py", folder=tmp_path),
        run("3.11", "-m", "pkg.app", folder=tmp_path),
        run("3.11", "-c", "import pkg.app", folder=tmp_path),
    }
    assert found == {"pkg.app pkg.app:A\n"}
