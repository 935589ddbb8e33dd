"""Its tests, which CI runs with no key and no network:  pytest    (pytest.ini says offline)

Once, and again when a prompt changes, on a machine that has a key:  pytest --llm-cache=auto
"""

from __future__ import annotations

from summarise import headline, summarise

STORY = "The cat, which had been out all night, came home at six and sat on the mat until noon."


def test_a_summary_is_about_the_cat() -> None:
    assert "cat" in summarise(STORY).lower()


def test_a_summary_is_short() -> None:
    assert len(summarise(STORY)) < len(STORY)


def test_a_headline_is_a_line() -> None:
    found = headline(STORY)
    assert found
    assert "\n" not in found
