"""The cells that a source spells, read literally.

Every value that an operation works on is a node, numbered in order of appearance. An operation's
result that goes into a sum is an edge, an explicit identity layer is a ``skip_connect`` edge, and
a bare node in a sum is a ``skip_connect`` edge too. A sum inside a sum is part of it.

Where that puts two operations between the same two nodes, sums inside sums are tried as nodes of
their own, then operations are: their results enter the outer sum over a ``skip_connect``.

Whether a cell read here computes what the source computes is for the caller to check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import cast

from plugins.nasbench201.cells import CONV1X1, CONV3X3, EDGES, NONE, POOL, SKIP, Cell
from plugins.nasbench201.equivalence import prune
from plugins.nasbench201.graph import Graph

_INNER = 2
#: More summands than this are not tried as nodes.
_MOST_TRIED = 12
#: Longer sums than this are no cell.
_LONGEST_SUM = 64


def spelled_cells(graph: Graph) -> Iterator[Cell]:
    """Cells that a graph spells, the most literal first.

    Values that only a ``none`` edge works on count as nodes at first, which keeps the numbers of
    the nodes in a source that writes all six edges down.
    """
    yield from _read(_Points(graph, _written(graph)), ())
    points = _Points(graph, graph.live())
    for count in range(_INNER + 1):
        for promoted in combinations(points.summands()[:_MOST_TRIED], count):
            yield from _read(points, promoted)


def _written(graph: Graph) -> list[int]:
    """Indices of the values that reach the output if ``none`` edges count as edges."""
    reached = {graph.output}
    for index in range(graph.output, -1, -1):
        if index in reached:
            reached.update(graph.values[index].inputs)
    return sorted(reached)


@dataclass(frozen=True)
class _Point:
    """An edge (one operation on one point), a sum of points, or the input (no source)."""

    op: int
    is_sum: bool
    sources: tuple[int, ...]


class _Points:
    """The edges and sums of a graph, by the index of a value.

    ReLU and BatchNorm belong to the edge of their convolution, and a sum of one value is that
    value, so such values are no points of their own.
    """

    def __init__(self, graph: Graph, shown: list[int]) -> None:
        self.points: dict[int, _Point] = {}
        self.start: int | None = None
        point_of: dict[int, int] = {}
        for index in shown:
            value = graph.values[index]
            sources = tuple(point_of[i] for i in value.inputs if i in point_of)
            if value.op in ("alias", "relu", "norm") or (value.op == "sum" and len(sources) == 1):
                point_of[index] = sources[0]
                continue
            point_of[index] = index
            if value.op == "input":
                self.start = index
            ops = {"conv": CONV1X1 if value.kernel == 1 else CONV3X3, "pool": POOL, "skip": SKIP}
            self.points[index] = _Point(ops.get(value.op, NONE), value.op == "sum", sources)
        self.output = point_of[graph.output]
        edges = [point for point in self.points.values() if not point.is_sum]
        #: Points that an operation works on.
        self.worked_on = {source for point in edges for source in point.sources}

    def summands(self) -> list[int]:
        """Points in a sum that are no nodes by themselves: sums first, then operations."""
        inside = {s for point in self.points.values() if point.is_sum for s in point.sources}
        free = sorted(inside - self.worked_on - {self.start})
        free = [i for i in free if self.points[i].is_sum or self.points[i].op != NONE]
        return sorted(free, key=lambda index: not self.points[index].is_sum)


def _read(points: _Points, promoted: tuple[int, ...]) -> Iterator[Cell]:
    """The cell with these summands as nodes too, if there is one."""
    ends = (points.start, points.output)
    inner = sorted((points.worked_on | set(promoted)) - set(ends))
    if len(inner) > _INNER:
        return
    number = {point: node for node, point in enumerate(inner, 1)}
    if points.start is not None:
        number[points.start] = 0
    row = [NONE] * len(EDGES)
    for target, point in [*enumerate(inner, 1), (3, points.output)]:
        entering = _entering(points, number, point)
        if entering is None or max(Counter(s for s, _ in entering).values(), default=0) > 1:
            return
        for source, op in entering:
            row[EDGES.index((source, target))] = op
    yield prune(cast(Cell, tuple(row)))


def _entering(points: _Points, number: dict[int, int], target: int) -> list[tuple[int, int]] | None:
    """The edges into a node, as (source node, operation); None where there are too many."""
    edges: list[tuple[int, int]] = []
    todo = [target]
    for _ in range(_LONGEST_SUM):
        if not todo:
            return edges
        index = todo.pop()
        point = points.points[index]
        if index in number and (index != target or not number[index]):
            edges.append((number[index], SKIP))
        elif point.is_sum:
            todo.extend(point.sources)
        elif point.op != NONE:
            edges.append((number[point.sources[0]], point.op))
    return None
