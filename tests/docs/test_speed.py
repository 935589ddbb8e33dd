"""The page of figures is what the figures say: nobody has changed one and not the other."""

from __future__ import annotations

import json

from tools import make_speed

FIGURES = json.loads(make_speed.FIGURES.read_text(encoding="utf-8"))
TEXT = make_speed.PAGE.read_text(encoding="utf-8")


def test_the_tables_are_made_of_the_figures_beside_them():
    assert make_speed.made(TEXT, FIGURES) == TEXT


def test_every_comparison_is_on_the_page():
    names = {match[2] for match in make_speed.BLOCK.finditer(TEXT)}
    assert names == {*FIGURES["comparisons"], "growth", "sums"}


def test_the_pictures_are_drawn_from_them_as_well():
    pictures = make_speed.pictures()
    assert len(pictures) == 3
    for picture in pictures:
        assert make_speed.digest(FIGURES) in picture.read_text(encoding="utf-8")


def test_another_figure_would_be_another_page():
    changed = json.loads(json.dumps(FIGURES))
    changed["comparisons"]["library"]["results"][0]["ours"] = "0 µs"
    assert make_speed.made(TEXT, changed) != TEXT
    assert make_speed.digest(changed) != make_speed.digest(FIGURES)
