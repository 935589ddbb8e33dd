"""Finds the syntax tree of a live function or class, and makes sure that it is of the code that runs. It runs nothing.

A file may have been edited since it was imported, and other tools rewrite code on its way in; then the text on disk is
not what runs. So what is found is compiled and compared, and what differs has no source.
"""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import linecache
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from llm_cache.clients.syntax import Definition

_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag
_MOST_FILES = 4
_FAR = 10_000_000
"""More lines than any file has."""
_TRIES = 5
_quieted = threading.Lock()
_BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what Python has to say of somebody's source; it was said when that was imported.

    By one thread at a time, since the filters are the whole process's; the others let it be said again. A child that
    was forked meanwhile finds the lock taken for ever, and does the same.
    """
    if not _quieted.acquire(blocking=False):
        yield
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _quieted.release()


def _parse(text: str) -> list[ast.stmt]:
    """The statements of a file.

    Until Python 3.13 two threads that parse at once can trip over the count of how deep they are, which is one for all
    (python/cpython#106905); whoever else may be parsing in this process, it is seldom twice.
    """
    for _ in range(_TRIES - 1):
        try:
            return ast.parse(text).body
        except SystemError:
            continue
    return ast.parse(text).body


class _File:
    """A file that has been parsed."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        with _quiet():
            self.body = [each for each in _parse("".join(lines)) if not _is_future(each)]
        self._imports = list(_imports(self.body))
        self._codes: dict[tuple[int, int], list[CodeType]] = {}

    def compiled(self, statement: ast.stmt, flags: int) -> list[CodeType]:
        """What a statement compiles to where the rest of the file is, nested code included.

        Compilers look at a module's imports: what is called on one of them is other bytecode. The rest of the module
        makes no difference that is known, and compiling it takes longer.
        """
        return _compiled([*self._imports, statement], flags)

    def has(self, code: CodeType, place: int) -> bool:
        """Whether the statement at that place compiles to this code."""
        flags = code.co_flags & _FUTURE
        if (place, flags) not in self._codes:
            self._codes[place, flags] = self.compiled(self.body[place], flags)
        if code in self._codes[place, flags]:
            return True
        if (-1, flags) not in self._codes:
            # In case that there is another difference after all.
            self._codes[-1, flags] = _compiled(self.body, flags)
        return code in self._codes[-1, flags]


_files: dict[str, _File] = {}


class _Turns:
    """One thread parses at a time: see `_parse`, and most often all of them want the same file."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """A child that was forked meanwhile would find it taken for ever."""
        self.lock = threading.Lock()


_turns = _Turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turns.renew)


def tree_of(function: FunctionType) -> Definition | None:
    """The tree of the code that this function runs, or None if there is no such source."""
    code = function.__code__
    for _ in range(2):
        file = _parsed(code.co_filename, function.__globals__, code)
        if file is not None:
            for place, statement in enumerate(file.body):
                if _first(statement) <= code.co_firstlineno <= (statement.end_lineno or 0):
                    found = _matching(file, place, code)
                    if found is not None:
                        return found
        # Perhaps what is remembered of the file is from before it was loaded again.
        linecache.checkcache(code.co_filename)
    return None


def class_tree_of(cls: type) -> ast.ClassDef | None:
    """The tree of a class, or None if there is no source with its methods."""
    functions = [function for value in vars(cls).values() if (function := _plain(value)) is not None]
    functions = [each for each in functions if each.__qualname__.rpartition(".")[0] == cls.__qualname__]
    try:
        name = inspect.getfile(cls)
    except (TypeError, OSError):
        # A notebook's module has no file. What dataclasses and others generate is compiled from strings.
        name = next((f.__code__.co_filename for f in functions if f.__code__.co_filename != "<string>"), "")
    functions = [each for each in functions if each.__code__.co_filename == name]
    file = _parsed(name, functions[0].__globals__ if functions else {}, None)
    if file is None:
        return None
    path = [part for part in cls.__qualname__.split(".") if part != "<locals>"]
    for place in reversed(range(len(file.body))):
        for node in _named(file.body[place], path):
            if _is_of(node, functions, file, place) and _fields(node) == list(vars(cls).get("__annotations__", {})):
                return node
    return None


def _is_of(node: ast.ClassDef, functions: list[FunctionType], file: _File, place: int) -> bool:
    first, last = _first(node), node.end_lineno or 0
    for function in functions:
        code = function.__code__
        if not first <= code.co_firstlineno <= last or not file.has(code, place):
            return False
    return True


def _fields(node: ast.ClassDef) -> list[str]:
    annotated = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
    return list(dict.fromkeys(target.id for target in annotated if isinstance(target, ast.Name)))


def _plain(value: Any) -> FunctionType | None:
    if isinstance(value, property):
        value = value.fget
    elif isinstance(value, (classmethod, staticmethod)):
        value = value.__func__
    return value if type(value) is FunctionType else None


def _parsed(name: str, namespace: dict[str, Any], code: CodeType | None) -> _File | None:
    lines = linecache.getlines(name, namespace)
    if not lines and code is not None:
        try:
            # Newer prompts keep what was typed under the code itself.
            lines = inspect.findsource(code)[0]
        except (OSError, TypeError, IndexError):
            return None
    if (kept := _kept(name, lines)) is not None or not lines:
        return kept
    with _turns.lock:
        # Perhaps another thread has done it meanwhile.
        if (kept := _kept(name, lines)) is not None:
            return kept
        try:
            file = _File(lines)
        except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
            return None
        if len(_files) >= _MOST_FILES:
            _files.clear()
        _files[name] = file
        return file


def _kept(name: str, lines: list[str]) -> _File | None:
    kept = _files.get(name)
    return kept if kept is not None and (kept.lines is lines or kept.lines == lines) else None


def _first(statement: Any) -> int:
    """The first line, decorators included: what code calls its first line."""
    return int(min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))]))


def _candidates(statement: ast.stmt, code: CodeType) -> list[Any]:
    return [
        node
        for node in ast.walk(statement)
        if isinstance(node, _FUNCTIONS)
        and getattr(node, "name", "<lambda>") == code.co_name
        and _first(node) == code.co_firstlineno
    ]


def _matching(file: _File, place: int, code: CodeType) -> Definition | None:
    """The definition in a statement whose code is this one."""
    statement = file.body[place]
    found: list[Definition] = _candidates(statement, code)
    if len(found) == 1:
        return found[0] if file.has(code, place) else None
    for number, node in enumerate(found):
        # Several on one line: each in turn is moved far away, to see what it compiles to.
        moved = copy.deepcopy(statement)
        ast.increment_lineno(_candidates(moved, code)[number], _FAR)
        if any(each.co_firstlineno > _FAR and _same(each, code) for each in file.compiled(moved, code.co_flags)):
            return node
    return None


def _same(one: Any, other: Any) -> bool:
    """Whether two pieces of code, or two constants, are equal but for the lines they stand on."""
    if type(one) is not type(other):
        return False
    if not isinstance(one, CodeType):
        return bool(one == other)
    names = ("co_name", "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_flags", "co_argcount",
             "co_posonlyargcount", "co_kwonlyargcount")  # fmt: skip
    return (
        all(getattr(one, name) == getattr(other, name) for name in names)
        and len(one.co_consts) == len(other.co_consts)
        and all(map(_same, one.co_consts, other.co_consts))
    )


def _is_future(statement: ast.stmt) -> bool:
    """Whether it is an import that the flags of a code tell of; it may stand at the beginning of a file only."""
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _imports(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The imports of a module's own level, in whatever blocks they stand."""
    for statement in body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield statement
        elif not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = (each for each in ast.iter_child_nodes(statement) if isinstance(each, _BLOCKS))
            yield from _imports(inner)  # type: ignore[arg-type]


def _compiled(body: list[ast.stmt], flags: int) -> list[CodeType]:
    try:
        with _quiet():
            module = compile(ast.Module(body, []), "<compared>", "exec", flags=flags & _FUTURE, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return list(_nested(module))


def _nested(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _nested(constant)


def _named(node: ast.AST, path: list[str]) -> Iterator[ast.ClassDef]:
    """The classes of that qualified name in a statement."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        if node.name != path[0]:
            return
        if len(path) == 1:
            if isinstance(node, ast.ClassDef):
                yield node
            return
        path = path[1:]
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _BLOCKS):
            yield from _named(child, path)
