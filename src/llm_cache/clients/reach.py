"""Everything that a function's answer may depend on, found by walking from object to object. It calls none of them.

A `Plan` is the outcome of one walk. It remembers where it looked and what was there, so that a later call only compares
identities, and writes down anew what can change in place.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from hashlib import sha256
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

from llm_cache.clients.bytecode import parts_of, reads_in
from llm_cache.clients.data import Lenient, innermost, is_a, is_data, lasting, own_attributes, wrapped
from llm_cache.clients.imports import imported
from llm_cache.clients.reads import Read, Reads
from llm_cache.clients.source import class_tree_of, tree_of
from llm_cache.clients.syntax import Definition, Role, Syntax, understood
from llm_cache.clients.typed import class_name, qualified
from llm_cache.codec.values_classes import kind_of
from llm_cache.core import canonical

VERSION = 1
"""Of the way in which all of this is written down."""
_ABSENT: Any = object()
_PLACES = frozenset({
    "__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__",
})  # fmt: skip
"""What a module knows of where it lies and how it is run, which two copies of a program do not share."""
_syntaxes: dict[tuple[int, Role], tuple[CodeType, Syntax | None]] = {}
_MOST_SYNTAXES = 4096


class _Stale(Exception):
    """A container holds a function that was not there before."""


class _Exposed(Exception):
    """A function that seemed to be only called is passed on as well; the walk begins anew."""


class _Node:
    """A function or class whose code counts. `bound` if it is reached through the class of `self`."""

    __slots__ = ("bound", "label", "object", "role")

    def __init__(self, what: Any, label: str, role: Role, *, bound: bool) -> None:
        self.object = what
        self.label = label
        self.role = role
        self.bound = bound


class Plan:
    """What one function reaches.

    Args:
        function: the decorated one, with whatever other decorators are around it.
        owner: the class that it is called on, if it is a method.
    """

    def __init__(self, function: Any, owner: type | None) -> None:
        self._core = innermost(function)
        self._function = function
        self._owner = owner
        self._space: dict[str, Any] = getattr(self._core, "__globals__", {})
        self._modules = {self._space.get("__name__"), None if owner is None else owner.__module__} - {None}
        self._exposed: set[int] = set()
        while True:
            try:
                self._walk()
                break
            except _Exposed:
                continue
        self._last: tuple[list[bytes], str] | None = None
        self._hex = sha256(self._static).hexdigest()

    def hex(self) -> str | None:
        """The digest, or None if something that the walk came by is another object now."""
        for mapping, name, expected in self._slots:
            if mapping.get(name, _ABSENT) is not expected:
                return None
        for cell, expected in self._cells:
            if _content(cell) is not expected:
                return None
        for function, code, defaults, named in self._codes:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not named
            ):
                return None
        return self._with_mutables() if self._mutables else self._hex

    def _with_mutables(self) -> str | None:
        try:
            # One of its own for each thread: it remembers what it is inside of.
            form = Lenient(self._label)
            texts = [form.text(value) for value in self._mutables]
        except _Stale:
            return None
        kept = self._last
        if kept is not None and kept[0] == texts:
            return kept[1]
        whole = sha256(self._static)
        for text in texts:
            whole.update(b"\n%d\n" % len(text))
            whole.update(text)
        found = whole.hexdigest()
        self._last = texts, found
        return found

    # The walk

    def _walk(self) -> None:
        self._slots: list[tuple[Mapping[str, Any], str, Any]] = []
        self._seen: set[tuple[int, str]] = set()
        self._cells: list[tuple[CellType, Any]] = []
        self._codes: list[tuple[FunctionType, CodeType, Any, Any]] = []
        self._mutables: list[Any] = []
        self._nodes: dict[int, _Node] = {}
        self._labels: set[str] = set()
        self._queue: list[_Node] = []
        self._stored: set[str] = set()
        self._sealed = False
        self._begin()
        written: dict[str, object] = {}
        while self._queue:
            node = self._queue.pop(0)
            written[node.label] = self._written(node)
        self._sealed = True
        self._static = canonical.write([VERSION, written])

    def _begin(self) -> None:
        level = self._function
        for _ in range(50):
            if is_a(level, FunctionType) and level.__globals__ is self._space:
                self._add(level, "root" if level is self._core else "helper", bound=True)
            inner = wrapped(level)
            if inner is None:
                break
            level = inner
        if not self._nodes:
            if is_a(self._core, FunctionType):
                self._add(self._core, "root", bound=True)
            else:
                # Written in C, or an object that can be called: it has no more than a name.
                self._labels.add(class_name(self._core if is_a(self._core, type) else type(self._core)))

    def _add(self, what: Any, role: Role, *, bound: bool = False) -> _Node:
        name = label = qualified(what) if role != "root" else ""
        number = 1
        while label in self._labels:
            number += 1
            label = f"{name}#{number}"
        self._labels.add(label)
        role = "exposed" if id(what) in self._exposed else role
        node = self._nodes[id(what)] = _Node(what, label, role, bound=bound)
        self._queue.append(node)
        return node

    def _label(self, what: Any, role: Role = "exposed", *, bound: bool = False) -> str | None:
        """The name of a function or class if its code counts: if it is of the same module."""
        node = self._nodes.get(id(what))
        if node is None:
            if is_a(what, FunctionType):
                ours = what.__globals__ is self._space or what.__globals__.get("__name__") in self._modules
            else:
                ours = is_a(what, type) and what.__module__ in self._modules
            if not ours:
                return None
            if self._sealed:
                raise _Stale
            node = self._add(what, role, bound=bound)
        elif role == "exposed" and node.role == "helper" and not self._sealed:
            self._exposed.add(id(what))
            raise _Exposed
        return node.label

    def _written(self, node: _Node) -> object:
        """One function or class, and what it reads."""
        values: dict[str, object] = {}
        if is_a(node.object, FunctionType):
            function = node.object
            code, defaults, named = function.__code__, function.__defaults__, function.__kwdefaults__
            self._codes.append((function, code, defaults, named))
            cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
            syntax = _syntax_of(function, node.role)
            what: object
            what, reads = (syntax.digest, syntax.reads) if syntax else (parts_of(code), reads_in(code))
            self._stored |= reads.stored
            if node.role != "root":
                # Those of the decorated function are among its arguments.
                values["()"] = [self._data(defaults), self._data(named)]
            self._read(reads, cells, function.__globals__, values)
            if self._owner is not None and node.bound:
                for path in reads.own:
                    self._member(path, values)
        else:
            cls = node.object
            syntax = _understood(class_tree_of(cls), "exposed")
            for name, value in vars(cls).items():
                if is_a(innermost(value), FunctionType):
                    self._slot(vars(cls), name)
            if syntax is not None:
                what = syntax.digest
                self._read(syntax.reads, {}, self._space, values)
                self._members(cls, syntax.reads, values)
            else:
                what = self._without_source(cls)
        return [node.role, what, values]

    def _members(self, cls: type, reads: Reads, values: dict[str, object]) -> None:
        """Data of a class, which may have been set since it was made. What the code itself sets does not count."""
        if kind_of(cls) == "enum":
            return
        for name in reads.members:
            value = self._slot(vars(cls), name)
            core = innermost(value)
            if is_a(core, FunctionType):
                if core.__qualname__ != f"{cls.__qualname__}.{name}":
                    # Its source does not show this one: it was put there later, or comes from elsewhere.
                    values[f".{name}"] = ["code", self._label(core)]
            elif value is not _ABSENT and is_data(value) and name not in reads.stored and name not in self._stored:
                values[f".{name}"] = self._data(value)

    def _without_source(self, cls: type) -> object:
        found: dict[str, object] = {}
        for name, value in sorted(vars(cls).items()):
            core = innermost(value)
            if is_a(core, FunctionType):
                # Of others are the methods that named tuples and their like are given, in each version more.
                label = self._label(core)
                if label is not None and core.__code__.co_filename != "<string>":
                    found[name] = label
            elif not name.startswith("_") and is_data(value):
                found[name] = self._data(value)
        annotations = vars(cls).get("__annotations__", {})
        return [found, [[name, getattr(kind, "__qualname__", str(kind))] for name, kind in annotations.items()]]

    # What is read

    def _read(self, reads: Reads, cells: dict[str, CellType], space: dict[str, Any], values: dict[str, object]) -> None:
        for read in reads.free:
            name = read.name
            if name in reads.imports:
                module, attribute = imported(reads.imports[name], read, space, self._slot)
                value = module if attribute is None else self._slot(vars(module), attribute)
            elif name in cells:
                value = _content(cells[name])
                self._cells.append((cells[name], value))
            elif name in _PLACES:
                continue
            else:
                value = self._slot(space, name)
            if value is not _ABSENT:
                self._follow(value, read, values)

    def _member(self, path: tuple[str, ...], values: dict[str, object]) -> None:
        """What the class of `self` has under a name: in every base, for `super()` may ask for any of them."""
        assert self._owner is not None  # noqa: S101 - asked for methods only
        for number, base in enumerate(self._owner.__mro__):
            value = self._slot(vars(base), path[0])
            if value is _ABSENT:
                continue
            core = innermost(value)
            name = f"self{number}"
            if is_a(core, FunctionType):
                label = self._label(core, "helper", bound=True)
                if label is not None:
                    values[f"{name}.{path[0]}"] = ["code", label]
            elif is_data(value) or is_a(value, type):
                self._follow(value, Read(f"{name}.{path[0]}", path[1:], "value"), values)

    def _follow(self, value: Any, read: Read, values: dict[str, object]) -> None:
        """Go along `name.attribute.attribute` as far as it leads to data or to code that counts."""
        for taken in range(len(read.path) + 1):
            place = ".".join((read.name, *read.path[:taken]))
            left = len(read.path) - taken
            if is_data(value):
                if not (read.use == "discarded" and left == 1 and not lasting(value)):
                    values[place] = self._data(value)
                return
            core = innermost(value)
            role: Role = "helper" if left == 0 and read.use != "value" else "exposed"
            if is_a(core, FunctionType):
                label = self._label(core, role)
                if label is not None:
                    values[place] = ["code", label]
                return
            if not is_a(value, ModuleType):
                label = self._label(value if is_a(value, type) else type(value))
                if label is not None:
                    values[place] = ["code", label]
            if not left:
                return
            value = self._attribute(value, read.path[taken])
            if value is _ABSENT:
                return

    def _attribute(self, value: Any, name: str) -> Any:
        """An attribute, found without running a property or `__getattr__`."""
        if is_a(value, ModuleType):
            # What Python's own modules hold (`sys.modules`) is not the program's, and differs from version to version.
            standard = value.__name__.partition(".")[0] in sys.stdlib_module_names
            return _ABSENT if standard else self._slot(vars(value), name)
        if not is_a(value, type):
            attributes = own_attributes(value)
            if attributes is not None:
                found = self._slot(attributes, name)
                if found is not _ABSENT:
                    return found
        for base in value.__mro__ if is_a(value, type) else type(value).__mro__:
            found = self._slot(vars(base), name)
            if found is not _ABSENT:
                return found if is_data(found) or is_a(found, type) else _ABSENT
        return _ABSENT

    def _data(self, value: Any) -> object:
        text = Lenient(self._label).text(value)
        if lasting(value):
            return text.decode("utf-8", "replace")
        self._mutables.append(value)
        return ["mutable", len(self._mutables)]

    def _slot(self, mapping: Mapping[str, Any], name: str) -> Any:
        """Look something up, and remember that it was looked up."""
        value = mapping.get(name, _ABSENT)
        place = id(mapping), name
        if place not in self._seen:
            self._seen.add(place)
            self._slots.append((mapping, name, value))
        return value


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _ABSENT


def _understood(tree: Definition | None, role: Role) -> Syntax | None:
    try:
        return None if tree is None else understood(tree, role)
    except RecursionError:
        # A sum of thousands of terms is a tree as deep.
        return None


def _syntax_of(function: FunctionType, role: Role) -> Syntax | None:
    """The syntax of a function; looked for once, since a code object never changes."""
    code = function.__code__
    kept = _syntaxes.get((id(code), role))
    if kept is not None:
        return kept[1]
    syntax = _understood(tree_of(function), role)
    if len(_syntaxes) >= _MOST_SYNTAXES:
        _syntaxes.clear()
    _syntaxes[id(code), role] = code, syntax
    return syntax
