"""The forge's workflows do nothing of their own: they call `.ci/run` and targets of the Makefile."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
if not FOLDER.is_dir():
    pytest.skip("a release has no workflows", allow_module_level=True)
TEXT = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yml")}
CHANGELOG = runpy.run_path(str(ROOT / "tools" / "check_changelog.py"))


def test_only_targets_are_run():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    runs = [line for text in TEXT.values() for line in re.findall(r"run: (.*)", text)]
    assert len(runs) >= 4
    for line in runs:
        target = re.fullmatch(r"make ([a-z-]+)(?: \w+=\S+)?", line)
        assert line == ".ci/run" or target[1] in targets, line


def test_what_is_used_is_pinned_and_nothing_may_write():
    for name, text in TEXT.items():
        uses = re.findall(r"uses: (.*)", text)
        assert uses
        assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", use) for use in uses), uses
        assert "write" not in re.sub(r"id-token: write", "", text)
        assert ("id-token: write" in text) is (name == "release.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("## [Unreleased]\n\n### Added\n\n- one\n\n## [0.2.0] - 2026-01-31\n### Fixed\n- two\n", None),
        ("## [0.2.0] - 2026-01-31\n### Fixed\n- two\n", "unreleased"),
        ("## [Unreleased]\n## [0.2.0]\n", "2026"),
        ("## [Unreleased]\n### News\n", "'News'"),
        ("## [Unreleased]\n- one\n", "neither"),
        ("## [Unreleased]\n## [0.2.0] - 2026-01-31\n## [0.10.0] - 2026-02-01\n", "in order"),
    ],
)
def test_the_form_of_the_changelog(text, said):
    found = CHANGELOG["complaints"](text)
    assert (found == []) if said is None else (said in found[0])


def test_a_tag_that_the_changelog_does_not_tell_of_is_no_release(capsys):
    assert CHANGELOG["main"](["v9.9.9"]) == 1
    assert "v9.9.9" in capsys.readouterr().out
