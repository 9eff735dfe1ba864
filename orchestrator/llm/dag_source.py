"""Reads a class as a graph of layers (:mod:`.dag`), and writes such a graph as a class.

Read is any class whose ``__init__`` assigns its layers one by one (``self.name = Layer(...)``) and
whose ``forward`` is straight-line code over one input: layers called on values, and sums, written
with ``+``, ``+=``, ``torch.add``, ``.add`` or ``sum([...])``. A ``Sequential`` is one layer. A
layer that is called twice becomes two layers; ``nn.Identity()`` becomes a skip connection.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.llm.dag import SKIP, Dag, make

#: A class with more values than this is not read: the cost stays bounded.
MOST_VALUES = 100
_IDENTITIES = frozenset({"nn.Identity()", "torch.nn.Identity()", "Identity()"})


class NotStraight(Exception):
    """The class is not of the form that this module reads; says what it found."""


@dataclass(frozen=True)
class DagClass:
    """A class of the form.

    Attributes:
        arguments: the argument names of ``__init__`` after ``self``.
        signature: the same with defaults and annotations, as source.
        setup: statements of ``__init__`` that make no layer, as source, in order.
        dag: the layers and how they are joined.
    """

    arguments: tuple[str, ...]
    signature: str
    setup: tuple[str, ...]
    dag: Dag


def read(node: ast.ClassDef) -> DagClass:
    """The class as a graph.

    Raises:
        NotStraight: it is of another form.
    """
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    others = [
        item for item in node.body if not isinstance(item, ast.FunctionDef | ast.Pass | ast.Expr)
    ]
    if others or methods.keys() - {"__init__", "forward"} or "forward" not in methods:
        raise NotStraight("more than __init__ and forward")
    arguments: tuple[str, ...] = ()
    signature = ""
    setup: list[str] = []
    layers: dict[str, str] = {}
    init = methods.get("__init__")
    if init is not None:
        arguments = _arguments(init)
        signature = ast.unparse(init.args).partition(",")[2].strip()
        setup, layers = _layers(init)
    reader = _ForwardReader(methods["forward"], layers)
    return DagClass(arguments, signature, tuple(setup), reader.dag())


def _arguments(function: ast.FunctionDef) -> tuple[str, ...]:
    """The names of the arguments after ``self``."""
    given = function.args
    names = [argument.arg for argument in given.posonlyargs + given.args]
    if (
        names[:1] != ["self"]
        or given.vararg
        or given.kwarg
        or given.kwonlyargs
        or given.posonlyargs
    ):
        raise NotStraight(f"arguments of {function.name} other than plain ones")
    return tuple(names[1:])


def _layers(init: ast.FunctionDef) -> tuple[list[str], dict[str, str]]:
    setup: list[str] = []
    layers: dict[str, str] = {}
    for statement in init.body:
        if isinstance(statement, ast.Pass) or _is_text(statement) or _is_super(statement):
            continue
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            raise NotStraight(f"{type(statement).__name__} in __init__")
        target, value = statement.targets[0], statement.value
        if isinstance(target, ast.Attribute) and isinstance(value, ast.Call):
            if not _is_self(target.value):
                raise NotStraight("an attribute of something else is assigned")
            text = ast.unparse(value)
            layers[target.attr] = SKIP if text in _IDENTITIES else text
        elif isinstance(target, ast.Name) or (
            isinstance(target, ast.Attribute) and _is_self(target.value)
        ):
            setup.append(ast.unparse(statement))
        else:
            raise NotStraight("an assignment to something other than a name")
    return setup, layers


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_super(node: ast.stmt) -> bool:
    """``super().__init__()`` in any of its spellings."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == "__init__"
    )


#: A sum under construction: (value, layer), one per term.
_Sum = list[tuple[int, str]]


