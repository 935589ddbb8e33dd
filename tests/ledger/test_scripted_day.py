"""A day of calls by four processes that are restarted in the middle: every figure is what was worked out beside it.

What is expected is worked out here, from the script alone and with sums of its own, and compared with the Python API,
the command line, and the proxy's pages, on both kinds of store.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

import pytest

from llm_cache import LLMCache
from tests.proxy.running import Running

ENDS = ("kill", "exit", "close", "exit")
COMMAND = str(Path(sys.executable).with_name("llm-cache"))
# USD per 1,000 tokens: input, output, cached input.
PRICES = {
    "openai": {"gpt-day": ("0.0025", "0.01", "0.00125"), "gpt-day-mini": ("0.00015", "0.0006", None)},
    "anthropic": {"claude-day": ("0.003", "0.015", "0.0003")},
    "groq": {"llama-day": ("0.00059", "0.00079", None)},
    "mistral": {"mistral-day": ("0.0021", "0.0063", None)},
    "deepseek": {"deep-day": ("0.00027", "0.0011", "0.00007")},
}
UNKNOWN = ("openai", "nobody-knows-this-model")
MODELS = [(provider, model) for provider, models in PRICES.items() for model in models] + [UNKNOWN]
NAMESPACES = ("default", "team-a", "tëam-b")


@dataclass
class Line:
    """What one provider, model and namespace come to."""

    counts: Counter = field(default_factory=Counter)
    spent: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)


def question(rng, number):
    """A call with a reply of its own; what it costs is in the reply's usage alone."""
    provider, model = MODELS[number % len(MODELS)]
    asked, cached, said = rng.randrange(1, 5000), rng.randrange(0, 2), rng.randrange(1, 900)
    cached = asked // 3 if cached else 0
    request = {"model": model, "messages": [{"role": "user", "content": f"question {number}"}]}
    if provider == "anthropic":
        endpoint = "/v1/messages"
        reply = {
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": "answer"}],
            "stop_reason": "end_turn",
            # Anthropic's own count leaves out what its cache read.
            "usage": {"input_tokens": asked - cached, "cache_read_input_tokens": cached, "output_tokens": said},
        }
    else:
        endpoint = "/v1/chat/completions"
        reply = {
            "object": "chat.completion",
            "model": f"{model}-2026-01-31" if provider == "openai" else model,
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"answer {number}"}}
            ],
            "usage": {
                "prompt_tokens": asked,
                "completion_tokens": said,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }
    return {
        "provider": provider,
        "model": model,
        "endpoint": endpoint,
        "namespace": NAMESPACES[number % len(NAMESPACES)],
        "request": request,
        "reply": reply,
        "mode": "read-write",
        "tokens": (asked, cached, said),
    }


def cost(call):
    """By hand; None for the model that has no price."""
    row = PRICES[call["provider"]].get(call["model"])
    if row is None:
        return None
    asked, cached, said = call["tokens"]
    for_input, for_output, for_cached = (None if price is None else Decimal(price) for price in row)
    read = for_input if for_cached is None else for_cached
    return (for_input * (asked - cached) + read * cached + for_output * said) / 1000


