"""Which names from outside a function's syntax tree reads, and how. It must not look at live objects.

Scopes are those of the language reference ("Naming and binding"), worked out here because `symtable` tells of them
differently in each version.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Use = Literal["value", "called", "discarded"]
"""Passed on or looked at; only called; called in a statement of its own, so that it can only be changed by it."""


class Read(NamedTuple):
    """A name that is bound outside, the attributes that are taken of it, and what for."""

    name: str
    path: tuple[str, ...]
    use: Use


class Import(NamedTuple):
    """What an import statement inside of a function binds a name to."""

    module: str
    level: int = 0
    attribute: str | None = None
    top: bool = False
    """Whether it is `import a.b`, which binds `a`."""


@dataclass(frozen=True)
class Reads:
    """What a tree reads.

    Attributes:
        free: in a fixed order.
        own: attributes of the first parameter (`self`), and of `super()`.
        imports: names that the tree itself imports.
        members: of a class, what its body binds.
        stored: attributes that are assigned somewhere, of whatever object.
    """

    free: tuple[Read, ...]
    own: tuple[tuple[str, ...], ...]
    imports: dict[str, Import]
    members: tuple[str, ...] = ()
    stored: frozenset[str] = frozenset()


def reads_of(root: ast.AST) -> Reads:
    """What a function or class reads. What it assigns itself does not count, nor what it only adds to."""
    finder = _Finder()
    finder.begin(root)
    changed = finder.changed
    free = sorted(
        read
        for read in finder.free
        if read.name not in finder.assigned and not any((read.name, read.path[:n]) in changed for n in range(1, 9))
    )
    own = sorted(path for path in finder.own if ("", path[:1]) not in changed)
    stored = frozenset(path[0] for _, path in changed if path)
    return Reads(tuple(free), tuple(own), finder.imports, tuple(sorted(finder.members)), stored)


class _Scope:
    """One block while it is walked. `inner` are what blocks inside of it do not bind."""

    __slots__ = ("bound", "elsewhere", "inner", "kind", "uses")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.bound: set[str] = set()
        self.elsewhere: set[str] = set()
        self.uses: set[Read] = set()
        self.inner: set[Read] = set()

    def free(self) -> set[Read]:
        # What a class binds is seen in its own block only.
        inner = self.inner if self.kind == "class" else {read for read in self.inner if read.name not in self.bound}
        return inner | {read for read in self.uses if read.name not in self.bound}


def _chain(node: ast.expr) -> tuple[str, tuple[str, ...]] | None:
    """`a.b.c` as a name and attributes; None for anything else."""
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    return (node.id, tuple(path)) if isinstance(node, ast.Name) else None


class _Finder(ast.NodeVisitor):
    def __init__(self) -> None:
        self._scopes = [_Scope("outside")]
        self._first: str | None = None
        self.free: set[Read] = set()
        self.own: set[tuple[str, ...]] = set()
        self.imports: dict[str, Import] = {}
        self.assigned: set[str] = set()
        self.changed: set[tuple[str, tuple[str, ...]]] = set()
        self.members: set[str] = set()

    def begin(self, root: Any) -> None:
        if not isinstance(root, ast.ClassDef):
            parameters = [*root.args.posonlyargs, *root.args.args]
            self._first = parameters[0].arg if parameters else None
        self.visit(root)
        # A function that names itself says nothing new; it is the outermost name that was bound.
        self.free |= self._scopes[0].free()

    # Scopes

    def _bind(self, name: str) -> None:
        scope = self._scopes[-1]
        if name in scope.elsewhere:
            self.assigned.add(name)
        else:
            scope.bound.add(name)

    def _use(self, name: str, path: tuple[str, ...], use: Use) -> None:
        scope = self._scopes[-1]
        (self.free if name in scope.elsewhere else scope.uses).add(Read(name, path, use))

    def _leave(self) -> None:
        scope = self._scopes.pop()
        free = scope.free()
        if self._first is not None and len(self._scopes) == 1:
            self.own |= {read.path for read in scope.uses | scope.inner if read.name == self._first and read.path}
            self.changed |= {("", path) for name, path in self.changed if name == self._first}
        if scope.kind == "class" and len(self._scopes) == 1:
            self.members = scope.bound
        self._scopes[-1].inner |= free

    def _function(self, node: Any) -> None:
        arguments = node.args
        if not isinstance(node, ast.Lambda):
            if len(self._scopes) > 1:
                self._bind(node.name)
            for decorator in node.decorator_list:
                self.visit(decorator)
            if node.returns is not None:
                self.visit(node.returns)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for argument in every:
            if argument is not None and argument.annotation is not None:
                self.visit(argument.annotation)
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        self._scopes.append(_Scope("function"))
        for parameter in getattr(node, "type_params", ()):
            self.visit(parameter)
        for argument in every:
            if argument is not None:
                self._bind(argument.arg)
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self._leave()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function  # noqa: N815 - ast's names

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if len(self._scopes) > 1:
            self._bind(node.name)
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        self._scopes.append(_Scope("class"))
        for statement in (*getattr(node, "type_params", ()), *node.body):
            self.visit(statement)
        self._leave()

    def _comprehension(self, node: Any) -> None:
        # The first iterable belongs to the block around.
        self.visit(node.generators[0].iter)
        self._scopes.append(_Scope("comprehension"))
        for place, generator in enumerate(node.generators):
            self.visit(generator.target)
            for part in (*([generator.iter] if place else []), *generator.ifs):
                self.visit(part)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self._leave()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815 - ast's names

    # What binds

    def _declared(self, node: ast.Global | ast.Nonlocal) -> None:
        if isinstance(node, ast.Global) or not any(
            name in scope.bound for scope in self._scopes[1:-1] for name in node.names
        ):
            self._scopes[-1].elsewhere.update(node.names)

    visit_Global = visit_Nonlocal = _declared  # noqa: N815 - ast's names

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        # In a comprehension it binds in the function around.
        scope = next(scope for scope in reversed(self._scopes) if scope.kind != "comprehension")
        (self.assigned if node.target.id in scope.elsewhere else scope.bound).add(node.target.id)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname is None:
                self.imports[alias.name.partition(".")[0]] = Import(alias.name, top=True)
            else:
                self.imports[alias.asname] = Import(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.imports[alias.asname or alias.name] = Import(node.module or "", node.level, alias.name)

    def generic_visit(self, node: ast.AST) -> None:
        # Handlers, patterns and type parameters bind by a plain string.
        for field in ("name", "rest"):
            name = getattr(node, field, None)
            if isinstance(name, str) and not isinstance(node, ast.alias):
                self._bind(name)
        super().generic_visit(node)

    # What reads

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._use(node.id, (), "value")
        else:
            self._bind(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._attribute(node, "value")

    def _attribute(self, node: ast.expr, use: Use) -> None:
        found = _chain(node)
        if found is not None:
            if isinstance(getattr(node, "ctx", None), ast.Load):
                self._use(*found, use)
            else:
                self.changed.add(found)
        elif isinstance(node, ast.Attribute):
            if _is_super(node.value):
                self.own.add((node.attr,))
            else:
                self.visit(node.value)
        else:
            self.visit(node)

    def visit_Call(self, node: ast.Call, use: Use = "called") -> None:
        self._attribute(node.func, use)
        for part in (*node.args, *node.keywords):
            self.visit(part)

    def visit_Expr(self, node: ast.Expr) -> None:
        called = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(called, ast.Call) and isinstance(called.func, ast.Attribute):
            self.visit_Call(called, "discarded")
        else:
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        # `counts[key] = n` writes and reads nothing.
        if isinstance(node.ctx, ast.Load) or _chain(node.value) is None:
            self.visit(node.value)
        self.visit(node.slice)


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
