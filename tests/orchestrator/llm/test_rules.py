"""The control backend: what its edits do, what they reach, and that they are always valid."""

from __future__ import annotations

import ast
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.llm import dag
from orchestrator.llm.dag import Dag
from orchestrator.llm.dag_source import DagClass, write
from orchestrator.llm.edits import MAX_VALUES, DagNetwork, read_network
from orchestrator.llm.protocol import Completion, Request, StopReason
from orchestrator.llm.rules import Rules
from orchestrator.prompting import assemble, build_request
from plugins.contract import Edit
from plugins.nasbench201 import cells
from plugins.nasbench201.cells import EDGES, Cell, all_cells, format_cell
from plugins.nasbench201.equivalence import same_function
from plugins.nasbench201.network import DATASETS
from plugins.nasbench201.prompts import CROSSOVER, HEADER, MUTATIONS, PROMPTS, SEED
from plugins.nasbench201.table import open_table
from plugins.nasbench201.tracing import run
from sandbox.guest.task import TaskContext

CONV3, CONV1, POOL = "conv3x3(C)", "conv1x1(C)", "pool3x3()"
OPERATIONS = {
    cells.SKIP: dag.SKIP,
    cells.CONV1X1: CONV1,
    cells.CONV3X3: CONV3,
    cells.POOL: POOL,
}
OPENING = "class Net(nn.Module):\n"


def complete(parents, edit, seed=0, temperature=0.6, opening=OPENING) -> Completion:
    request = Request(opening, opening, temperature, seed, parents=tuple(parents), edit=edit)
    (completion,) = Rules().complete([request])
    return completion


def edited(parents, edit, seed=0, temperature=0.6) -> str:
    return assemble(PROMPTS, complete(parents, edit, seed, temperature, PROMPTS.opening).text)


def graph(source: str) -> Dag:
    network = read_network(source)
    assert isinstance(network, DagNetwork), source
    return network.cls.dag


def layers(source: str) -> Counter[str]:
    return Counter(layer for _, _, layer in graph(source).terms)


def net(init: str, forward: str, signature: str = "self, C") -> str:
    """A class with these lines, under the benchmark's header."""
    lines = [f"    def __init__({signature}):", "        super().__init__()"]
    lines += [f"        {line}" for line in init.splitlines()]
    lines += ["    def forward(self, x):", *(f"        {line}" for line in forward.splitlines())]
    return f"{HEADER}\n\n{OPENING}" + "\n".join(lines) + "\n"


def written(graph: Dag) -> str:
    lines = write(DagClass(("C",), "C", (), graph), 4)
    return f"{HEADER}\n\n{OPENING}" + "\n".join(lines) + "\n"


def graph_of_cell(cell: Cell) -> Dag:
    terms = {e: OPERATIONS[op] for e, op in zip(EDGES, cell, strict=True) if op != cells.NONE}
    return dag.make(4, terms)


def cell_of_graph(graph: Dag) -> Cell:
    operation = {layer: op for op, layer in OPERATIONS.items()}
    last = graph.size - 1
    found = {(s, 3 if t == last else t): operation[layer] for s, t, layer in graph.terms}
    return tuple(found.get(edge, cells.NONE) for edge in EDGES)


def mapped(source: str) -> Cell:
    """What the benchmark's own task in the guest makes of a source."""
    return tuple(run(source, {}, TaskContext(lambda message: None))["cell"])


def walk(steps: int, seed: int = 0):
    """Sources of a random walk under all ten prompts, from the benchmark's seed."""
    rng = Random(seed)
    llm = Rules()
    source, before = SEED, SEED
    for step in range(steps):
        if rng.random() < 0.3:
            prompt, parents = CROSSOVER, (source, before)
        else:
            prompt, parents = rng.choice(MUTATIONS), (source,)
        request = build_request(
            PROMPTS, prompt, parents, temperature=rng.uniform(0.1, 1.0), seed=step
        )
        (completion,) = llm.complete([request])
        before, source = source, assemble(PROMPTS, completion.text)
        yield source


