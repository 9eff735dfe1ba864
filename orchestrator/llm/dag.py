"""A network as values and the layers between them, and the random edits of that form.

A value is a sum of terms; a term is one layer (or nothing: a skip connection) on an earlier value.
Between two values there is at most one term. This is the form of a cell of NAS-Bench-201, and of
any straight-line network that only adds; nothing here knows an operation's name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

#: The term that hands a value on as it is.
SKIP = ""
#: Up to so many inner values, all orders are compared to find the canonical one.
_ORDERED_VALUES = 4

Pair = tuple[int, int]
Terms = Mapping[Pair, str]


@dataclass(frozen=True)
class Dag:
    """Values ``0 .. size - 1``: the input, the inner values in topological order, the output.

    Attributes:
        size: the number of values, at least 2.
        terms: ``(source, target, layer)`` with source < target, in order of target, then source;
            ``layer`` is a constructor expression, or ``SKIP``.
    """

    size: int
    terms: tuple[tuple[int, int, str], ...]

    @property
    def by_pair(self) -> dict[Pair, str]:
        """``(source, target) -> layer``."""
        return {(source, target): layer for source, target, layer in self.terms}

    @property
    def is_empty(self) -> bool:
        """Nothing leads from the input to the output."""
        return not self.terms


def make(size: int, terms: Terms) -> Dag:
    """The canonical form of a graph: dead terms and values removed, values in a fixed order.

    Values that only rename another are joined with it where no two terms come to lie between the
    same two values. ``terms`` may name the inner values in any order that has no cycle.
    """
    live = _live(size, dict(terms))
    live = _joined(size, live)
    return _ordered(size, live)


def _reaches(terms: Iterable[Pair], start: int) -> set[int]:
    """All values that ``start`` leads to, itself too."""
    following: dict[int, list[int]] = {}
    for source, target in terms:
        following.setdefault(source, []).append(target)
    found = {start}
    todo = [start]
    while todo:
        for target in following.get(todo.pop(), ()):
            if target not in found:
                found.add(target)
                todo.append(target)
    return found


def _live(size: int, terms: dict[Pair, str]) -> dict[Pair, str]:
    """The terms on a path from the input to the output."""
    forward = _reaches(terms, 0)
    backward = _reaches([(target, source) for source, target in terms], size - 1)
    both = forward & backward
    return {pair: layer for pair, layer in terms.items() if pair[0] in both and pair[1] in both}


def _joined(size: int, terms: dict[Pair, str]) -> dict[Pair, str]:
    """Remove values that are another's copy, and values whose one use is a skip connection."""
    output = size - 1
    while True:
        for inner in sorted({target for _, target in terms if target != output}):
            into = [pair for pair in terms if pair[1] == inner]
            onward = [pair for pair in terms if pair[0] == inner]
            if len(into) == 1 and terms[into[0]] == SKIP:
                moved = {(into[0][0], pair[1]): terms[pair] for pair in onward}
            elif len(onward) == 1 and terms[onward[0]] == SKIP:
                moved = {(pair[0], onward[0][1]): terms[pair] for pair in into}
            else:
                continue
            if not moved.keys() & terms.keys():
                terms = {p: layer for p, layer in terms.items() if inner not in p} | moved
                break
        else:
            return terms


def _ordered(size: int, terms: dict[Pair, str]) -> Dag:
    """Number the values: of all topological orders, the one whose terms sort first."""
    output = size - 1
    inner = sorted({target for _, target in terms} - {output})
    orders: Iterable[Sequence[int]]
    if len(inner) <= _ORDERED_VALUES:
        orders = itertools.permutations(inner)
    else:
        orders = [_topological(inner, terms)]
    best: tuple[tuple[int, int, str], ...] | None = None
    for order in orders:
        number = {0: 0, output: len(inner) + 1}
        number.update((value, place) for place, value in enumerate(order, 1))
        named = [
            (number[target], number[source], layer) for (source, target), layer in terms.items()
        ]
        if any(source >= target for target, source, _ in named):
            continue
        candidate = tuple((source, target, layer) for target, source, layer in sorted(named))
        if best is None or candidate < best:
            best = candidate
    return Dag(len(inner) + 2, best or ())


