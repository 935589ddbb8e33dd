"""What Prometheus reads: the three old metrics exactly as ever, the rest by prometheus-client, never without bound."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from llm_cache.core.events import Bypassed, Dropped, Hit, Joined, Missed, Stored, StoreFailed
from llm_cache.core.model import Usage
from llm_cache.ledger.metrics import CONTENT_TYPE, render
from llm_cache.ledger.report import Stats
from llm_cache.stores.base import Summary
from tests.ledger.conftest import about, entry

SEED = """\
# HELP llm_cache_entries_total Total number of cache entries
# TYPE llm_cache_entries_total counter
llm_cache_entries_total 42

# HELP llm_cache_hits_total Total number of cache hits
# TYPE llm_cache_hits_total counter
llm_cache_hits_total 156

# HELP llm_cache_cost_saved_usd Total cost saved in USD
# TYPE llm_cache_cost_saved_usd counter
llm_cache_cost_saved_usd 12.34
"""


def values(page):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_the_old_three_are_exactly_as_the_readme_shows_them():
    label = ("calls", "2026-01-01", "openai", "gpt-4", "default")
    stats = Stats.of({label: {"hits": 156, "saved_pico": 12_340_000_000_000}}, Summary(42, 0, (), ()))
    assert render(stats).decode().startswith(SEED)


def test_an_empty_cache_has_them_too():
    page = render(Stats.of({}, Summary(0, 0, (), ()))).decode()
    assert "\nllm_cache_entries_total 0\n" in page
    assert "\nllm_cache_hits_total 0\n" in page
    assert "\nllm_cache_cost_saved_usd 0\n" in page


def test_the_content_type_is_that_of_the_text_format():
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_everything_that_is_counted_is_there(ledger):
    for event in (
        Missed(about(), "absent"),
        Stored(about(), entry()),
        Hit(about(), entry()),
        Hit(about(), entry(), stale=True),
        Joined(about(), entry(), None),
        Bypassed(about(), "off"),
        Dropped(about(), "empty", Usage(1, 1)),
        Dropped(about(), "abandoned", None),
        StoreFailed(about(), "get", "no"),
    ):
        ledger(event)
    found = values(render(ledger.stats()))
    for name, value in {
        ("llm_cache_hits_total",): 3,
        ("llm_cache_misses_total",): 1,
        ("llm_cache_joined_total",): 1,
        ("llm_cache_stale_hits_total",): 1,
        ("llm_cache_stored_total",): 1,
        ("llm_cache_tokens_saved_total",): 6,
        # As Prometheus' own parser for Python calls it; the page has the old name.
        ("llm_cache_cost_saved_usd_total",): 0.00012,
        ("llm_cache_cost_spent_usd_total",): 0.00008,
        ("llm_cache_time_saved_seconds_total",): 3.0,
        ("llm_cache_bypasses_total", "off"): 1,
        ("llm_cache_dropped_total", "empty"): 1,
        ("llm_cache_dropped_total", "abandoned"): 1,
        ("llm_cache_store_failures_total", "get"): 1,
        ("llm_cache_tokens_total", "input"): 2,
        ("llm_cache_tokens_total", "output"): 2,
        ("llm_cache_unpriced_total", "spent"): 1,
        ("llm_cache_calls_total", "acme", "hit"): 3,
        ("llm_cache_calls_total", "acme", "miss"): 1,
        ("llm_cache_calls_total", "acme", "bypass"): 1,
    }.items():
        assert found[name] == value, name


def test_no_metric_is_there_twice(ledger):
    names = [family.name for family in text_string_to_metric_families(render(ledger.stats()).decode())]
    assert len(names) == len(set(names))


def test_words_of_callers_make_a_bounded_number_of_series_and_break_no_line(ledger):
    for number in range(500):
        ledger(Bypassed(about(provider=f"p{number}", model=f"m{number}"), f'r"\n{number}'))
    found = values(render(ledger.stats()))
    reasons = {name: value for name, value in found.items() if name[0] == "llm_cache_bypasses_total"}
    assert len(reasons) == 33
    assert sum(reasons.values()) == 500
    assert len([name for name in found if name[0] == "llm_cache_calls_total"]) <= 3 * 33
    assert not [name for name in found if "m1" in name]