class TestProtocol:
    def test_it_says_what_it_is(self):
        llm = Rules()
        assert not llm.is_language_model
        assert not llm.is_language_model
        assert "no language model" in llm.describe()["description"]
        llm.close()
        llm.close()

    def test_every_request_is_answered_once_without_tokens(self):
        requests = [
            build_request(PROMPTS, prompt, (SEED,), temperature=0.5, seed=seed)
            for seed, prompt in enumerate(MUTATIONS)
        ]
        completions = list(Rules().complete(requests))
        assert sorted(c.index for c in completions) == list(range(len(MUTATIONS)))
        assert {(c.tokens_in, c.tokens_out, c.stop) for c in completions} == {
            (0, 0, StopReason.CLASS_END)
        }

    def test_the_same_request_gives_the_same_text_and_another_seed_another(self):
        edit = MUTATIONS[0].edit
        texts = [complete([SEED], edit, seed).text for seed in range(30)]
        assert texts == [complete([SEED], edit, seed).text for seed in range(30)]
        assert len(set(texts)) > 1

    @pytest.mark.parametrize(
        "opening",
        [
            OPENING,
            "class Net(nn.Module):",
            "class Net(nn.Module):\n    def __init__(self, C):\n",
            "class Net(nn.Module):\n    def __init__(self, C):\n        super().__init__()\n",
            'class Net(nn.Module):\n    """A cell."""\n\n',
        ],
    )
    def test_the_text_continues_the_opening(self, opening):
        text = complete([SEED], MUTATIONS[1].edit, opening=opening).text
        source = f"{HEADER}\n\n{opening}{text}"
        assert layers(source)[CONV1] == 2
        assert source.count("super().__init__()") == HEADER.count("super().__init__()") + 1


class TestEdits:
    @pytest.mark.parametrize("layer", [CONV3, CONV1, POOL])
    def test_a_layer_is_added(self, layer):
        results = set()
        for seed in range(100):
            source = edited([SEED], Edit(add=layer, max_values=4), seed)
            added = layers(source) - layers(SEED)
            assert +Counter({k: v for k, v in added.items() if k != dag.SKIP}) == {layer: 1}
            results.add(source)
        # Before, after and beside the one that is there; the seed's own layer may be the same.
        assert len(results) >= 2

    def test_a_skip_connection_is_added(self):
        source = edited([SEED], Edit(add="", max_values=4))
        assert layers(source)[CONV1] == 1
        assert layers(source)[dag.SKIP] >= 1

    def test_a_layer_is_deleted(self):
        parent = written(Dag(3, ((0, 1, CONV3), (0, 2, POOL), (1, 2, CONV1))))
        results = {edited([parent], Edit(delete=True, max_values=4), seed) for seed in range(50)}
        # Without the pooling; without either convolution, the branch is gone.
        assert {graph(source) for source in results} == {
            Dag(3, ((0, 1, CONV3), (1, 2, CONV1))),
            Dag(2, ((0, 1, POOL),)),
        }

    def test_the_last_layer_gives_way_to_a_skip_connection(self):
        source = edited([SEED], Edit(delete=True, max_values=4))
        assert graph(source) == Dag(2, ((0, 1, dag.SKIP),))
        assert graph(edited([source], Edit(delete=True, max_values=4))) == graph(source)

    def test_a_layer_is_replaced(self):
        source = edited([SEED], Edit(delete=True, add=POOL, max_values=4))
        assert graph(source) == Dag(2, ((0, 1, POOL),))

    def test_a_full_network_has_a_layer_replaced(self):
        full = written(graph_of_cell((cells.CONV1X1,) * 6))
        for seed in range(20):
            source = edited([full], Edit(add=POOL, max_values=4), seed)
            assert layers(source) == {CONV1: 5, POOL: 1}

    def test_a_crossover_takes_every_term_from_a_parent(self):
        one = graph_of_cell((3, 2, 4, 1, 3, 2))
        other = graph_of_cell((2, 4, 3, 3, 4, 4))
        children = {
            graph(edited([written(one), written(other)], CROSSOVER.edit, seed))
            for seed in range(60)
        }
        for child in children:
            assert set(child.terms) <= set(one.terms) | set(other.terms)
        assert len(children) > 20

    def test_a_crossover_mixes_three_parents_of_different_size(self):
        parents = [
            SEED,
            written(graph_of_cell((3, 0, 0, 0, 4, 0))),
            written(graph_of_cell((2,) * 6)),
        ]
        children = {graph(edited(parents, CROSSOVER.edit, seed)) for seed in range(100)}
        assert {child.size for child in children} == {2, 3, 4}
        assert not any(child.is_empty for child in children)

    def test_a_crossover_of_networks_with_nothing_in_common_is_a_network(self):
        chain = written(graph_of_cell((3, 0, 3, 0, 0, 3)))
        for seed in range(50):
            assert not graph(edited([chain, SEED], CROSSOVER.edit, seed)).is_empty

    def test_an_edit_that_asks_for_nothing_in_particular_changes_something(self):
        results = {edited([SEED], Edit(max_values=4), seed) for seed in range(30)}
        assert len(results) > 3

    def test_high_temperatures_edit_twice_now_and_then(self):
        def most(temperature: float) -> int:
            edit = Edit(add=CONV3, max_values=4)
            return max(layers(edited([SEED], edit, seed, temperature))[CONV3] for seed in range(60))

        assert most(0.1) == most(0.6) == 1
        assert most(1.0) == 2

    def test_without_a_limit_networks_grow_up_to_the_backends_own(self):
        source = net("self.a = nn.Linear(8, 8)", "return self.a(x)", "self")
        for seed in range(60):
            source = edited([source], Edit(add="nn.Linear( 8,8 )"), seed)
        assert 4 < graph(source).size <= MAX_VALUES
        assert set(layers(source)) <= {"nn.Linear(8, 8)", dag.SKIP}
        ast.parse(source)