def _topological(inner: Sequence[int], terms: Iterable[Pair]) -> list[int]:
    after = {value: _reaches(terms, value) for value in inner}
    return sorted(inner, key=lambda value: (-len(after[value]), value))


# -- the edits ------------------------------------------------------------------------------


def without(dag: Dag, pair: Pair) -> Dag:
    """The graph without one term, and without all that is dead then. May be empty."""
    return make(dag.size, {p: layer for p, layer in dag.by_pair.items() if p != pair})


def additions(dag: Dag, layer: str, max_values: int | None) -> Iterator[Dag]:
    """Every graph with one more ``layer``, in a fixed order.

    The layer comes between two values that have no term yet or, where ``max_values`` leaves room
    for one more value, before or after a term, or beside one.
    """
    terms = dag.by_pair
    output = dag.size - 1
    reached = {value: _reaches(terms, value) for value in range(output)}
    reached[output] = {output}
    for source in range(output):
        for target in range(1, dag.size):
            if (source, target) not in terms and source not in reached[target]:
                yield make(dag.size, {**terms, (source, target): layer})
    if max_values is not None and dag.size >= max_values:
        return
    # The new value takes the output's number, and the output the next one.
    new = output
    shifted = {
        (source, target + (target == output)): old for (source, target), old in terms.items()
    }
    for (source, target), old in shifted.items():
        if layer != SKIP:
            rest = {pair: value for pair, value in shifted.items() if pair != (source, target)}
            yield make(dag.size + 1, {**rest, (source, new): layer, (new, target): old})
            yield make(dag.size + 1, {**rest, (source, new): old, (new, target): layer})
        yield make(dag.size + 1, {**shifted, (source, new): layer, (new, target): SKIP})


def add(rng: Random, dag: Dag, layer: str, max_values: int | None) -> Dag:
    """One of ``additions`` at random; in a full graph, the layer takes a random term's place."""
    choices = [after for after in additions(dag, layer, max_values) if after != dag]
    if not choices:
        choices = [
            after
            for pair in dag.by_pair
            if (after := make(dag.size, {**dag.by_pair, pair: layer})) != dag
        ]
    return rng.choice(choices) if choices else dag


def delete(rng: Random, dag: Dag, *, may_empty: bool = False) -> Dag:
    """The graph without a random term.

    Where that would cut the output off the input, a layer is replaced by a skip connection
    instead, and a skip connection is kept. ``may_empty``: cut it off; something is added next.
    """
    pairs = list(dag.by_pair)
    rng.shuffle(pairs)
    for pair in pairs:
        after = without(dag, pair)
        if not after.is_empty or may_empty:
            return after
        if dag.by_pair[pair] != SKIP:
            return make(dag.size, {**dag.by_pair, pair: SKIP})
    return dag


def combine(rng: Random, parents: Sequence[Dag]) -> Dag:
    """Uniform crossover: every pair of values takes its term, or none, from a random parent.

    Parents are aligned at both ends: input on input, output on output. A mix in which nothing
    reaches the output is drawn again, a few times; then it is one of the parents.
    """
    size = max(parent.size for parent in parents)
    aligned = [
        {
            (source, size - 1 if target == parent.size - 1 else target): layer
            for source, target, layer in parent.terms
        }
        for parent in parents
    ]
    pairs = sorted(set().union(*aligned))
    for _ in range(8):
        mixed = {}
        for pair in pairs:
            layer = rng.choice(aligned).get(pair)
            if layer is not None:
                mixed[pair] = layer
        child = make(size, mixed)
        if not child.is_empty:
            return child
    return rng.choice(list(parents))
