"""What a function's syntax tree amounts to, however it is formatted and whatever Python parsed it: a digest, and names.

Trees are walked here and not with `ast.dump` or `ast.unparse`, which write one function differently in two versions. It
must not look at live objects.
"""

from __future__ import annotations

import ast
import copy
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, cast

from llm_cache.clients.reads import Import, Read, Reads, reads_of
from llm_cache.clients.typed import Form

Role = Literal["root", "helper", "exposed"]
"""The decorated function itself; one that is called; one that is passed on as a value, to whoever may look at it."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
_LEFT_OUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields that say nothing (a context follows from the place) or how it was written."""
_constant = Form()

__all__ = ["Definition", "Import", "Read", "Role", "Syntax", "understood"]


@dataclass(frozen=True)
class Syntax:
    """What counts of one function or class.

    Attributes:
        digest: 64 hex digits of the tree.
        reads: the names that it reads and does not bind.
    """

    digest: str
    reads: Reads


def understood(node: Definition, role: Role) -> Syntax:
    """The syntax of a function or class.

    Raises:
        RecursionError: it is nested too deeply.
    """
    bare = _bared(node, role)
    text = json.dumps(_form(bare), separators=(",", ":"))
    return Syntax(sha256(text.encode("ascii")).hexdigest(), reads_of(bare))


def _bared(node: Definition, role: Role) -> Definition:
    """A copy without what does not count.

    That is, for every function: statements that do nothing, annotations of local variables, and `cached_call` itself.
    For the decorated function and the helpers that it only calls also annotations and docstring, and for the former all
    decorators: nothing looks at them. A function that is passed on as a value may be a tool whose description is made
    of all of this, and a class a schema, so that there they count.
    """
    bare = cast("Definition", _Bare().visit(copy.deepcopy(node)))
    if isinstance(bare, ast.ClassDef):
        return bare
    if role != "exposed":
        arguments = bare.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            argument.annotation = None
        for starred in (arguments.vararg, arguments.kwarg):
            if starred is not None:
                starred.annotation = None
    if not isinstance(bare, ast.Lambda):
        bare.name = ""
        if role != "exposed":
            bare.returns = None
            bare.body = bare.body[1:] if _has_docstring(bare) else bare.body
            if hasattr(bare, "type_params"):
                bare.type_params = []
        if role == "root":
            bare.decorator_list = []
    return bare


def _has_docstring(node: Any) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


class _Bare(ast.NodeTransformer):
    """Takes out what has no effect wherever it stands, but for docstrings."""

    def __init__(self) -> None:
        self._in_class = False

    def _definition(self, node: Any) -> Any:
        outer, self._in_class = self._in_class, isinstance(node, ast.ClassDef)
        docstring = node.body[0] if _has_docstring(node) else None
        node.decorator_list = [each for each in node.decorator_list if not _is_ours(each)]
        self.generic_visit(node)
        if docstring is not None:
            node.body.insert(0, docstring)
        self._in_class = outer
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition  # noqa: N815 - ast's names

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, _node: ast.Pass) -> None:
        return None

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if self._in_class:
            return node
        # Python never evaluates those of local variables; alone they still make them local.
        if node.value is not None:
            return ast.Assign([node.target], node.value)
        node.annotation = ast.Constant(None)
        return node


def _is_ours(decorator: ast.expr) -> bool:
    """Whether it is `cached_call`, whose lifetime and cache do not change what a function does."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name == "cached_call"


def _form(node: Any) -> object:
    if isinstance(node, list):
        return [_form(item) for item in node]
    if isinstance(node, ast.JoinedStr):
        return _joined(node)
    if isinstance(node, ast.Constant):
        return ["Constant", _constant(node.value)]
    if not isinstance(node, ast.AST):
        return _constant(node)
    made: list[object] = [type(node).__name__]
    for name in sorted(node._fields):
        child = getattr(node, name, None)
        # Fields that newer versions have added are empty wherever older ones can parse the source.
        if name not in _LEFT_OUT and child is not None and child != []:
            made += [name, _form(child)]
    return made


def _joined(node: ast.JoinedStr) -> object:
    """An f-string as its pieces. Versions differ in where they cut the constant ones, and in empty ones."""
    pieces: list[object] = []
    text = ""
    for piece in node.values:
        if isinstance(piece, ast.Constant):
            text += str(piece.value)
            continue
        if text:
            pieces.append(text)
            text = ""
        assert isinstance(piece, ast.FormattedValue)  # noqa: S101 - the grammar has no other piece
        made = ["FormattedValue", _form(piece.value), piece.conversion]
        if piece.format_spec is not None and (spec := _form(piece.format_spec)) != ["Constant", ""]:
            made.append(spec)
        pieces.append(made)
    if not pieces:
        return ["Constant", text]
    return ["JoinedStr", *pieces, text] if text else ["JoinedStr", *pieces]
