"""Explains a miss: what differs between a request and the stored one that is nearest to it.

Works on signature documents, so that exactly what counts is compared and nothing else. It searches
nothing itself; candidates are handed to it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_cache.core import canonical
from llm_cache.core.align import align, shared
from llm_cache.core.volatile import look

if TYPE_CHECKING:
    from collections.abc import Iterable

_MISSING = object()
_SHOWN = 60
_BEFORE = 20
_CODE = "body.code"
_FIELDS = {"http": ("body",), "value": ("body", "request"), "call": ("body", "arguments")}
"""Where the fields are that can be left out, by the kind of a document."""
_PLAIN_NAME = re.compile(r"[\w-]+")
READ_BY_THE_MODEL = frozenset(
    {
        "contents",
        "documents",
        "input",
        "instructions",
        "message",
        "messages",
        "model",
        "prompt",
        "query",
        "stream",
        "system",
        "texts",
        "tools",
    }
)
"""Fields that are never advised to be left out: the answer is an answer to these."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two documents differ: `path` like `body.messages[1].content`.

    `ours` and `theirs` are JSON texts, None where there is nothing. A place in a list is its place in
    ours; in theirs, where ours has no such item. `field` is the top-level field of the body, or the
    argument of the call, that it is in, if it is in one.
    """

    path: str
    ours: str | None
    theirs: str | None
    field: str | None = field(default=None, compare=False)

    @property
    def look(self) -> str | None:
        """What it looks like that is new every time, "a UUID"; None if it does not."""
        if self.path == _CODE:
            return None  # a digest, which only looks so
        return look(re.split(r"[.\[\]]", self.path.rstrip("]"))[-1].strip('"'), self.ours, self.theirs)

    @property
    def volatile(self) -> bool:
        """Whether it looks generated: a time, a UUID, seconds since the epoch."""
        return self.look is not None

    @property
    def weight(self) -> float:
        """How much differs: 1 for a short value, at most 5 for a long one."""
        if self.volatile:
            return 1
        texts = [text for text in (self.ours, self.theirs) if text is not None]
        size = max(map(len, texts)) - (sum(shared(texts[0], texts[1])) if len(texts) == 2 else 0)
        return 1 + min(size, 1000) / 250


@dataclass(frozen=True, slots=True)
class Nearest:
    """The stored request that is nearest to another.

    Attributes:
        key: its key.
        found: where it differs, in the order of ours; nothing, if it is the same.
        rule: the fields that `ignore_fields` would have to name for both to have one key; empty if no
            such rule is to be advised.
        note: what else is known, one sentence.
        kind: of both; for a call the rule is for the decorator's `ignore=`.
    """

    key: str
    found: list[Difference]
    rule: tuple[str, ...] = ()
    note: str = ""
    kind: str = "http"

    @property
    def weight(self) -> float:
        """How far it is: 0 if it is the same."""
        return sum(difference.weight for difference in self.found)


def differences(ours: bytes, theirs: bytes) -> list[Difference]:
    """Where two signature documents differ, in the order of the first."""
    return _differences(canonical.parse(ours), canonical.parse(theirs))


def _differences(ours: object, theirs: object) -> list[Difference]:
    found: list[Difference] = []
    _compare((), ours, theirs, found, _FIELDS[_kind(ours)])
    return found


def _kind(document: object) -> str:
    kind = document.get("kind") if isinstance(document, dict) else None
    return kind if isinstance(kind, str) and kind in _FIELDS else "http"


def _compare(
    steps: tuple[str | int, ...], ours: object, theirs: object, found: list[Difference], fields: tuple[str, ...]
) -> None:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            _compare((*steps, name), ours.get(name, _MISSING), theirs.get(name, _MISSING), found, fields)
    elif isinstance(ours, list) and isinstance(theirs, list):
        texts, others = [_text(item) or "" for item in ours], [_text(item) or "" for item in theirs]
        for index, other in align(ours, theirs, texts, others):
            if index is None or other is None or texts[index] != others[other]:
                one = _MISSING if index is None else ours[index]
                two = _MISSING if other is None else theirs[other]
                _compare((*steps, other if index is None else index), one, two, found, fields)  # type: ignore[arg-type]
    elif (text := _text(ours)) != (other_text := _text(theirs)):
        # By their texts, as the key does it: to Python 1 and True are equal, to binary floating
        # point 0.1 and 0.10000000000000001.
        depth = len(fields)
        top = steps[depth] if len(steps) > depth and steps[:depth] == fields else None
        found.append(Difference(_path(steps), text, other_text, top if isinstance(top, str) else None))


def _path(steps: tuple[str | int, ...]) -> str:
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            path += f".{step}" if path else step
        else:
            path += f"[{json.dumps(step, ensure_ascii=False)}]"
    return path


def _text(value: object) -> str | None:
    return None if value is _MISSING else canonical.write(value).decode()


def nearest(ours: bytes, candidates: Iterable[tuple[str, bytes]]) -> Nearest | None:
    """The candidate that differs least, None without any.

    Candidates are (key, document), the preferred ones first: the first of equals wins.
    """
    mine = canonical.parse(ours)
    best: Nearest | None = None
    chosen = b""
    for key, document in candidates:
        one = Nearest(key, _differences(mine, canonical.parse(document)))
        if best is None or one.weight < best.weight:
            best, chosen = one, document
            if not one.found:
                break
    if best is None:
        return None
    return Nearest(best.key, best.found, rule_for(ours, chosen, best.found), kind=_kind(mine))


def rule_for(ours: bytes, theirs: bytes, found: list[Difference]) -> tuple[str, ...]:
    """The fields of the body that, left out, make one key of two documents and look generated in both; else none."""
    fields = {difference.field for difference in found}
    generated = {difference.field for difference in found if difference.volatile}
    if not fields or fields != generated:
        return ()
    names = sorted(name for name in fields if name is not None)
    if len(names) != len(fields) or READ_BY_THE_MODEL & set(names) or any("," in name for name in names):
        return ()
    # The proof: what `ignore_fields` leaves out is left out before anything is digested.
    one, other = (_left_out(document, names) for document in (ours, theirs))
    return tuple(names) if one == other else ()


def _left_out(document: bytes, names: list[str]) -> bytes:
    whole = canonical.parse(document)
    inner = whole
    for step in _FIELDS[_kind(whole)]:
        inner = inner.get(step) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        for name in names:
            inner.pop(name, None)
    return canonical.write(whole)


def render(near: Nearest | None, *, limit: int = 10) -> str:
    """The explanation as lines of text for people; empty if there was no candidate."""
    if near is None:
        return ""
    if not near.found:
        return f"the very same request is stored as {near.key[:12]}…; {near.note}".rstrip("; ")
    lines = [f"the nearest stored request is {near.key[:12]}…, which differs in:"]
    lines += [f"  {told(difference)}" for difference in near.found[:limit]]
    if len(near.found) > limit:
        lines.append(f"  and {len(near.found) - limit} more")
    if near.note:
        lines.append(near.note)
    return "\n".join([*lines, *advice(near)])


def told(difference: Difference) -> str:
    """One difference in one line."""
    ours, theirs = shown(difference.ours, difference.theirs)
    line = f"{printable(difference.path)}: {ours} here, {theirs} there"
    if difference.path == _CODE:
        return f"{line} (the function's code, or data that it reads, is another)"
    return f"{line} ({difference.look})" if difference.volatile else line


def shown(ours: str | None, theirs: str | None) -> tuple[str, str]:
    """Two values for people, long ones around the place where they begin to differ."""
    start = 0
    if ours is not None and theirs is not None and max(len(ours), len(theirs)) > _SHOWN:
        start = max(0, shared(ours, theirs)[0] - _BEFORE)
    return _short(ours, start), _short(theirs, start)


def _short(text: str | None, start: int) -> str:
    if text is None:
        return "absent"
    if len(text) <= _SHOWN:
        return printable(text)
    start = min(start, len(text) - _SHOWN)
    before, after = "…" * (start > 0), "…" * (start + _SHOWN < len(text))
    return f"{before}{printable(text[start : start + _SHOWN])}{after} ({len(text)} characters)"


def printable(text: str) -> str:
    """The text with what would move a cursor or turn a line around escaped, as JSON may have it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def advice(near: Nearest) -> list[str]:
    """What could be done about it, in sentences; nothing where the request simply is another."""
    if near.rule:
        if near.kind == "call":
            rule = f"cached_call(ignore={near.rule!r})"
        else:
            rule = f"ignore_fields = {json.dumps(', '.join(near.rule), ensure_ascii=False)}"
        return [f"it looks generated; to leave it out of the key: {printable(rule)}"]
    generated = [difference for difference in near.found if difference.volatile]
    if not generated or len(generated) < len(near.found):
        return []
    inside = {difference.field for difference in generated if difference.field in READ_BY_THE_MODEL}
    if not inside:
        return []
    named = ", ".join(sorted(map(str, inside)))
    return [f"it looks generated, but the model reads it (in {named}): only the program can make it the same each time"]
