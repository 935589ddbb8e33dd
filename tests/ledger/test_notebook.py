"""What a notebook shows of `cache.stats()`: money, rates, models; and nothing that a name could make of it."""

from __future__ import annotations

from html.parser import HTMLParser

from llm_cache import LLMCache
from llm_cache.ledger.report import Stats
from llm_cache.stores.base import Summary

NAME = "<script>x</script>\x1b[31m\u202e'\"&"


class Reads(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.cells = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


def shown(sums, entries=3):
    stats = Stats.of(sums, Summary(entries, 5, ("acme",), ("m",)))
    reads = Reads()
    reads.feed(stats._repr_html_())
    assert reads.tags <= {"table", "thead", "tbody", "tr", "th", "td", "span", "bdi", "p", "code"}
    return reads.cells


def test_what_was_saved():
    amounts = {"hits": 3, "misses": 1, "saved_pico": 1_234_567_890_123, "spent_pico": 1_500_000, "unpriced_saved": 2}
    cells = shown({("calls", "2026-01-01", "acme", "big", "default"): amounts})
    assert cells[:7] == ["saved", "spent", "hit rate", "calls", "tokens saved", "time saved", "entries"]
    assert cells[7:11] == ["$1.23 and 2 of unknown price", "$<0.0001", "75.0%", "4"]
    assert cells[-6:-3] == ["acme", "big", "4"]


def test_names_are_text():
    cells = shown({("calls", "2026-01-01", NAME, "m" * 10_000, "default"): {"hits": 1}})
    assert cells[-6] == "<script>x</script>\\u001b[31m\\u202e'\"&"
    assert len(cells[-5]) < 200


def test_nothing_yet_and_very_much():
    assert shown({}, 0)[7:] == ["$0.00", "$0.00", "–", "0", "0", "0.0 s", "0"]
    many = {("calls", "2026-01-01", "acme", f"m{number}", "default"): {"hits": 1} for number in range(50)}
    stats = Stats.of(many, Summary(0, 0, (), ()))
    assert "and 38 more" in stats._repr_html_()


def test_an_entry_is_a_line_whatever_was_answered():
    with LLMCache(backend="memory") as cache:
        cache.set("key", {"text": "x" * 1_000_000}, "acme", "big", "/x", {"q": "y" * 1_000_000})
        entry = cache.get("key")
    assert len(repr(entry)) < 500
    assert f"key={entry.key!r}, provider='acme', model='big'" in repr(entry)
    assert repr([entry]).count("Entry(") == 1
