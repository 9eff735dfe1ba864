"""The mapper on plain graphs: every cell comes back, and everything else says why not."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.nasbench201.cells import CONV1X1, CONV3X3, EDGES, NONE, POOL, SKIP
from plugins.nasbench201.equivalence import prune, same_function
from plugins.nasbench201.graph import Graph, NotRepresentable, Value
from plugins.nasbench201.mapping import map_graph

ALL_CELLS = list(product(range(5), repeat=6))
cells = st.tuples(*[st.integers(0, 4)] * 6)


class Writer:
    """Writes a graph down, value by value."""

    def __init__(self):
        self.values = [Value("input", name="the input")]

    def __call__(self, op, *inputs, **details):
        name = f"{op} {len(self.values)}"
        self.values.append(Value(op, inputs, **({"name": name} | details)))
        return len(self.values) - 1

    def conv(self, kernel, source, shape="rcb"):
        """A convolution edge; ``shape`` is the order of relu, conv and batch norm."""
        for letter in shape:
            op = {"r": "relu", "c": "conv", "b": "norm"}[letter]
            details = {} if op == "relu" else {"weight": len(self.values)}
            if op == "conv":
                details["kernel"] = kernel
            source = self(op, source, **details)
        return source

    def edge(self, op, source):
        """One edge of a cell."""
        if op in (CONV1X1, CONV3X3):
            return self.conv(1 if op == CONV1X1 else 3, source)
        return self({NONE: "zero", SKIP: "skip", POOL: "pool"}[op], source)

    def map(self, output):
        return map_graph(Graph(tuple(self.values), output))


def spelled(cell):
    """All six edges written out, none and skip_connect too, and mapped."""
    graph = Writer()
    nodes = [0]
    for target in (1, 2, 3):
        incoming = [
            graph.edge(op, nodes[a]) for op, (a, b) in zip(cell, EDGES, strict=True) if b == target
        ]
        nodes.append(incoming[0] if target == 1 else graph("sum", *incoming))
    return graph.map(nodes[3])


def condensed(cell):
    """No identity layers, no zeros where a sum has something else, and mapped."""
    graph = Writer()
    nodes = [0]
    for target in (1, 2, 3):
        incoming = [
            nodes[a] if op == SKIP else graph.edge(op, nodes[a])
            for op, (a, b) in zip(cell, EDGES, strict=True)
            if b == target and op != NONE
        ]
        if not incoming:
            incoming = [graph("zero", 0)]
        nodes.append(incoming[0] if len(incoming) == 1 else graph("sum", *incoming))
    return graph.map(nodes[3])


def refusal(graph, output):
    with pytest.raises(NotRepresentable) as caught:
        graph.map(output)
    assert caught.value.reason
    assert "\n" not in caught.value.reason
    return caught.value


class TestEveryCell:
    def test_written_out_in_full_comes_back_exactly_but_for_dead_branches(self):
        for cell in ALL_CELLS:
            assert spelled(cell).cell == prune(cell)

    def test_condensed_comes_back_as_the_same_function(self):
        for cell in ALL_CELLS:
            assert same_function(condensed(cell).cell, cell)

    @settings(deadline=None)
    @given(cells)
    def test_verbatim_operations_are_not_normalised(self, cell):
        assert spelled(cell).notes == ()

    @settings(deadline=None)
    @given(cells)
    def test_mapping_what_was_mapped_changes_nothing(self, cell):
        once = condensed(cell).cell
        assert spelled(once).cell == once


class TestChoice:
    def test_a_single_operation_lies_on_0_3(self):
        graph = Writer()
        assert graph.map(graph.conv(1, 0)).cell == (NONE, NONE, NONE, CONV1X1, NONE, NONE)

    def test_a_chain_takes_the_lowest_node(self):
        graph = Writer()
        mapped = graph.map(graph.conv(3, graph.conv(1, 0)))
        assert mapped.cell == (CONV1X1, NONE, NONE, NONE, CONV3X3, NONE)

    def test_an_explicit_identity_is_a_skip_connect(self):
        graph = Writer()
        assert graph.map(graph.conv(1, graph("skip", 0))).cell == (1, 0, 0, 0, CONV1X1, 0)

    def test_an_alias_is_none(self):
        graph = Writer()
        assert graph.map(graph.conv(1, graph("alias", 0))).cell == (0, 0, 0, CONV1X1, 0, 0)

    def test_the_input_itself_is_a_skip_connect(self):
        assert Writer().map(0).cell == (0, 0, 0, SKIP, 0, 0)

    def test_nothing_is_the_cell_of_nones(self):
        graph = Writer()
        assert graph.map(graph("zero", 0)).cell == (0,) * 6

    def test_parallel_operations_are_routed_over_a_free_node(self):
        graph = Writer()
        mapped = graph.map(graph("sum", graph.conv(3, 0), 0))
        assert mapped.cell == (CONV3X3, NONE, NONE, SKIP, SKIP, NONE)

    def test_a_sum_in_a_sum_is_a_node_where_that_makes_it_a_cell(self):
        graph = Writer()
        first = graph.conv(1, 0)
        second = graph("sum", 0, graph.conv(3, first))
        mapped = graph.map(graph("sum", graph("pool", 0), second))
        assert mapped.cell == (CONV1X1, SKIP, CONV3X3, POOL, NONE, SKIP)

    def test_a_sum_in_a_sum_is_no_node_where_it_need_not_be(self):
        graph = Writer()
        first = graph.conv(1, 0)
        second = graph("sum", 0, graph.conv(3, first))
        assert graph.map(graph("sum", second, graph("zero", 0))).cell == (2, 0, 0, 1, 3, 0)

    def test_the_input_twice_is_routed_too(self):
        graph = Writer()
        assert graph.map(graph("sum", 0, 0)).cell == (SKIP, NONE, NONE, SKIP, SKIP, NONE)

    def test_three_parallel_operations_take_both_nodes(self):
        graph = Writer()
        three = graph("sum", graph.conv(1, 0), graph.conv(3, 0), graph("pool", 0))
        mapped = graph.map(three)
        assert sorted(mapped.cell) == sorted((CONV1X1, CONV3X3, POOL, SKIP, SKIP, NONE))

    def test_branches_that_do_not_reach_the_output_are_ignored(self):
        graph = Writer()
        graph("other", 0, problem=NotRepresentable("max_pooling", "dead"))
        graph.conv(3, 0)
        live = graph.conv(1, 0)
        assert graph.map(live).cell == (NONE, NONE, NONE, CONV1X1, NONE, NONE)

    def test_what_is_multiplied_by_zero_is_ignored(self):
        graph = Writer()
        dead = graph("other", 0, problem=NotRepresentable("max_pooling", "dead"))
        total = graph("sum", graph("zero", dead), graph.conv(1, 0))
        assert graph.map(total).cell == (NONE, NONE, NONE, CONV1X1, NONE, NONE)


class TestDressing:
    @pytest.mark.parametrize("shape", ["c", "rc", "cr", "cb", "bc", "rbc", "brc", "crb", "cbr"])
    def test_absent_or_in_another_order_is_the_same_edge_and_is_said(self, shape):
        graph = Writer()
        mapped = graph.map(graph.conv(3, 0, shape))
        assert mapped.cell == (NONE, NONE, NONE, CONV3X3, NONE, NONE)
        assert len(mapped.notes) == 1
        assert "normalised" in mapped.notes[0]

    @pytest.mark.parametrize("shape", ["rcr", "bcb", "brcb", "rcbr", "crbr"])
    def test_two_of_a_kind_are_too_many(self, shape):
        graph = Writer()
        assert refusal(graph, graph.conv(3, 0, shape)).code == "dressing"

    @pytest.mark.parametrize(
        "shapes", [("rcb", "rcb"), ("cbr", "cbr"), ("rc", "brc"), ("c", "rcr")]
    )
    def test_what_stands_between_two_convolutions_belongs_to_either(self, shapes):
        # In ("c", "rcr") the first ReLU is the first convolution's, the last one the second's.
        graph = Writer()
        second = graph.conv(3, graph.conv(1, 0, shapes[0]), shapes[1])
        assert graph.map(second).cell == (CONV1X1, NONE, NONE, NONE, CONV3X3, NONE)

    def test_three_relus_around_two_convolutions_are_too_many(self):
        graph = Writer()
        second = graph.conv(3, graph.conv(1, 0, "rcb"), "rcr")
        assert refusal(graph, second).code == "dressing"

    def test_a_relu_of_a_relu_is_one(self):
        graph = Writer()
        assert graph.map(graph.conv(1, graph("relu", 0))).notes == ()

    def test_a_relu_shared_by_two_convolutions_is_fine(self):
        graph = Writer()
        relu = graph("relu", 0)
        total = graph("sum", graph.conv(1, relu, "cb"), graph.conv(3, relu, "cb"))
        mapped = graph.map(total)
        assert same_function(mapped.cell, (CONV3X3, NONE, NONE, CONV1X1, SKIP, NONE))
        assert mapped.notes == ()

    def test_a_relu_behind_a_sum_belongs_to_the_convolution_that_follows(self):
        graph = Writer()
        total = graph("sum", graph.conv(1, 0, "rcb"), graph("pool", 0))
        assert graph.map(graph.conv(3, graph("relu", total), "cb")).notes == ()

    def test_a_relu_behind_a_sum_that_none_follows_is_no_edge(self):
        graph = Writer()
        total = graph("sum", graph.conv(1, 0), 0)
        refused = refusal(graph, graph("relu", total))
        assert refused.code == "no_convolution"
        assert "ReLU" in refused.reason

    @pytest.mark.parametrize("op", ["relu", "norm"])
    def test_relu_or_norm_alone_is_no_edge(self, op):
        graph = Writer()
        assert refusal(graph, graph(op, 0)).code == "no_convolution"

    def test_a_result_used_with_and_without_relu_is_no_edge(self):
        graph = Writer()
        conv = graph.conv(1, 0, "c")
        refused = refusal(graph, graph("sum", conv, graph("relu", conv)))
        assert refused.code == "dressing"

    def test_a_result_used_raw_and_by_a_convolution_with_relu_is_fine(self):
        graph = Writer()
        conv = graph.conv(1, 0, "rcb")
        mapped = graph.map(graph("sum", conv, graph.conv(3, conv, "rcb")))
        assert same_function(mapped.cell, (CONV1X1, NONE, SKIP, NONE, CONV3X3, SKIP))
        assert mapped.notes == ()

    def test_relu_of_nothing_is_nothing(self):
        graph = Writer()
        assert graph.map(graph("relu", graph("zero", 0))).cell == (0,) * 6


class TestRefusals:
    def test_five_nodes(self):
        graph = Writer()
        value = 0
        for _ in range(3):
            value = graph.conv(3, value)
        assert graph.map(value).cell == (3, 0, 3, 0, 0, 3)
        refused = refusal(graph, graph.conv(3, value))
        assert refused.code == "too_many_nodes"
        assert "5 nodes" in refused.reason

    def test_a_hundred_nodes(self):
        graph = Writer()
        value = 0
        for _ in range(100):
            value = graph.conv(3, value)
        assert refusal(graph, value).code == "too_many_nodes"

    def test_no_free_node_for_parallel_operations(self):
        graph = Writer()
        one = graph("sum", graph.conv(1, 0), graph.conv(3, 0))
        assert graph.map(one).cell
        refused = refusal(graph, graph("sum", graph.conv(1, one), graph.conv(3, one)))
        assert refused.code == "no_free_node"

    def test_more_paths_than_a_cell_has(self):
        graph = Writer()
        assert graph.map(graph("sum", 0, 0, 0, 0)).cell == (SKIP,) * 6
        assert refusal(graph, graph("sum", 0, 0, 0, 0, 0)).code == "too_many_nodes"

    @pytest.mark.parametrize("op", ["conv", "norm"])
    def test_one_module_used_twice(self, op):
        graph = Writer()
        if op == "conv":
            values = [graph("conv", 0, kernel=1, weight="w") for _ in range(2)]
        else:
            values = [graph("norm", graph.conv(1, 0, "c"), weight="w") for _ in range(2)]
        assert graph.map(values[0]).cell == (0, 0, 0, CONV1X1, 0, 0)
        assert refusal(graph, graph("sum", *values)).code == "module_used_twice"

    def test_a_problem_that_reaches_the_output_and_the_certain_one_first(self):
        graph = Writer()
        vague = graph("other", 0, problem=NotRepresentable("layer", "vague", certain=False))
        certain = graph("other", 0, problem=NotRepresentable("stride", "certain"))
        assert refusal(graph, vague).code == "layer"
        assert refusal(graph, graph("sum", vague, certain)).code == "stride"


@st.composite
def random_graphs(draw):
    """Any graph of operations, most of them no cell."""
    graph = Writer()
    for _ in range(draw(st.integers(1, 9))):
        source = st.integers(0, len(graph.values) - 1)
        op = draw(st.sampled_from(["relu", "norm", "conv", "pool", "skip", "alias", "zero", "sum"]))
        inputs = [draw(source) for _ in range(draw(st.integers(1, 3)) if op == "sum" else 1)]
        details = {"kernel": draw(st.sampled_from([1, 3]))} if op == "conv" else {}
        if op in ("conv", "norm"):
            details["weight"] = len(graph.values)
        graph(op, *inputs, **details)
    return graph


@settings(deadline=None)
@given(random_graphs())
def test_any_graph_is_a_cell_or_is_refused_with_a_reason(graph):
    try:
        mapped = graph.map(len(graph.values) - 1)
    except NotRepresentable:
        refusal(graph, len(graph.values) - 1)
    else:
        assert prune(mapped.cell) == mapped.cell
        assert spelled(mapped.cell).cell == mapped.cell
