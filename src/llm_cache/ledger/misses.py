"""What many misses have in common: which fields, new in every request, cost the most hits and money.

Of each miss a line is kept with a digest of each field of its signature, and a second one of what is left of it without
everything that looks generated. No value is kept. Pure: it must not read stores or clocks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llm_cache.core.explain import READ_BY_THE_MODEL
from llm_cache.core.volatile import mask

JOURNAL = "misses"
MOST = 500
"""Lines that are kept; each has one or two kilobytes."""
AT_ONCE = 64
"""Lines that one process adds in a second: a sample is enough to see what misses have in common."""
LARGEST = 256 * 1024
"""Bytes of a signature beyond which a miss is not looked at."""
_FIELDS, _ITEMS = 40, 24
"""How many members of a request and of a list in it are told apart."""
_TOGETHER = 3
"""How many fields that differ may be to blame together."""
Digest = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Costly:
    """Fields that were new in requests which were otherwise asked before.

    Attributes:
        fields: members of the request, arguments of the function, or parts of the key beside them (`headers`).
        paths: where in them it differs, `messages[0]`.
        kind: `http`, `value` or `call`.
        generated: whether all of it looks generated: times, ids, seeds.
        misses: how many of the latest misses would have been hits without it.
        cost_usd: what these have cost, as far as that is known.
        unpriced: how many of them nobody knows the price of.
        rule: fields for `ignore_fields`, or for the decorator's `ignore=`; empty if there is no such rule.
        advice: what to do about it, one sentence.
        key: the latest of these misses.
        near: the request that was asked before.
    """

    fields: tuple[str, ...]
    paths: tuple[str, ...]
    kind: str
    generated: bool
    misses: int
    cost_usd: Decimal
    unpriced: int
    rule: tuple[str, ...]
    advice: str
    key: str
    near: str


def line_of(at: float, key: str, endpoint: str, document: bytes, digest: Digest) -> bytes | None:
    """The line of a miss; None if its document is none, or has no fields.

    Args:
        at: when, seconds since the epoch.
        key: of the request.
        endpoint: of the request.
        document: its canonical form.
        digest: makes a short text of bytes. Where entries are sealed it must depend on a secret.
    """
    try:
        whole = json.loads(document)
    except (ValueError, RecursionError):
        return None
    if not isinstance(whole, dict) or "body" not in whole:
        return None  # an explicit key, or a body that counts by its bytes: it has no fields
    fields: dict[str, list[str]] = {}
    for path, name, value in _leaves(whole):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        made = [digest(_bytes(text))]
        masked = mask(name, text)
        if masked is not None:
            made.append(digest(b"\0" + _bytes(masked)))
        fields[path] = made
    line = {"at": at, "key": key, "endpoint": endpoint[:200], "kind": str(whole.get("kind", "")), "fields": fields}
    return json.dumps(line, separators=(",", ":")).encode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _leaves(whole: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    """Path, name and value of everything that is told apart; what is in the body is named without that."""
    for name, value in whole.items():
        if name != "body" or not isinstance(value, dict):
            if name not in {"kind", "version"}:
                yield f"({name})", name, value
            continue
        inner = value.get("request" if whole.get("kind") == "value" else "arguments")
        if whole.get("kind") in {"value", "call"} and isinstance(inner, dict):
            yield from _members({key: part for key, part in value.items() if part is not inner})
            yield from _members(inner)
        else:
            yield from _members(value)


def _members(members: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    for place, (name, value) in enumerate(members.items()):
        if place >= _FIELDS:
            yield "(more)", "", {key: part for index, (key, part) in enumerate(members.items()) if index >= place}
            return
        if not isinstance(value, list) or not value:
            yield name, name, value
            continue
        for index, item in enumerate(value[:_ITEMS]):
            yield f"{name}[{index}]", name, item
        if len(value) > _ITEMS:
            yield f"{name}[{_ITEMS}]", name, value[_ITEMS:]


@dataclass(frozen=True, slots=True)
class _Miss:
    key: str
    kind: str
    endpoint: str
    fields: Mapping[str, tuple[str, ...]]


def rank(lines: Iterable[bytes], price: Callable[[str], Decimal | None]) -> list[Costly]:
    """What cost the most hits, of these lines (newest first).

    Args:
        lines: of the journal.
        price: what the request of a key has cost in USD, None if nobody knows.
    """
    misses = [miss for miss in map(_read, lines) if miss is not None][::-1]
    blamed: dict[tuple[str, tuple[str, ...], bool], list[tuple[_Miss, _Miss, frozenset[str]]]] = {}
    for index, miss in enumerate(misses):
        found = _nearest(miss, misses[:index])
        if found is not None:
            near, paths, generated = found
            fields = tuple(sorted({_field(path) for path in paths}))
            blamed.setdefault((miss.kind, fields, generated), []).append((miss, near, paths))
    ranked = [_costly(*what, cases, price) for what, cases in blamed.items()]
    # A field that somebody varies on purpose costs as many hits, but there is nothing to be done about it.
    return sorted(ranked, key=lambda one: (not one.generated, -one.cost_usd, -one.misses, one.fields))


def _read(line: bytes) -> _Miss | None:
    try:
        told = json.loads(line)
        fields = {str(path): tuple(map(str, made)) for path, made in told["fields"].items()}
        return _Miss(str(told["key"]), str(told["kind"]), str(told["endpoint"]), fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # a later version's, or damaged: one miss of many


def _nearest(miss: _Miss, earlier: Sequence[_Miss]) -> tuple[_Miss, frozenset[str], bool] | None:
    """The earlier miss that this one differs least from, where it differs, and whether that looks generated."""
    best: tuple[_Miss, frozenset[str], bool] | None = None
    mine = miss.fields
    for other in reversed(earlier):
        if other.kind != miss.kind or other.endpoint != miss.endpoint:
            continue
        if other.key == miss.key:
            return None  # it was asked before as it is, so no field is to blame: it was dropped, or removed
        theirs = other.fields
        paths = frozenset(path for path, _ in mine.items() ^ theirs.items())
        fields = {_field(path) for path in paths}
        if not paths or len(fields) > _TOGETHER:
            continue
        generated = all(_masked(mine.get(path)) == _masked(theirs.get(path)) is not None for path in paths)
        if not generated and (len(fields) > 1 or fields & READ_BY_THE_MODEL):
            continue  # another question
        if best is None or (generated, -len(paths)) > (best[2], -len(best[1])):
            best = other, paths, generated
    return best


def _masked(made: Sequence[str] | None) -> str | None:
    return None if made is None else made[-1]


def _field(path: str) -> str:
    return path.partition("[")[0]


def _costly(
    kind: str,
    fields: tuple[str, ...],
    generated: bool,
    cases: list[tuple[_Miss, _Miss, frozenset[str]]],
    price: Callable[[str], Decimal | None],
) -> Costly:
    costs = [price(miss.key) for miss, _, _ in cases]
    known = [cost for cost in costs if cost is not None]
    paths = sorted({path for _, _, where in cases for path in where})
    plain = all(not name.startswith("(") and "," not in name for name in fields)
    rule = fields if generated and plain and not READ_BY_THE_MODEL.intersection(fields) else ()
    latest, near, _ = cases[-1]
    return Costly(
        fields=fields,
        paths=tuple(paths[:_TOGETHER]),
        kind=kind,
        generated=generated,
        misses=len(cases),
        cost_usd=sum(known, Decimal(0)),
        unpriced=len(costs) - len(known),
        rule=rule,
        advice=_advice(kind, fields, rule, generated=generated),
        key=latest.key,
        near=near.key,
    )


def _advice(kind: str, fields: tuple[str, ...], rule: tuple[str, ...], *, generated: bool) -> str:
    if rule and kind == "call":
        return f"it looks generated; to leave it out of the key: cached_call(ignore={rule!r})"
    if rule:
        return f"it looks generated; to leave it out of the key: ignore_fields = {json.dumps(', '.join(rule))}"
    if generated:
        named = ", ".join(fields)
        return (
            f"it looks generated, but the model reads it (in {named}): only the program can make it the same each time"
        )
    return "it was varied, as far as can be seen on purpose"
