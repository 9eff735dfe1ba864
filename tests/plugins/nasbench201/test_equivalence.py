"""Cells with one normal form compute one function, and the search for a cell finds all."""

from itertools import permutations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from plugins.nasbench201.cells import CONV1X1, CONV3X3, EDGES, NONE, POOL, SKIP
from plugins.nasbench201.equivalence import (
    cell_terms,
    find_cell,
    normal_form,
    prune,
    same_function,
)

ALL_CELLS = list(product(range(5), repeat=6))


@pytest.fixture(scope="module")
def by_form():
    """All cells, by their normal form."""
    grouped = {}
    for cell in ALL_CELLS:
        grouped.setdefault(normal_form(cell), []).append(cell)
    return grouped


cells = st.tuples(*[st.integers(0, 4)] * 6)


def compute(cell, weights, image):
    """The benchmark's cell, written independently of the normal form; a bias in every conv."""
    nodes = [image] + [torch.zeros_like(image) for _ in range(3)]
    for edge, (op, (source, target)) in enumerate(zip(cell, EDGES, strict=True)):
        value = nodes[source]
        if op in (CONV1X1, CONV3X3):
            size = 1 if op == CONV1X1 else 3
            weight, bias = weights[edge]
            weight = weight if size == 3 else weight[:, :, 1:2, 1:2]
            value = functional.conv2d(value.relu(), weight, bias, padding=size // 2)
        elif op == POOL:
            value = functional.avg_pool2d(value, 3, 1, 1, count_include_pad=False)
        elif op == NONE:
            continue
        nodes[target] = nodes[target] + value
    return nodes[3]


def convolutions(cell):
    return [edge for edge, op in enumerate(cell) if op in (CONV1X1, CONV3X3)]


def operations(cell):
    return sum(op != NONE for op in cell)


def agree_numerically(one, other):
    """Whether some assignment of one cell's parameters to the other gives the same output."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    image = draw(1, 2, 4, 5)
    weights = {edge: (draw(2, 2, 3, 3), draw(2)) for edge in convolutions(one)}
    expected = compute(one, weights, image)
    for chosen in permutations(convolutions(one), len(convolutions(other))):
        given_weights = {
            edge: weights[mine] for edge, mine in zip(convolutions(other), chosen, strict=True)
        }
        if torch.allclose(compute(other, given_weights, image), expected):
            return True
    return False


class TestNormalForm:
    def test_a_skip_before_or_behind_an_operation_changes_nothing(self):
        direct = (NONE, NONE, NONE, CONV1X1, NONE, NONE)
        behind = (CONV1X1, NONE, NONE, NONE, SKIP, NONE)
        before = (NONE, SKIP, NONE, NONE, NONE, CONV1X1)
        assert same_function(direct, behind)
        assert same_function(direct, before)
        assert not same_function(direct, (NONE, NONE, NONE, CONV3X3, NONE, NONE))

    def test_a_shared_convolution_is_not_two_convolutions(self):
        shared = (CONV1X1, SKIP, SKIP, NONE, SKIP, SKIP)
        separate = (CONV1X1, CONV1X1, SKIP, NONE, NONE, SKIP)
        once = (CONV1X1, NONE, NONE, NONE, SKIP, NONE)
        assert not same_function(shared, separate)
        assert not same_function(shared, once)

    def test_a_shared_pooling_is_two_poolings(self):
        shared = (POOL, NONE, SKIP, NONE, SKIP, SKIP)
        separate = (POOL, NONE, NONE, POOL, SKIP, NONE)
        assert same_function(shared, separate)

    def test_nothing_stays_nothing_through_pooling_but_not_through_a_convolution(self):
        nothing = (NONE,) * 6
        assert same_function(nothing, (NONE, NONE, NONE, NONE, POOL, SKIP))
        assert not same_function(nothing, (NONE, NONE, NONE, NONE, CONV1X1, NONE))

    def test_swapping_the_inner_nodes_is_the_same(self):
        assert same_function(
            (CONV1X1, CONV3X3, NONE, SKIP, POOL, SKIP), (CONV3X3, CONV1X1, NONE, SKIP, SKIP, POOL)
        )

    @settings(deadline=None)
    @given(cells)
    def test_dead_edges_do_not_count(self, cell):
        assert same_function(cell, prune(cell))

    def test_equal_forms_are_equal_functions(self, by_form):
        groups = [group for group in by_form.values() if len(group) > 1]
        for group in groups[::9]:
            one, other = prune(group[0]), prune(group[-1])
            assert agree_numerically(one, other), (one, other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ((CONV1X1, NONE, NONE, NONE, SKIP, NONE), (CONV1X1, NONE, NONE, SKIP, SKIP, NONE)),
            ((CONV1X1, SKIP, SKIP, NONE, SKIP, SKIP), (CONV1X1, CONV1X1, SKIP, NONE, NONE, SKIP)),
            (
                (CONV1X1, CONV3X3, NONE, NONE, POOL, SKIP),
                (CONV1X1, CONV3X3, NONE, NONE, SKIP, POOL),
            ),
        ],
    )
    def test_unequal_forms_are_unequal_functions_here(self, one, other):
        assert not same_function(one, other)
        assert not agree_numerically(one, other)


class TestFindCell:
    def test_finds_the_smallest_cell_of_every_function(self, by_form):
        for form, group in by_form.items():
            found = find_cell(*cell_terms(group[0]))
            assert found in group
            assert normal_form(found) == form
            assert operations(found) == min(map(operations, group))

    def test_prefers_the_lowest_nodes(self):
        chain = cell_terms((NONE, CONV1X1, NONE, NONE, NONE, CONV3X3))
        assert find_cell(*chain) == (CONV1X1, NONE, NONE, NONE, CONV3X3, NONE)

    def test_routes_a_second_operation_over_a_free_node(self):
        parallel = cell_terms((NONE, CONV3X3, NONE, SKIP, NONE, SKIP))
        assert find_cell(*parallel) == (CONV3X3, NONE, NONE, SKIP, SKIP, NONE)
