"""The reference page of the Python API, made of signatures and docstrings. It makes text, and writes nothing."""

from __future__ import annotations

import enum
import inspect
import re
import textwrap
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

from llm_cache import Stats, last_call
from llm_cache.clients.options import LastCall

MODULES = ("llm_cache", "llm_cache.httpx", "llm_cache.proxy", "llm_cache.testing")
LIST = Path(__file__).resolve().parent.parent / "docs" / "reference" / "public-api.md"
_WIDTH = 100
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Example):\n((?:[ ]+.*\n|\n)+)", re.MULTILINE)
_ITEM = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?: ", re.MULTILINE)


def api() -> str:
    """Every public name, with what it takes and gives back."""
    lines = [
        "# Python API",
        "",
        "What is public is [listed on one page](public-api.md); this one says how each is called. Errors have",
        "[a page of their own](errors.md), and so has [what `cached_call` counts and gives back](cached-call.md).",
        "",
    ]
    # As the list has them: what one begins with comes first.
    order = re.findall(r"^- `(\w+)`", LIST.read_text(encoding="utf-8"), re.MULTILINE)
    for name in MODULES:
        module = import_module(name)
        lines += [f"## {name}", ""]
        if name == "llm_cache.httpx":
            lines += ["`llm_cache.httpx2` has the same names, for httpx2.", ""]
        for public in sorted(module.__all__, key=order.index):
            found = getattr(module, public)
            if isinstance(found, type) and issubclass(found, Exception):
                continue
            lines += _entry(public, found)
    return "\n".join(lines)


def _entry(name: str, found: Any) -> list[str]:
    lines = [f"### {name}", ""]
    if isinstance(found, type) and issubclass(found, enum.Enum):
        lines += [*_text(found), "", *(f"- `{each.value}`" for each in found), ""]
        return lines
    lines += [*_signature(name, found), "", *_text(found), ""]
    if found is last_call:
        figures = [(name, value) for name, value in _members(LastCall) if isinstance(value, property)]
        lines += ["It has:", "", *_text(LastCall)]
        lines += [*(f"- `{name}`: {(inspect.getdoc(value) or '').splitlines()[0]}" for name, value in figures), ""]
    if isinstance(found, type):
        for member, value in _members(found):
            if isinstance(value, property):
                lines += [f"`{name}.{member}`", f": {(inspect.getdoc(value) or '').splitlines()[0]}", ""]
            else:
                lines += [f"#### {name}.{member}", "", *_signature(member, value), "", *_text(value), ""]
    return lines


def _members(found: type) -> list[tuple[str, Any]]:
    """A class's public methods and properties that say what they are, as they are written; those of its bases last."""
    if found.__name__ == "StoreContract":
        return [("make_store", found.make_store)]  # type: ignore[attr-defined]
    made = {"of"} if found is Stats else set()  # by the ledger alone, of what only it knows
    members: list[tuple[str, Any]] = []
    ours = [each for each in found.__mro__ if each.__module__.startswith("llm_cache.")]
    for name, value in ((name, value) for each in ours for name, value in vars(each).items()):
        plain = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        hidden = name.startswith("_") or name in made or name in dict(members)
        if not hidden and isinstance(plain, (FunctionType, property)) and inspect.getdoc(plain):
            members.append((name, plain))
    return members


def _signature(name: str, found: Any) -> list[str]:
    try:
        signature = inspect.signature(found)
    except ValueError:
        return [f"```python\n{name}(…)\n```"]
    parameters = [_short(each) for each in signature.parameters.values() if each.name not in {"self", "cls"}]
    signature = signature.replace(parameters=parameters)
    if isinstance(found, type):
        signature = signature.replace(return_annotation=inspect.Signature.empty)
    # Annotations are text already (`from __future__ import annotations`), which would be shown quoted.
    text = name + re.sub(r": '([^']*)'", r": \1", re.sub(r"-> '([^']*)'", r"-> \1", str(signature)))
    if inspect.iscoroutinefunction(found):
        text = f"await {text}"
    if len(text) > _WIDTH:
        inside, _, after = text[len(text.split("(", 1)[0]) + 1 :].rpartition(")")
        rows = [f"    {row}," for row in _split(inside)]
        text = "\n".join([f"{text.split('(', 1)[0]}(", *rows, f"){after}"])
    return ["```text", text, "```"]


class _Something:
    """A default whose value says nothing to a reader."""

    def __repr__(self) -> str:
        return "…"


def _short(parameter: inspect.Parameter) -> inspect.Parameter:
    shown = repr(parameter.default)
    odd = len(shown) > _WIDTH or shown.startswith("<")
    return parameter.replace(default=_Something()) if odd and parameter.default is not parameter.empty else parameter


def _split(parameters: str) -> list[str]:
    """Parameters, cut at the commas that stand in no brackets."""
    rows, depth, begun = [], 0, 0
    for at, character in enumerate(parameters):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            rows.append(parameters[begun:at].strip())
            begun = at + 1
    return [*rows, parameters[begun:].strip()]


def _text(found: Any) -> list[str]:
    """A docstring as Markdown: its sections as lists."""
    text = (inspect.getdoc(found) or "") + "\n"

    def section(match: re.Match[str]) -> str:
        body = textwrap.dedent(match[2]).strip()
        title = {"Args": "Arguments"}.get(match[1], match[1])
        if match[1] in {"Returns", "Yields", "Example"}:
            return f"{title}: {body}\n\n"
        return f"{title}:\n\n" + _ITEM.sub(r"- `\1`: ", body) + "\n\n"

    text = _SECTION.sub(section, text)
    # An indented block is code; as a fence it stays what it is.
    return re.sub(r"\n\n((?:    .*\n?)+)", _fenced, text.strip()).splitlines()


def _fenced(match: re.Match[str]) -> str:
    return f"\n\n```text\n{textwrap.dedent(match[1]).rstrip()}\n```\n"