class TestReading:
    TWO = "self.a = conv3x3(C)\nself.b = conv1x1(C)"

    @pytest.mark.parametrize(
        "forward",
        [
            "y = self.a(x)\nreturn x + self.b(y)",
            "return x + self.b(self.a(x))",
            "y = x\nx = self.a(x)\nx = self.b(x)\nx += y\nreturn x",
            "'''Docstring.'''\nz: torch.Tensor = torch.add(x, self.b(self.a(x)))\nreturn z",
            "return self.b(self.a(x)).add(x)",
            "return sum([self.b(self.a(x)), x])",
            "return sum((x, self.b(self.a(x))))",
            "unused = self.a(self.b(x))\nreturn self.b(self.a(x)) + x",
        ],
    )
    def test_sums_and_calls_in_any_spelling(self, forward):
        expected = Dag(3, ((0, 1, CONV3), (0, 2, dag.SKIP), (1, 2, CONV1)))
        assert graph(net(self.TWO, forward)) == expected

    def test_two_layers_between_the_same_values_get_a_value_of_their_own(self):
        found = graph(net(self.TWO, "return self.a(x) + self.b(x)"))
        assert found.size == 3
        assert layers(written(found)) == {CONV3: 1, CONV1: 1, dag.SKIP: 1}
        assert same_function(cell_of_graph(found), mapped(written(found)))

    def test_a_sequential_is_one_layer_and_an_identity_none(self):
        init = "self.a = nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 1))\nself.i = nn.Identity()"
        found = graph(net(init, "return self.i(x) + self.a(self.a(x))"))
        layer = "nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 1))"
        assert found == Dag(3, ((0, 1, layer), (0, 2, dag.SKIP), (1, 2, layer)))

    def test_what_init_computes_stays(self):
        source = net("width = C\nself.a = conv3x3(width)", "return self.a(x)", "self, C=16")
        after = complete([source], Edit(add=POOL, max_values=4)).text
        assert "def __init__(self, C=16):" in after
        assert "        width = C\n" in after

    def test_arguments_of_the_other_parent_are_renamed(self):
        other = net("self.a = conv3x3(wide)", "return self.a(x)", "self, wide")
        results = {edited([SEED, other], CROSSOVER.edit, seed) for seed in range(20)}
        assert {graph(source) for source in results} == {
            Dag(2, ((0, 1, CONV1),)),
            Dag(2, ((0, 1, CONV3),)),
        }

    def test_what_is_written_is_read_as_the_same_graph(self):
        for cell in list(all_cells())[::17]:
            before = graph_of_cell(cell)
            if not before.is_empty:
                assert graph(written(before)) == before


