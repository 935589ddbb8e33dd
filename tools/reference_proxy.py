"""The reference pages of what the proxy says: headers, errors, metrics. It makes text, and writes nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from llm_cache.core import recorder
from llm_cache.ledger import about as reasons
from llm_cache.ledger.metrics import OLDER, metrics as of_the_account
from llm_cache.ledger.report import Stats
from llm_cache.proxy import about
from llm_cache.proxy.board import RESULTS, Board
from llm_cache.stores.base import Summary

PROXY = Path(about.__file__).parent
LABELS = {
    "result": "what became of it: `hit`, `miss` or `bypass`",
    "reason": "a [reason](reasons.md)",
    "operation": "a [store operation](reasons.md#failures-of-the-store)",
    "direction": "`input`, `output`",
    "money": "`spent`, `saved`",
    "provider": "a provider's name",
}
OF_ONE = {
    (
        "llm_cache_requests_total",
        "result",
    ): f"{', '.join(f'`{each}`' for each in RESULTS)}; the proxy refuses, an upstream fails"
}


def metrics() -> str:
    """Every metric as `/metrics` has it."""
    account = of_the_account(Stats.of({}, Summary(0, 0, (), ())), store_up=True)
    rows = [(f"`{name}`", "counter", "", text) for name, text in OLDER]
    for metric in (*account, *Board().metrics()):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        names = getattr(metric, "_labelnames", ())
        labels = "; ".join(f"`{label}`: {OF_ONE.get((name, label)) or LABELS[label]}" for label in names)
        rows.append((f"`{name}`", metric.type, labels, metric.documentation))
    lines = [
        "# Metrics",
        "",
        "`GET /metrics` at the proxy, in Prometheus' text format 0.0.4: the sum of all workers at that moment.",
        "",
        "Counts of calls, tokens and money come from the store: they are those of everybody who uses it, the library",
        "included, and outlive the proxy. `llm_cache_requests_total`, the histograms and what is under way are the",
        "proxy's own, and begin with it. A worker that is killed takes with it what it counted in its last second. No",
        "label holds a caller, a namespace or a model, and none has more than 32 values; what goes beyond is `other`.",
        "",
        *_table(("metric", "type", "labels", ""), rows),
        "",
        "The first three are older than this program, and named as they always were. A histogram `x` is",
        "`x_bucket{le}`, `x_count` and `x_sum`, in seconds. `llm_cache_calls_total` and `llm_cache_requests_total`",
        "count different things: calls in the account of the store, and requests at this proxy.",
        "",
    ]
    return "\n".join(lines)


def reasons_page() -> str:
    """Every word that the account counts by."""
    lines = [
        "# Reasons",
        "",
        "The words that `llm-cache stats --verbose`, `last_call().reason`, the labels of [metrics](metrics.md) and the",
        "dashboard use.",
        "",
    ]
    for title, words in (
        ("Misses", reasons.MISSES),
        ("Calls that were passed by", reasons.BYPASSES),
        ("Answers that were not kept", reasons.DROPS),
        ("Failures of the store", reasons.FAILURES),
    ):
        lines += [f"## {title}", "", *_table(("reason", ""), _ticked(words)), ""]
    lines += [
        "`last_call().reason` also says `joined` of a call that joined another, and `unkeepable` where `get_or_set`",
        "gave back a value of a type that cannot be kept.",
        "",
    ]
    return "\n".join(lines)


def headers() -> str:
    """Every header that steers the proxy or that it says something in, its pages and its errors."""
    kept = sorted(recorder.KEPT) + [f"{prefix}*" for prefix in recorder.KEPT_PREFIXES]
    statuses = refusals()
    lines = [
        "# Headers, pages and errors of the proxy",
        "",
        "## What a request may say",
        "",
        "These can only tighten what the server allows. They are taken off before the request goes on. One that cannot",
        "be understood is a 400: what was ignored silently could have been a wish to be private.",
        "",
        *_table(("header", ""), _ticked(about.REQUEST)),
        "",
        "Everything else goes on as it came, but for what is about the connection (RFC 9110, 7.6.1). Which headers are",
        "part of the key is in [its specification](key.md).",
        "",
        "## What an answer says",
        "",
        *_table(("header", ""), _ticked(about.RESPONSE)),
        "",
        "A hit also has those headers of the provider's answer that SDKs read and that say nothing of an account or a",
        f"connection: {', '.join(f'`{name}`' for name in kept)}; no rate limits, whatever they are called.",
        "",
        'In Python the same is in `response.extensions["llm_cache"]` of httpx and httpx2, and in `last_call()`.',
        "",
        "## Pages",
        "",
        *_table(("path", ""), _ticked(about.PAGES)),
        "",
        "## Errors of the proxy's own",
        "",
        "They come in the format of the provider that was asked, so that its SDK raises its own exception, with the",
        "code as `detail` of `Cache-Status` and, where the format has a place for it, in the body.",
        "",
        *_table(
            ("code", "status", ""),
            [(f"`{code}`", ", ".join(map(str, sorted(statuses[code]))), text) for code, text in about.REFUSALS.items()],
        ),
        "",
    ]
    return "\n".join(lines)


def refusals() -> dict[str, set[int]]:
    """Every code that the proxy refuses by, and its statuses, as its source has them."""
    found: dict[str, set[int]] = {}
    for file in sorted(PROXY.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal":
                status, code = (_constants(each, tree) for each in node.args[:2])
                for word in code:
                    found.setdefault(str(word), set()).update(int(str(number)) for number in status)
    return found


def _constants(value: ast.expr, tree: ast.Module) -> set[object]:
    """What an expression may be: the constants in it, or those that the name is given somewhere in the file."""
    if not isinstance(value, ast.Name):
        return {each.value for each in ast.walk(value) if isinstance(each, ast.Constant)}
    given: set[object] = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)):
            continue
        for target, each in zip(getattr(node.targets[0], "elts", ()), node.value.elts, strict=False):
            if isinstance(target, ast.Name) and target.id == value.id and isinstance(each, ast.Constant):
                given.add(each.value)
    return given


def _ticked(words: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(f"`{word}`", text) for word, text in words.items()]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
