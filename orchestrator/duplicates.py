"""Recognises sources that are the same program: one key per syntax tree, up to what has no effect.

Two sources share a key exactly if their syntax trees are equal up to comments, layout, docstrings
and a consistent renaming of classes. Nothing is executed. The tree is walked once; names are
resolved to the scope that binds them only afterwards, so that a class called like an argument,
an attribute or a keyword of something else is told apart from it.

What a class is called is kept where it is more than a label: a class inside another class's body
(its name is an attribute), a name with two leading underscores (Python mangles it), a builtin's
name (before the class, it means the builtin), a name declared ``global`` or ``nonlocal``, and a
name that the same scope also gets from an import, a ``def``, an argument or a pattern.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.parsing import parse

#: Trees deeper than this (nodes) are compared as text. Below Python's own limits, so that the
#: same source has the same key however deep the caller's stack is.
MAX_DEPTH = 150
#: What the key of a source that was compared as text starts with.
TEXT_PREFIX = "text-"

#: Fields that say nothing about the program: the context follows from the place in the tree.
_IGNORED_FIELDS = frozenset({"ctx", "type_comment", "type_ignores", "kind", "type_params"})
_BUILTINS = frozenset(dir(builtins))
_DOCSTRING_OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_key(source: str) -> str:
    """A name that two sources share exactly if they are the same program (see the module).

    32 hexadecimal digits; for a source that Python cannot parse, or that is too long or too deep
    to be parsed at a bounded cost, ``text-`` and 32 digits over the text itself. Never raises for
    any string and never executes or warns about it.
    """
    tree = parse(source)
    if tree is not None:
        try:
            return _digest(_Walker().tokens(tree))
        except (_TooDeep, RecursionError, MemoryError):
            pass
    return TEXT_PREFIX + _digest(source)


def _digest(text: str) -> str:
    encoded = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


class _TooDeep(Exception):
    """The tree is deeper than ``MAX_DEPTH``."""


class _Scope:
    """A region of names: the module, a function, a class, a comprehension."""

    __slots__ = ("bound", "from_outer", "is_class", "is_loop", "parent", "pinned", "to_module")

    def __init__(
        self, parent: _Scope | None, *, is_class: bool = False, is_loop: bool = False
    ) -> None:
        self.parent = parent
        self.is_class = is_class
        self.is_loop = is_loop
        self.bound: set[str] = set()
        self.pinned: set[str] = set()
        self.to_module: set[str] = set()
        self.from_outer: set[str] = set()

    def resolve(self, name: str) -> _Scope | None:
        """The scope whose variable ``name`` means here, or None: a builtin or undefined."""
        scope: _Scope | None = self
        first = True
        while scope is not None:
            if name in scope.to_module and (first or not scope.is_class):
                while scope.parent is not None:
                    scope = scope.parent
                return scope if name in scope.bound else None
            visible = first or not scope.is_class
            if visible and name in scope.bound and name not in scope.from_outer:
                return scope
            first = False
            scope = scope.parent
        return None


class _Walker:
    """Writes a tree as text, one token a line, classes numbered in the order of their mention."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.depth = 0
        self.scope = self.module = _Scope(None)
        # Where in ``out`` a name stands that is looked up in a scope.
        self.mentions: list[tuple[int, _Scope]] = []
        self.classes: list[tuple[str, _Scope]] = []
        # Mentions whose text, not only whose variable, matters: the variable keeps its name.
        self.kept: list[tuple[str, _Scope]] = []
        self.class_loads: list[tuple[str, _Scope]] = []

    def tokens(self, tree: ast.Module) -> str:
        self.visit(tree)
        self._name_classes()
        return "\n".join(self.out)

    def _name_classes(self) -> None:
        """Replace every mention of a class that may be renamed by its number."""
        for name, scope in self.classes:
            _bind_declared(scope, name)
        outside = [(n, s.parent) for n, s in self.class_loads if s.parent and n in s.bound]
        for name, scope in self.kept + outside:
            owner = scope.resolve(name)
            if owner is not None:
                owner.pinned.add(name)
        renamed = set()
        for name, scope in self.classes:
            owner = scope.resolve(name)
            if owner is None or owner.is_class or name in owner.pinned:
                continue
            if not name.startswith("__") and name not in _BUILTINS:
                renamed.add((owner, name))
        names = {name for _, name in renamed}
        numbers: dict[tuple[_Scope, str], int] = {}
        for place, scope in self.mentions:
            name = self.out[place]
            if name in names:
                owner = scope.resolve(name)
                if owner is not None and (owner, name) in renamed:
                    # No identifier starts with this character.
                    self.out[place] = f"\x00{numbers.setdefault((owner, name), len(numbers))}"

    # -- the walk ---------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        kind = node.__class__
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _TooDeep
        special = _SPECIAL.get(kind)
        if special is not None:
            special(self, node)
        else:
            self.out.append(kind.__name__)
            for name in _fields(kind):
                self.value(getattr(node, name))
        self.depth -= 1

    def value(self, value: Any) -> None:
        if isinstance(value, ast.AST):
            self.visit(value)
        elif isinstance(value, list):
            self.sequence(value)
        elif value is None:
            self.out.append("~")
        else:
            self.out.append(str(value))

    def sequence(self, values: Iterable[Any]) -> None:
        self.out.append("[")
        for value in values:
            self.value(value)
        self.out.append("]")

    def body(self, node: Any) -> None:
        """The statements of a module, class or function without its docstring."""
        statements = node.body
        if statements and isinstance(node, _DOCSTRING_OWNERS):
            first = statements[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                statements = statements[isinstance(first.value.value, str) :]
        self.sequence(statements)

    def mention(self, name: str) -> None:
        self.mentions.append((len(self.out), self.scope))
        self.out.append(name)

    def pin(self, name: str | None) -> None:
        """Note that the scope binds ``name`` in a way in which renaming is more than a label."""
        if name is not None:
            self.scope.bound.add(name)
            self.scope.pinned.add(name)

    def inside(self, scope: _Scope, walk: Callable[[], None]) -> None:
        outer, self.scope = self.scope, scope
        walk()
        self.scope = outer

    # -- nodes that bind or mention names ---------------------------------------------------

    def module_(self, node: ast.Module) -> None:
        self.out.append("Module")
        self.body(node)

    def name_(self, node: ast.Name) -> None:
        self.out.append("Name")
        self.mention(node.id)
        if node.ctx.__class__ is not ast.Load:
            self.scope.bound.add(node.id)
        elif self.scope.is_class:
            # ``relu = relu`` in a class body reads the variable outside.
            self.class_loads.append((node.id, self.scope))

    def constant_(self, node: ast.Constant) -> None:
        value = node.value
        # hex() has no limit on digits; repr() of an int has. Types differ: 1, 1.0, True, "1".
        self.out.append(hex(value) if value.__class__ is int else repr(value))

    def class_(self, node: ast.ClassDef) -> None:
        self.out.append("ClassDef")
        self.classes.append((node.name, self.scope))
        self.mention(node.name)
        self.scope.bound.add(node.name)
        self.sequence(node.decorator_list)
        self.type_parameters(node)
        self.sequence(node.bases)
        self.sequence(node.keywords)
        self.inside(_Scope(self.scope, is_class=True), lambda: self.body(node))
        self.leave_type_parameters(node)

    def function_(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.out.append(node.__class__.__name__)
        self.mention(node.name)
        self.pin(node.name)
        self.sequence(node.decorator_list)
        self.type_parameters(node)
        self.value(node.returns)
        inner = _Scope(self.scope)
        self.arguments(node.args, inner)
        self.inside(inner, lambda: self.body(node))
        self.leave_type_parameters(node)

    def lambda_(self, node: ast.Lambda) -> None:
        self.out.append("Lambda")
        inner = _Scope(self.scope)
        self.arguments(node.args, inner)
        self.inside(inner, lambda: self.visit(node.body))

    def arguments(self, node: ast.arguments, inner: _Scope) -> None:
        """Defaults and annotations belong to the scope outside, the names to ``inner``."""
        groups = (
            node.posonlyargs,
            node.args,
            [node.vararg] if node.vararg else [],
            node.kwonlyargs,
            [node.kwarg] if node.kwarg else [],
        )
        for group in groups:
            self.out.append("[")
            for argument in group:
                inner.bound.add(argument.arg)
                inner.pinned.add(argument.arg)
                self.out.append(argument.arg)
                self.value(argument.annotation)
            self.out.append("]")
        self.sequence(node.defaults)
        self.sequence(node.kw_defaults)

    def comprehension_(self, node: Any) -> None:
        """The first iterable is evaluated outside; all else in a scope of its own."""
        self.out.append(node.__class__.__name__)
        generators: list[ast.comprehension] = node.generators
        self.visit(generators[0].iter)

        def rest() -> None:
            for position, generator in enumerate(generators):
                self.out.append("for async" if generator.is_async else "for")
                self.visit(generator.target)
                if position:
                    self.visit(generator.iter)
                self.sequence(generator.ifs)
            if isinstance(node, ast.DictComp):
                self.visit(node.key)
                self.value(node.value)
            else:
                self.visit(node.elt)

        self.inside(_Scope(self.scope, is_loop=True), rest)

    def walrus_(self, node: ast.NamedExpr) -> None:
        self.out.append("NamedExpr")
        self.mention(node.target.id)
        # Inside a comprehension it binds outside.
        scope = self.scope
        while scope.is_loop and scope.parent is not None:
            scope = scope.parent
        scope.bound.add(node.target.id)
        scope.pinned.add(node.target.id)
        self.visit(node.value)

    def declaration_(self, node: ast.Global | ast.Nonlocal) -> None:
        self.out.append(node.__class__.__name__)
        is_global = isinstance(node, ast.Global)
        (self.scope.to_module if is_global else self.scope.from_outer).update(node.names)
        self.out.append("[")
        for name in node.names:
            self.kept.append((name, self.scope))
            self.mention(name)
        self.out.append("]")

    def handler_(self, node: ast.ExceptHandler) -> None:
        self.out.append("ExceptHandler")
        self.value(node.type)
        self.value(node.name)
        self.pin(node.name)
        self.sequence(node.body)

    def alias_(self, node: ast.alias) -> None:
        self.out.append("alias")
        self.out.append(node.name)
        self.value(node.asname)
        self.pin(node.asname or node.name.partition(".")[0])

    def pattern_(self, node: Any) -> None:
        self.out.append(node.__class__.__name__)
        for name in _fields(node.__class__):
            self.value(getattr(node, name))
        self.pin(node.rest if isinstance(node, ast.MatchMapping) else node.name)

    def type_parameters(self, node: Any) -> None:
        """Open a scope for ``class A[T]`` and ``def f[T]`` (Python 3.12 and later)."""
        parameters = getattr(node, "type_params", None)
        if parameters:
            self.scope = _Scope(self.scope)
            for parameter in parameters:
                self.pin(parameter.name)
            self.sequence(parameters)

    def leave_type_parameters(self, node: Any) -> None:
        if getattr(node, "type_params", None):
            assert self.scope.parent is not None
            self.scope = self.scope.parent


def _bind_declared(scope: _Scope, name: str) -> None:
    """A ``class`` under a ``global`` declaration binds the module's variable."""
    if name in scope.to_module:
        module = scope
        while module.parent is not None:
            module = module.parent
        module.bound.add(name)


_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {}


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = tuple(name for name in kind._fields if name not in _IGNORED_FIELDS)
        _FIELDS[kind] = fields
    return fields


_SPECIAL: dict[type[ast.AST], Callable[[_Walker, Any], None]] = {
    ast.Module: _Walker.module_,
    ast.Name: _Walker.name_,
    ast.Constant: _Walker.constant_,
    ast.ClassDef: _Walker.class_,
    ast.FunctionDef: _Walker.function_,
    ast.AsyncFunctionDef: _Walker.function_,
    ast.Lambda: _Walker.lambda_,
    ast.ListComp: _Walker.comprehension_,
    ast.SetComp: _Walker.comprehension_,
    ast.GeneratorExp: _Walker.comprehension_,
    ast.DictComp: _Walker.comprehension_,
    ast.NamedExpr: _Walker.walrus_,
    ast.Global: _Walker.declaration_,
    ast.Nonlocal: _Walker.declaration_,
    ast.ExceptHandler: _Walker.handler_,
    ast.alias: _Walker.alias_,
    ast.MatchAs: _Walker.pattern_,
    ast.MatchStar: _Walker.pattern_,
    ast.MatchMapping: _Walker.pattern_,
}
