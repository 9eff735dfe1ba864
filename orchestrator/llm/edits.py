"""Random edits of a network's source, whatever form it is written in.

A form is one way of understanding a class: it reads the class, changes what it understood, and
writes it again. There is one so far, :mod:`.dag_source`; a new one is a class with ``Network``'s
methods and a reader in ``_READERS``.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Protocol

from orchestrator.llm import dag
from orchestrator.llm.dag_source import DagClass, NotStraight, read, renamed_arguments, write
from orchestrator.parsing import parse
from plugins.contract import Edit

#: The most values of a network where an edit sets no limit.
MAX_VALUES = 12


class Network(Protocol):
    """A class, understood in some form."""

    def accepts(self, edit: Edit) -> bool:
        """Whether the network is within the limits of the edit."""
        ...

    def mutate(self, rng: Random, edit: Edit) -> Network:
        """The network after a random edit of the kind asked for."""
        ...

    def combine(self, rng: Random, others: Sequence[Network], edit: Edit) -> Network:
        """A random mix with other networks; those of another form are left out."""
        ...

    def body(self, edit: Edit) -> list[str]:
        """The lines of the class's body, indented by four, without newlines."""
        ...


@dataclass(frozen=True)
class DagNetwork:
    """A network of values and layers that are added."""

    cls: DagClass

    def accepts(self, edit: Edit) -> bool:
        """Whether it has no more values than the edit allows."""
        return self.cls.dag.size <= _limit(edit) and not self.cls.dag.is_empty

    def mutate(self, rng: Random, edit: Edit) -> DagNetwork:
        """Delete a term, add a layer, or both; an edit that asks for nothing does any of them."""
        graph = self.cls.dag
        remove, layer = edit.delete, edit.add
        if not remove and layer is None:
            known = sorted({layer for _, _, layer in graph.terms} | {dag.SKIP})
            remove, layer = rng.choice(
                [(True, None), (False, rng.choice(known)), (True, rng.choice(known))]
            )
        if layer not in (None, dag.SKIP):
            layer = ast.unparse(ast.parse(layer, mode="eval"))
        if remove:
            graph = dag.delete(rng, graph, may_empty=layer is not None)
        if layer is not None:
            graph = dag.add(rng, graph, layer, _limit(edit))
        return DagNetwork(replace(self.cls, dag=graph))

    def combine(self, rng: Random, others: Sequence[Network], edit: Edit) -> DagNetwork:
        """Uniform crossover of the terms; see :func:`.dag.combine`."""
        parents = [self.cls.dag]
        for other in others:
            if isinstance(other, DagNetwork) and other.cls.setup == self.cls.setup:
                parents.append(renamed_arguments(other.cls, self.cls.arguments).dag)
        return DagNetwork(replace(self.cls, dag=dag.combine(rng, parents)))

    def body(self, edit: Edit) -> list[str]:
        """The lines of the class's body."""
        return write(self.cls, edit.max_values)


def _limit(edit: Edit) -> int:
    return MAX_VALUES if edit.max_values is None else edit.max_values


_READERS: tuple[Callable[[ast.ClassDef], Network], ...] = (lambda node: DagNetwork(read(node)),)


@lru_cache(maxsize=4096)
def read_class(source: str) -> ast.ClassDef | None:
    """The last class with a ``forward`` in the source, or the last class; None without one."""
    tree = parse(source)
    if tree is None:
        return None
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in reversed(classes):
        if any(isinstance(item, ast.FunctionDef) and item.name == "forward" for item in node.body):
            return node
    return classes[-1] if classes else None


@lru_cache(maxsize=4096)
def read_network(source: str) -> Network | None:
    """The network that a source defines, or None where no form can hold it."""
    node = read_class(source)
    if node is None:
        return None
    for reader in _READERS:
        try:
            return reader(node)
        except (NotStraight, RecursionError):
            continue
    return None


def apply(
    rng: Random, parents: Sequence[str], edit: Edit, *, name: str = "Net", times: int = 1
) -> list[str]:
    """The lines of the body of a new class, called ``name``: the parents, edited.

    A mutation edits the first parent, ``times`` over; a crossover mixes all. Parents that no form
    can hold are left out; where that leaves none, the first parent that is a class at all comes
    back unchanged, and where there is none either, a network that returns its input.
    """
    networks = [
        network
        for parent in parents
        if (network := read_network(parent)) is not None and network.accepts(edit)
    ]
    if not networks or (not edit.combine and read_network(parents[0]) is not networks[0]):
        return _unchanged(parents, name)
    network = networks[0]
    if edit.combine:
        return network.combine(rng, networks[1:], edit).body(edit)
    for _ in range(times):
        network = network.mutate(rng, edit)
    return network.body(edit)


def _unchanged(parents: Sequence[str], name: str) -> list[str]:
    for parent in parents:
        node = read_class(parent)
        if node is None:
            continue
        try:
            body = [ast.unparse(_named(item, node.name, name)) for item in node.body]
        except RecursionError:
            continue
        return [f"    {line}" if line else "" for text in body for line in text.splitlines()]
    return ["    def forward(self, x):", "        return x"]


def _named(node: ast.stmt, old: str, new: str) -> ast.stmt:
    """The statement, with the name of a class changed (``super(Old, self)``)."""
    if old == new:
        return node
    node = copy.deepcopy(node)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id == old:
            inner.id = new
    return node
