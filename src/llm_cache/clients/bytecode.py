"""What a function amounts to where there is no source, as at a plain prompt: its code object. It must not run it.

Such a digest holds for one Python version.
"""

from __future__ import annotations

import dis
import sys
from types import CodeType
from typing import Any

from llm_cache.clients.data import Lenient
from llm_cache.clients.reads import Read, Reads, Use

_NAMES = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF",
                    "LOAD_FROM_DICT_OR_GLOBALS"})  # fmt: skip
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_ADDING = frozenset({"add", "append", "appendleft", "clear", "discard", "extend", "insert", "remove", "update"})
"""Methods of containers that answer nothing: who calls one only changes what it is called on."""


def parts_of(code: CodeType) -> list[object]:
    """What counts of a code object, as JSON."""
    return [
        sys.implementation.cache_tag,
        code.co_name,
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
        code.co_code.hex(),
        getattr(code, "co_exceptiontable", b"").hex(),
        [_constant(each) for each in code.co_consts],
        [list(names) for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)],
    ]


def _constant(value: Any) -> object:
    return parts_of(value) if isinstance(value, CodeType) else Lenient(lambda _: None).text(value).decode()


def reads_in(code: CodeType) -> Reads:
    """What a code object reads from outside, as `reads.reads_of` tells it of a tree."""
    free: set[Read] = set()
    own: set[tuple[str, ...]] = set()
    stored: set[str] = set()
    _scan(code, free, own, stored, code.co_varnames[0] if code.co_argcount else None)
    return Reads(tuple(sorted(read for read in free if read.name not in stored)), tuple(sorted(own)), {})


def _scan(code: CodeType, free: set[Read], own: set[tuple[str, ...]], stored: set[str], first: str | None) -> None:
    name: str | None = None
    path: list[str] = []
    for instruction in (*dis.get_instructions(code), None):
        if instruction is not None and name is not None and instruction.opname in _ATTRIBUTES:
            path.append(str(instruction.argval))
            continue
        if name is not None:
            use: Use = "discarded" if path and path[-1] in _ADDING else "value"
            if name == first:
                own.add(tuple(path))
            else:
                free.add(Read(name, tuple(path), use))
            name, path = None, []
        if instruction is None:
            break
        if instruction.opname in _NAMES or (instruction.opname.startswith("LOAD_FAST") and instruction.argval == first):
            name = str(instruction.argval)
        elif instruction.opname in {"STORE_GLOBAL", "DELETE_GLOBAL"}:
            stored.add(str(instruction.argval))
    own.discard(())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _scan(constant, free, own, stored, None)