def script(count, processes, seed):
    """The calls of each process, before and after the restart, and what they must come to.

    A question belongs to one process before the restart, and to anybody after it, so that what is a hit does not
    depend on who is quicker.
    """
    rng = random.Random(seed)
    expected: dict[tuple[str, str, str], Line] = defaultdict(Line)
    questions = [question(rng, number) for number in range(max(processes * 6, count // 6))]
    morning: list[list[dict]] = [[] for _ in range(processes)]
    evening: list[list[dict]] = [[] for _ in range(processes)]
    for number, call in enumerate(questions):
        mine = morning[number % processes]
        mine.append(call)
        book(expected, call, "miss", "absent")
        if number % 5 == 0:
            mine.append(call | {"mode": "refresh"})
            book(expected, call, "miss", "refresh")
        for _ in range(rng.randrange(0, 4)):
            mine.append(call)
            book(expected, call, "hit")
        if number % 7 == 0:
            mine.append(call | {"mode": "off"})
            book(expected, call, "bypass", "off")
    while sum(map(len, morning + evening)) < count:
        call = rng.choice(questions)
        evening[rng.randrange(processes)].append(call)
        book(expected, call, "hit")
    return morning, evening, expected


def book(expected, call, what, reason=""):
    line = expected[call["provider"], call["model"], call["namespace"]]
    asked, _, said = call["tokens"]
    price = cost(call)
    line.counts[what] += 1
    if reason:
        line.counts[f"{what}:{reason}"] += 1
    if what == "miss":
        line.counts["in"] += asked
        line.counts["out"] += said
        line.counts["unpriced_spent"] += price is None
        line.spent += price or 0
    elif what == "hit":
        line.counts["tokens_saved"] += asked + said
        line.counts["unpriced_saved"] += price is None
        line.saved += price or 0


def run(url, plan, ends):
    prices = {
        provider: {
            model: {
                name: Decimal(price)
                for name, price in zip(("input", "output", "cached"), row, strict=True)
                if price is not None
            }
            for model, row in models.items()
        }
        for provider, models in PRICES.items()
    }
    processes = []
    for calls, end in zip(plan, ends, strict=True):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.day_process"], stdin=subprocess.PIPE, text=True, cwd=ROOT
        )
        told = {"url": url, "prices": prices, "calls": calls, "end": end, "patience_s": PATIENCE_S}
        process.stdin.write(json.dumps(told, default=float))
        process.stdin.close()
        processes.append(process)
    for process, end in zip(processes, ends, strict=True):
        assert process.wait(600) == (-9 if end == "kill" else 0)


ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 4.0
"""Counters are flushed each second, but this machine may be busy."""


def folded(expected, *places):
    """The expected lines by some of provider, model and namespace."""
    lines: dict[tuple[str, ...], Line] = defaultdict(Line)
    for names, line in expected.items():
        into = lines[tuple(names[place] for place in places)]
        into.counts += line.counts
        into.spent += line.spent
        into.saved += line.saved
    return lines


def figures(line):
    """An expected line as the command line has it."""
    counts = line.counts
    hits, misses = counts["hit"], counts["miss"]
    return {
        "calls": hits + misses + counts["bypass"],
        "hits": hits,
        "misses": misses,
        "joined": 0,
        "bypasses": counts["bypass"],
        "bypass_reasons": {"off": counts["bypass:off"]} if counts["bypass:off"] else {},
        "hit_rate": round(hits / (hits + misses), 6),
        "cost_spent_usd": line.spent,
        "cost_saved_usd": line.saved,
        "unpriced_spent": counts["unpriced_spent"],
        "unpriced_saved": counts["unpriced_saved"],
        "input_tokens": counts["in"],
        "output_tokens": counts["out"],
        "tokens_saved": counts["tokens_saved"],
    }


def command(url, *arguments):
    done = subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "LLMCACHE_DATABASE_URL": url},
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(params=["sqlite", "redis"])
def url(request, database):
    return database if request.param == "sqlite" else request.getfixturevalue("redis_server").url


@pytest.mark.parametrize(
    ("count", "processes"),
    [
        pytest.param(200, 2, marks=pytest.mark.timeout(240)),
        pytest.param(10_000, 4, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_every_figure_of_a_day_is_exact_wherever_it_is_shown(url, count, processes):
    morning, evening, expected = script(count, processes, seed=count)
    run(url, morning, ENDS[:processes])
    run(url, evening, ENDS[-processes:])
    total = folded(expected)[()]
    assert sum(figures(total)[name] for name in ("hits", "misses", "bypasses")) == sum(map(len, morning + evening))

    with LLMCache(database_url=url) as cache:
        stats = cache.stats()
        assert (stats.hits, stats.misses, stats.bypasses) == (
            total.counts["hit"],
            total.counts["miss"],
            total.counts["bypass"],
        )
        assert (stats.cost_spent_usd, stats.cost_saved_usd) == (total.spent, total.saved)
        assert stats.reasons["miss"] == {"absent": total.counts["miss:absent"], "refresh": total.counts["miss:refresh"]}
        lines = cache.engine.ledger.report("provider", "model", "namespace")
        assert {(line.provider, line.model, line.namespace) for line in lines} == set(expected)
        for line in lines:
            wanted = expected[line.provider, line.model, line.namespace]
            assert (line.hits, line.misses, line.cost_spent_usd, line.cost_saved_usd, line.tokens_saved) == (
                wanted.counts["hit"],
                wanted.counts["miss"],
                wanted.spent,
                wanted.saved,
                wanted.counts["tokens_saved"],
            )
        entries = list(cache.entries())
        # Entries know their own hits, price and time, and come to the same.
        assert sum(entry.hits for entry in entries) == stats.hits
        assert sum((entry.cost_usd or 0) * entry.hits for entry in entries) == stats.cost_saved_usd
        microseconds = sum(entry.hits * round(entry.latency_ms * 1000) for entry in entries)
        assert stats.time_saved_s == microseconds / 1_000_000
        assert stats.entries == len(entries)

    assert_the_command_line_says_so(url, expected, total, stats)
    assert_the_proxy_says_so(url, expected, total, stats)


def assert_the_command_line_says_so(url, expected, total, stats):
    told = command(url, "stats", "--json")
    wanted = figures(total)
    assert {name: told[name] for name in ("hits", "misses", "joined", "bypasses", "hit_rate", "tokens_saved")} == {
        name: wanted[name] for name in ("hits", "misses", "joined", "bypasses", "hit_rate", "tokens_saved")
    }
    assert (Decimal(told["cost_spent_usd"]), Decimal(told["cost_saved_usd"])) == (total.spent, total.saved)
    assert (told["entries"], told["time_saved_s"]) == (stats.entries, stats.time_saved_s)
    for by, places in (("provider", (0,)), ("model", (0, 1)), ("namespace", (2,))):
        lines = folded(expected, *places)
        names = ("provider", "model") if by == "model" else (by,)
        found = command(url, "stats", "--json", "--by", by)["by"]
        assert {tuple(line[name] for name in names) for line in found} == set(lines)
        for line in found:
            for name, value in figures(lines[tuple(line[name] for name in names)]).items():
                assert (Decimal(line[name]) if name.startswith("cost_") else line[name]) == value, (by, line, name)
    days = command(url, "stats", "--json", "--by", "day")["by"]
    assert sum(line["hits"] for line in days) == total.counts["hit"]
    assert sum(Decimal(line["cost_spent_usd"]) for line in days) == total.spent


def assert_the_proxy_says_so(url, expected, total, stats):
    proxy = Running(None, {"database_url": url})
    try:
        page = proxy.get("/metrics").text
        assert_the_dashboard_says_so(proxy, expected, total, stats)
    finally:
        proxy.stop()
    told = dict(line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
    assert int(told["llm_cache_entries_total"]) == stats.entries
    assert int(told["llm_cache_hits_total"]) == total.counts["hit"]
    assert Decimal(told["llm_cache_cost_saved_usd"]) == total.saved
    assert float(told["llm_cache_cost_spent_usd_total"]) == float(total.spent)
    assert float(told["llm_cache_misses_total"]) == total.counts["miss"]
    assert float(told['llm_cache_bypasses_total{reason="off"}']) == total.counts["bypass"]
    assert float(told["llm_cache_time_saved_seconds_total"]) == stats.time_saved_s
    assert float(told["llm_cache_tokens_saved_total"]) == total.counts["tokens_saved"]
    assert float(told['llm_cache_unpriced_total{money="saved"}']) == total.counts["unpriced_saved"]


def assert_the_dashboard_says_so(proxy, expected, total, stats):
    def ask(path):
        answer = proxy.get(f"/dashboard/api/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def same(line, wanted):
        figure = figures(wanted)
        for name in ("hits", "misses", "joined", "bypasses", "tokens_saved", "unpriced_spent", "unpriced_saved"):
            assert line[name] == figure[name], (line, name)
        assert (line["tokens_in"], line["tokens_out"]) == (figure["input_tokens"], figure["output_tokens"])
        assert (Decimal(line["cost_spent_usd"]), Decimal(line["cost_saved_usd"])) == (wanted.spent, wanted.saved)
        assert round(line["hit_rate"], 6) == figure["hit_rate"]

    told = ask("overview?days=all")
    same(told["total"], total)
    assert (told["entries"], told["total"]["time_saved_s"]) == (stats.entries, stats.time_saved_s)
    for name, places in (("providers", (0,)), ("lines", (0, 1)), ("namespaces", (2,))):
        lines = folded(expected, *places)
        names = {"providers": ("provider",), "lines": ("provider", "model"), "namespaces": ("namespace",)}[name]
        assert {tuple(line[each] for each in names) for line in told[name]} == set(lines)
        for line in told[name]:
            same(line, lines[tuple(line[each] for each in names)])
    assert sum(Decimal(day["cost_saved_usd"]) for day in told["days"]) == total.saved
    # What is chosen, its reasons, and the page of misses.
    for (provider, model, namespace), line in expected.items():
        query = urlencode({"provider": provider, "model": model, "namespace": namespace, "days": 3})
        same(ask(f"overview?{query}")["total"], line)
    reasons = {each["reason"]: each["count"] for each in ask("misses?days=all")["reasons"]["miss"]}
    assert reasons == {"absent": total.counts["miss:absent"], "refresh": total.counts["miss:refresh"]}
    # The entries, page by page, with what each has cost and how often it was served.
    entries, after = [], ""
    while after is not None:
        page = ask(f"entries?limit=200&{urlencode({'after': after})}")
        entries += page["entries"]
        after = page["next"]
    assert len({entry["key"] for entry in entries}) == len(entries) == stats.entries
    assert sum(entry["hits"] for entry in entries) == total.counts["hit"]
    assert sum(Decimal(entry["cost_usd"] or 0) * entry["hits"] for entry in entries) == total.saved
