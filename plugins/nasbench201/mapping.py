"""Maps the graph of a candidate onto a cell of NAS-Bench-201: a pure function.

A network is a cell if some cell has its normal form (:mod:`.equivalence`). Among the cells that
have it, the choice is, in this order:

1. the cell that the source spells, if it is one, see :mod:`.spelling`;
2. the cell with the fewest operations other than ``none``;
3. the one on the lowest nodes, see :func:`.equivalence.candidates`.

Branches that do not reach the output are ignored, so their edges are ``none``.
"""

from __future__ import annotations

from dataclasses import dataclass

from plugins.nasbench201.cells import CONV1X1, CONV3X3, EDGES, SKIP, Cell
from plugins.nasbench201.dressing import Dressing, Trail
from plugins.nasbench201.equivalence import (
    MOST_TERMS,
    Terms,
    TermTable,
    cell_terms,
    find_cell,
)
from plugins.nasbench201.graph import Graph, NotRepresentable, Value
from plugins.nasbench201.spelling import spelled_cells

#: The modules that the guest needs for ``plugins.nasbench201.tracing:run``.
GUEST_MODULES = tuple(
    f"plugins.nasbench201.{name}"
    for name in (
        "cells",
        "graph",
        "equivalence",
        "dressing",
        "spelling",
        "mapping",
        "layers",
        "functions",
        "proxy",
        "recorder",
        "tracing",
    )
)


@dataclass(frozen=True)
class Mapped:
    """The cell that a network is.

    Attributes:
        cell: six operation indices over the edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.
        notes: where the source differs from the benchmark's own operations without computing
            something else, one line each.
    """

    cell: Cell
    notes: tuple[str, ...]


def map_graph(graph: Graph) -> Mapped:
    """The cell that computes what the graph computes.

    Raises:
        NotRepresentable: there is none; says why, with what to change.
    """
    live = graph.live()
    _refuse_problems(graph, live)
    _refuse_shared_weights(graph, live)
    table, output, dressing = _reduce(graph, live)
    notes = [graph.values[i].note for i in live if graph.values[i].note]
    _refuse_large(table, output)
    notes += dressing.solve()
    for spelled in spelled_cells(graph):
        if _same(spelled, table, output):
            return Mapped(spelled, tuple(dict.fromkeys(notes)))
    cell = find_cell(table, output)
    if cell is None:
        raise NotRepresentable(
            "no_free_node",
            "expected at most one operation between two nodes of the cell's four, or a free inner "
            "node to route a second one over; found parallel branches that need more nodes: "
            "merge or remove one of the parallel branches",
        )
    return Mapped(cell, tuple(dict.fromkeys(notes)))


def _refuse_problems(graph: Graph, live: list[int]) -> None:
    problems = [p for i in live if (p := graph.values[i].problem) is not None]
    if problems:
        raise next((p for p in problems if p.certain), problems[0])


def _refuse_shared_weights(graph: Graph, live: list[int]) -> None:
    """Two convolutions or normalisations with one set of parameters are no two edges."""
    first: dict[object, Value] = {}
    for index in live:
        value = graph.values[index]
        if value.weight is None:
            continue
        if value.weight in first:
            raise NotRepresentable(
                "module_used_twice",
                f"expected every layer with parameters to be called once; {value.name} has the "
                f"parameters of {first[value.weight].name}, so it is used twice: "
                "give each edge a layer of its own",
            )
        first[value.weight] = value


def _reduce(graph: Graph, live: list[int]) -> tuple[TermTable, Terms, Dressing]:
    """The terms of the output, and how ReLU and BatchNorm lie around the convolutions."""
    table = TermTable()
    dressing = Dressing()
    terms: dict[int, Terms] = {}
    trails: dict[int, Trail] = {}
    last: dict[int, str] = {}

    def nothing(index: int) -> bool:
        """Whether a value is 0 everywhere; the ReLU of 0 is."""
        return not terms[index] and all(kind == "relu" for kind, _ in trails[index])

    def settle(index: int, where: str) -> Terms:
        """The terms of a value that goes into anything but a convolution."""
        source = _lone_convolution(table, terms[index])
        if not nothing(index):
            dressing.settle(source, trails[index], last.get(index, ""), where)
        return terms[index]

    for index in live:
        value = graph.values[index]
        trails[index] = ()
        if value.op == "input":
            terms[index] = (0,)
        elif value.op == "zero":
            terms[index] = ()
        elif value.op in ("skip", "alias", "relu", "norm"):
            (source,) = value.inputs
            terms[index] = terms[source]
            trails[index] = trails[source]
            last[index] = last.get(source, "")
            if value.op in ("relu", "norm"):
                last[index] = value.name
                trails[index] = dressing.extend(trails[source], value, index)
        elif value.op == "pool":
            terms[index] = table.pool(settle(value.inputs[0], value.name))
        elif value.op == "conv":
            (source,) = value.inputs
            terms[index] = table.convolve(CONV1X1 if value.kernel == 1 else CONV3X3, terms[source])
            dressing.convolve(
                _lone_convolution(table, terms[source]),
                trails[source],
                terms[index][0],
                value.name,
            )
        else:
            operands = [i for i in value.inputs if not nothing(i)]
            if len(operands) == 1:
                terms[index], trails[index] = terms[operands[0]], trails[operands[0]]
                last[index] = last.get(operands[0], "")
            else:
                summed = [term for i in operands for term in settle(i, value.name)]
                _refuse_wide(summed, value)
                terms[index] = tuple(sorted(summed))
    return table, settle(graph.output, "the output"), dressing


def _lone_convolution(table: TermTable, value: Terms) -> int | None:
    """The convolution that a value is the plain result of, as a term; None if it is not."""
    if len(value) == 1 and table.terms[value[0]][0] in (CONV1X1, CONV3X3):
        return value[0]
    return None


def _refuse_wide(terms: list[int], value: Value) -> None:
    if len(terms) > MOST_TERMS:
        raise NotRepresentable(
            "too_many_nodes",
            f"expected a cell of 4 nodes, where at most {MOST_TERMS} paths lead from the input to "
            f"any sum; found {len(terms)} at {value.name}: remove branches",
        )


def _refuse_large(table: TermTable, output: Terms) -> None:
    """Refuses early, and with a better reason, what no cell can be."""
    reached = table.reach(output)
    operations = [t for t in reached if table.terms[t][0] != SKIP]
    inner = {table.terms[t][2] for t in operations} - {(0,)}
    if len(inner) > 2:
        raise NotRepresentable(
            "too_many_nodes",
            "expected at most 4 nodes: the input, two inner nodes and the output; found "
            f"{len(inner)} inner values that operations work on, so the cell would have "
            f"{len(inner) + 2} nodes: make the longest chain of operations at most 3 long, over "
            "at most two inner nodes",
        )
    if len(operations) > len(EDGES):
        raise NotRepresentable(
            "too_many_operations",
            f"expected at most {len(EDGES)} operations, one on each edge of the cell; found "
            f"{len(operations)}: remove some",
        )


def _same(cell: Cell, table: TermTable, output: Terms) -> bool:
    other, value = cell_terms(cell)
    return other.normal_form(value) == table.normal_form(output)
