"""When two cells compute the same function: a normal form, and the cells that have it.

In the normal form a value is a multiset of terms. A term is the input, or one operation on a
value. ``skip_connect`` hands the terms on, ``none`` gives the empty multiset, and pooling nothing
gives nothing. Pooling the same value twice is the same term twice; a convolution has parameters
of its own, so two convolutions of one value are different terms. Up to the naming of the
convolutions, two networks with the same normal form compute the same function for the same
parameters. No algebra beyond this is used (pooling is linear, which would join more cells).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, permutations, product
from typing import cast

from plugins.nasbench201.cells import CONV1X1, CONV3X3, COUNT, EDGES, NONE, POOL, SKIP, Cell

#: Most terms that a value of a cell can have: the four paths from node 0 to node 3.
MOST_TERMS = 4

#: A value: indices of terms, ascending, with repetitions.
Terms = tuple[int, ...]
#: A normal form; compare and hash it, nothing else.
NormalForm = tuple[object, ...]


class TermTable:
    """The distinct terms of one network, by index."""

    def __init__(self) -> None:
        #: (operation, which convolution or 0, value it works on); the input is (SKIP, 0, ()).
        self.terms: list[tuple[int, int, Terms]] = [(SKIP, 0, ())]
        self._index = {self.terms[0]: 0}
        self.convolutions = 0

    def _term(self, key: tuple[int, int, Terms]) -> Terms:
        if key not in self._index:
            self._index[key] = len(self.terms)
            self.terms.append(key)
        return (self._index[key],)

    def pool(self, value: Terms) -> Terms:
        """The 3x3 average of a value."""
        return self._term((POOL, 0, value)) if value else ()

    def convolve(self, op: int, value: Terms) -> Terms:
        """A convolution of its own (``CONV1X1`` or ``CONV3X3``) on a value."""
        self.convolutions += 1
        return self._term((op, self.convolutions, value))

    def reach(self, value: Terms) -> list[int]:
        """Indices of all terms that a value is made of, ascending, hence inner ones first."""
        seen: set[int] = set()
        todo = list(value)
        while todo:
            term = todo.pop()
            if term not in seen:
                seen.add(term)
                todo.extend(self.terms[term][2])
        return sorted(seen)

    def normal_form(self, value: Terms) -> NormalForm:
        """The normal form of a value: the same whatever the order of the convolutions."""
        reached = self.reach(value)
        unrolled: dict[int, tuple[object, ...]] = {}
        for term in reached:
            op, _, inner = self.terms[term]
            unrolled[term] = (op, *sorted(unrolled[t] for t in inner))
        groups: dict[tuple[object, ...], list[int]] = {}
        for term in reached:
            if self.terms[term][0] in (CONV1X1, CONV3X3):
                groups.setdefault(unrolled[term], []).append(term)
        ordered = [groups[key] for key in sorted(groups)]
        forms = (
            self._labelled(reached, [t for group in choice for t in group], value)
            for choice in product(*(permutations(group) for group in ordered))
        )
        return min(forms)

    def _labelled(self, reached: list[int], convolutions: list[int], value: Terms) -> NormalForm:
        """The network written down with its convolutions numbered in the given order."""
        label = {term: number for number, term in enumerate(convolutions)}
        written: dict[int, tuple[object, ...]] = {}
        inputs: dict[int, tuple[object, ...]] = {}
        for term in reached:
            op, _, inner = self.terms[term]
            refs = tuple(sorted(written[t] for t in inner))
            if term in label:
                written[term] = (op, label[term])
                inputs[term] = (op, *refs)
            else:
                written[term] = (op, *refs)
        return (
            tuple(inputs[term] for term in convolutions),
            tuple(sorted(written[t] for t in value)),
        )


def cell_terms(cell: Cell) -> tuple[TermTable, Terms]:
    """The terms of a cell's output, and the table that they are indices of."""
    table = TermTable()
    nodes: list[list[int]] = [[0], [], [], []]
    for op, (source, target) in zip(cell, EDGES, strict=True):
        value = tuple(sorted(nodes[source]))
        if op == SKIP:
            nodes[target].extend(value)
        elif op == POOL:
            nodes[target].extend(table.pool(value))
        elif op != NONE:
            nodes[target].extend(table.convolve(op, value))
    return table, tuple(sorted(nodes[3]))


@lru_cache(maxsize=COUNT)
def normal_form(cell: Cell) -> NormalForm:
    """The normal form of a cell; equal exactly for cells that compute the same function."""
    table, output = cell_terms(cell)
    return table.normal_form(output)


def same_function(one: Cell, other: Cell) -> bool:
    """Whether two cells compute the same function, up to the naming of their convolutions."""
    return normal_form(one) == normal_form(other)


def prune(cell: Cell) -> Cell:
    """The cell without the edges into nodes from which nothing reaches node 3."""
    ops = list(cell)
    for node in (2, 1):
        leaves = any(op for op, (source, _) in zip(ops, EDGES, strict=True) if source == node)
        if not leaves:
            for index, (_, target) in enumerate(EDGES):
                if target == node:
                    ops[index] = NONE
    return cast(Cell, tuple(ops))


def candidates(conv1: int, conv3: int, pools: int) -> Iterator[Cell]:
    """Cells with so many convolutions of each size, and pooling exactly if ``pools`` > 0.

    In order of preference: fewest operations other than ``none``; then lowest nodes first
    (edges that are not ``none`` come early in the order of :data:`EDGES`); then the higher
    operation index on the earlier edge. Cells with edges that reach nothing are left out.
    """
    for size in range(conv1 + conv3 + pools, len(EDGES) + 1):
        for support in combinations(range(len(EDGES)), size):
            for ops in _arrangements(size, conv1, conv3, pools):
                row = [NONE] * len(EDGES)
                for edge, op in zip(support, ops, strict=True):
                    row[edge] = op
                cell = cast(Cell, tuple(row))
                if prune(cell) == cell:
                    yield cell


@lru_cache(maxsize=256)
def _arrangements(size: int, conv1: int, conv3: int, pools: int) -> tuple[tuple[int, ...], ...]:
    """Ways to give ``size`` edges so many convolutions and at least ``pools`` poolings."""
    return tuple(
        ops
        for ops in product((POOL, CONV3X3, CONV1X1, SKIP), repeat=size)
        if ops.count(CONV1X1) == conv1
        and ops.count(CONV3X3) == conv3
        and ops.count(POOL) >= pools
        and (pools or POOL not in ops)
    )


def find_cell(table: TermTable, output: Terms) -> Cell | None:
    """The preferred cell with the normal form of a value; None if no cell has it."""
    ops = [table.terms[term][0] for term in table.reach(output)]
    counts = ops.count(CONV1X1), ops.count(CONV3X3), ops.count(POOL)
    return _find_cell(table.normal_form(output), counts)


@lru_cache(maxsize=COUNT)
def _find_cell(wanted: NormalForm, counts: tuple[int, int, int]) -> Cell | None:
    return next((cell for cell in candidates(*counts) if normal_form(cell) == wanted), None)