class _ForwardReader:
    """Runs ``forward`` over symbols: every variable is a value, and so is what a layer works on."""

    def __init__(self, function: ast.FunctionDef, layers: Mapping[str, str]) -> None:
        inputs = _arguments(function)
        if len(inputs) != 1:
            raise NotStraight(f"forward takes {len(inputs)} arguments, not one")
        self.layers = layers
        # The terms of value 1, 2, ...; value 0 is the input.
        self.sums: list[_Sum] = []
        self.variables: dict[str, int] = {inputs[0]: 0}
        self.result = self.statements(function.body)

    def dag(self) -> Dag:
        """The graph; two terms between the same values get a value of their own."""
        if self.result == 0:
            return make(2, {(0, 1): SKIP})
        output = self.result
        terms: dict[tuple[int, int], str] = {}
        free = len(self.sums) + 1
        for target, total in enumerate(self.sums, 1):
            for source, layer in total:
                pair = (source, target)
                if pair not in terms:
                    terms[pair] = layer
                    continue
                if layer == SKIP:
                    # Only a layer can be told from its copy: let the skip lie in between.
                    layer, terms[pair] = terms[pair], layer
                terms[source, free] = SKIP
                terms[free, target] = layer
                free += 1
        # ``make`` takes the output's number to be the last.
        renamed = {
            (source, free if target == output else target): layer
            for (source, target), layer in terms.items()
            if source != output
        }
        return make(free + 1, renamed)

    def statements(self, body: list[ast.stmt]) -> int:
        for statement in body:
            match statement:
                case ast.Pass() | ast.Expr(value=ast.Constant()):
                    pass
                case ast.Return(value=ast.expr() as value):
                    return self.value(value)
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    self.variables[name] = self.named(value)
                case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value):
                    before = self.variables.get(name)
                    if before is None:
                        raise NotStraight(f"{name} is used before it is assigned")
                    self.variables[name] = self.new([(before, SKIP), *self.total(value)])
                case _:
                    raise NotStraight(f"{type(statement).__name__} in forward")
        raise NotStraight("forward returns nothing")

    def new(self, total: _Sum) -> int:
        if len(self.sums) == MOST_VALUES:
            raise NotStraight(f"more than {MOST_VALUES} values")
        self.sums.append(total)
        return len(self.sums)

    def named(self, node: ast.expr) -> int:
        """The value that a variable stands for: a value of its own, also for another's copy."""
        return self.new(self.total(node))

    def value(self, node: ast.expr) -> int:
        """The value of an expression: an existing one, or a new one for a sum or a layer."""
        total = self.total(node)
        if len(total) == 1 and total[0][1] == SKIP:
            return total[0][0]
        return self.new(total)

    def total(self, node: ast.expr) -> _Sum:
        """The terms of an expression."""
        match node:
            case ast.Name(id=name):
                if name not in self.variables:
                    raise NotStraight(f"{name} is no value")
                return [(self.variables[name], SKIP)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.total(left) + self.total(right)
            case ast.Call(func=func, args=args, keywords=[]):
                return self.call(func, args)
        raise NotStraight(f"{type(node).__name__} in forward")

    def call(self, func: ast.expr, args: list[ast.expr]) -> _Sum:
        match func, args:
            case ast.Attribute(value=ast.Name(id="self"), attr=name), [argument]:
                if name not in self.layers:
                    raise NotStraight(f"self.{name} is no layer")
                return [(self.value(argument), self.layers[name])]
            case ast.Attribute(value=ast.Name(id="torch"), attr="add"), [left, right]:
                return self.total(left) + self.total(right)
            case ast.Attribute(value=ast.expr() as left, attr="add" | "add_"), [right]:
                return self.total(left) + self.total(right)
            case ast.Name(id="sum"), [ast.List(elts=items) | ast.Tuple(elts=items)] if items:
                return [term for item in items for term in self.total(item)]
        raise NotStraight("a call of something that is neither a layer nor a sum")


def write(cls: DagClass, max_values: int | None) -> list[str]:
    """The lines of the class's body, indented, without a newline.

    Values are ``node0``, ``node1`` ..., layers ``edge_0_1`` ...; the output has the highest number
    that ``max_values`` allows, as in a cell. Equal graphs give equal lines.
    """
    dag = cls.dag
    last = max(dag.size, max_values or 0) - 1

    def number(value: int) -> int:
        return last if value == dag.size - 1 else value

    signature = f"self, {cls.signature}" if cls.signature else "self"
    lines = [f"    def __init__({signature}):", "        super().__init__()"]
    lines += [f"        {line}" for text in cls.setup for line in text.splitlines()]
    sums: dict[int, list[str]] = {}
    for source, target, layer in dag.terms:
        node = f"node{number(source)}"
        if layer != SKIP:
            edge = f"self.edge_{number(source)}_{number(target)}"
            lines.append(f"        {edge} = {layer}")
            node = f"{edge}({node})"
        sums.setdefault(target, []).append(node)
    lines += ["", "    def forward(self, node0):"]
    lines += [f"        node{number(target)} = {' + '.join(sums[target])}" for target in sums]
    lines.append(f"        return node{last}")
    return lines


def renamed_arguments(cls: DagClass, arguments: tuple[str, ...]) -> DagClass:
    """The class with the arguments of ``__init__`` called as in another class, by position."""
    if cls.arguments == arguments or len(cls.arguments) != len(arguments):
        return cls
    names = dict(zip(cls.arguments, arguments, strict=True))

    def rename(layer: str) -> str:
        if layer == SKIP:
            return layer
        tree = ast.parse(layer, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
        return ast.unparse(tree)

    terms = {(s, t): rename(layer) for s, t, layer in cls.dag.terms}
    return replace(cls, arguments=arguments, dag=make(cls.dag.size, terms))