class TestForeignSources:
    LOOP = "self.layers = nn.ModuleList([conv3x3(C)])"

    @pytest.mark.parametrize(
        ("init", "forward"),
        [
            (LOOP, "for layer in self.layers:\n    x = layer(x)\nreturn x"),
            ("self.a = nn.ReLU()", "return F.relu(x)"),
            ("self.a = nn.ReLU()", "return self.a(x) * x"),
            ("self.a = nn.ReLU()", "return torch.cat([x, x], 1)"),
            ("self.a = nn.ReLU()", "if x.sum() > 0:\n    return x\nreturn self.a(x)"),
            ("self.a = nn.ReLU()", "return y"),
            ("self.a = nn.ReLU()", "x"),
        ],
    )
    def test_another_style_comes_back_unchanged(self, init, forward):
        source = net(init, forward)
        after = edited([source], MUTATIONS[0].edit)
        assert ast.dump(ast.parse(after)) == ast.dump(ast.parse(source))

    def test_a_network_over_the_limit_comes_back_unchanged(self):
        chain = "x = self.a(x)\n" * 5 + "return x"
        source = net("self.a = conv1x1(C)", chain)
        after = edited([source], MUTATIONS[0].edit)
        assert ast.dump(ast.parse(after)) == ast.dump(ast.parse(source))

    def test_a_name_of_the_class_that_it_uses_is_the_new_one(self):
        source = net(self.LOOP, "return F.relu(x)").replace("class Net(", "class Other(")
        source = source.replace(
            "super().__init__()\n        self.layers",
            "super(Other, self).__init__()\n        self.a",
        )
        assert "super(Net, self).__init__()" in edited([source], MUTATIONS[0].edit)

    def test_a_crossover_leaves_out_what_it_cannot_read(self):
        foreign = net(self.LOOP, "return F.relu(x)")
        assert graph(edited([foreign, SEED], CROSSOVER.edit)) == graph(SEED)

    @pytest.mark.parametrize(
        "parents",
        [
            (),
            ("",),
            ("class Net(:",),
            ("\0",),
            ("x = 1",),
            ("class Net:\n    def forward(self, x):\n        return " + "-" * 90_000 + "x",),
            ("class Net:\n    def forward(self, x):\n        return x" + "+x" * 900,),
            ("class Net:\n    def forward(self, x):\n" + "        x += x\n" * 900,),
        ],
        ids=lambda parents: f"{len(parents)}-{sum(map(len, parents))}",
    )
    @pytest.mark.parametrize("edit", [MUTATIONS[0].edit, CROSSOVER.edit], ids=["add", "combine"])
    def test_hostile_parents_still_give_a_class(self, parents, edit):
        ast.parse(OPENING + complete(parents, edit).text)

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.text(max_size=80), max_size=3), st.sampled_from(MUTATIONS))
    def test_any_text_as_a_parent_gives_a_class(self, parents, prompt):
        ast.parse(OPENING + complete(parents, prompt.edit).text)


@pytest.fixture(scope="module")
def reached() -> set[Dag]:
    """Every graph that some series of the prompts' edits leads to."""
    found = {graph(SEED)}
    todo = list(found)
    while todo:
        parent = todo.pop()
        children = [dag.without(parent, pair) for pair in parent.by_pair]
        for layer in OPERATIONS.values():
            children += dag.additions(parent, layer, 4)
        new = set(children) - found
        found |= new
        todo += new
    return found


class TestReach:
    """The control experiment is a search of the whole space."""

    def test_every_cell_without_idle_operations_is_reached(self, reached):
        assert reached == {graph_of_cell(cell) for cell in all_cells()}

    def test_a_graph_stands_for_cells_of_one_function(self):
        for cell in list(all_cells())[5::23]:
            if not _idle(cell):
                assert same_function(cell_of_graph(graph_of_cell(cell)), cell)

    @pytest.mark.parametrize("dataset", sorted(DATASETS))
    def test_the_best_cell_of_each_dataset_is_reached_as_it_is(self, reached, dataset):
        best, _ = open_table("auto", DATASETS[dataset]).optimum()
        assert graph_of_cell(best) in reached
        assert mapped(written(graph_of_cell(best))) == best

    def test_a_random_walk_visits_more_than_a_thousand_cells(self):
        assert len({graph(source) for source in walk(6000)}) > 1000


def _idle(cell: Cell) -> bool:
    """Whether an operation works on a node that nothing from the input leads to."""
    fed = {0}
    for (source, target), op in zip(EDGES, cell, strict=True):
        if op != cells.NONE and source in fed:
            fed.add(target)
    return any(
        op != cells.NONE and source not in fed for (source, _), op in zip(EDGES, cell, strict=True)
    )


def check_walk(cells_wanted: int, every: int) -> None:
    """What the benchmark maps the sources of a walk onto is what the edits meant."""
    checked: set[Dag] = set()
    for step, source in enumerate(walk(100_000, seed=1)):
        if step % every or graph(source) in checked:
            continue
        cell, meant = mapped(source), cell_of_graph(graph(source))
        assert same_function(cell, meant), (format_cell(cell), format_cell(meant), source)
        checked.add(graph(source))
        if len(checked) == cells_wanted:
            return
    pytest.fail(f"expected {cells_wanted} different cells on the walk, found {len(checked)}")


def test_the_benchmark_maps_a_walk_onto_the_cells_that_were_meant():
    check_walk(60, every=10)


@pytest.mark.slow
def test_the_benchmark_maps_every_step_of_a_long_walk():
    check_walk(500, every=1)
