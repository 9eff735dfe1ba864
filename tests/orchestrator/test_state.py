"""The table "The search": what a committed candidate changes in archives, curiosity, prompts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.archives import make_centroids
from orchestrator.candidate import Candidate, Operator, Plan, Result, Writing
from orchestrator.settings import SearchSettings
from orchestrator.state import SearchState
from plugins.contract import Descriptor, Evaluation
from sandbox.outcome import Outcome, OutcomeKind

SETTINGS = SearchSettings(cells=25, centroid_samples=1_000)
DESCRIPTORS = (
    Descriptor("ratio", "width-to-depth ratio", 0, 200),
    Descriptor("flops", "MACs", 200e6, 5e9),
)
CENTROIDS = make_centroids(25, 1_000, 0)
FAULTS = [kind for kind in OutcomeKind if kind not in (OutcomeKind.OK, OutcomeKind.SANDBOX_ERROR)]


def new_state(prompts: int = 5, settings: SearchSettings = SETTINGS) -> SearchState:
    return SearchState(settings, DESCRIPTORS, prompts, CENTROIDS, CENTROIDS)


def network(
    fitness: float, ratio: float = 10, flops: float = 1e9, identity: str | None = None
) -> Result:
    return Result(Outcome(OutcomeKind.OK, report={}), Evaluation(fitness, (ratio, flops), identity))


def failed(kind: OutcomeKind = OutcomeKind.BUILD_ERROR) -> Result:
    return Result(Outcome(kind, "why"))


class Run:
    """Commits one candidate after another, and keeps count."""

    def __init__(self, prompts: int = 5) -> None:
        self.state = new_state(prompts)
        self.plans: list[Plan] = []

    def seed(self, fitness: float = 50.0) -> None:
        self.commit(network(fitness, ratio=0, flops=0), Operator.SEED)

    def generation(self) -> None:
        self.state.begin_generation(self.state.generation + 1)

    def commit(
        self,
        result: Result,
        operator: Operator = Operator.INITIAL,
        *,
        prompt: int = 0,
        temperature: float = 0.6,
        selected: int | None = None,
        key: str | None = None,
    ) -> int:
        number = self.state.committed
        makes = operator.makes_prompt_individual
        plan = Plan(
            number,
            self.state.generation,
            operator,
            (0,),
            prompt if makes else None,
            temperature,
            (selected if selected is not None else number) if makes else None,
        )
        self.plans.append(plan)
        self.duplicate_of, self.entered = self.state.commit(plan, key or f"key {number}", result)
        return number


@pytest.fixture
def run() -> Run:
    run = Run()
    run.seed()
    run.generation()
    return run


# -- the initial phase ---------------------------------------------------------------------------


def test_the_initial_phase_lasts_until_either_archive_holds_10_elites() -> None:
    assert SearchSettings().initial_elites == 10
    networks = new_state()
    for number in range(9):
        networks.networks.add(number, 1.0, tuple(CENTROIDS[number]))
    assert networks.in_initial_phase
    networks.networks.add(9, 1.0, tuple(CENTROIDS[9]))
    assert len(networks.networks) == 10
    assert len(networks.prompts) == 0
    assert not networks.in_initial_phase

    prompts = new_state()
    for number in range(9):
        prompts.prompts.add(number, 1.0, tuple(CENTROIDS[number]))
    assert prompts.in_initial_phase
    prompts.prompts.add(9, 1.0, tuple(CENTROIDS[9]))
    assert not prompts.in_initial_phase


def test_nine_elites_in_each_are_not_ten() -> None:
    state = new_state()
    for number in range(9):
        state.networks.add(number, 1.0, tuple(CENTROIDS[number]))
        state.prompts.add(number, 1.0, tuple(CENTROIDS[number]))
    assert state.in_initial_phase


# -- curiosity -----------------------------------------------------------------------------------


def test_curiosity_of_the_selected_individual_rises_by_1_when_its_network_enters(run: Run) -> None:
    maker = run.commit(network(60))
    assert run.state.curiosity[maker] == 1.0
    made = run.commit(network(90), Operator.MUTATION, selected=maker)
    assert run.entered
    assert run.state.curiosity[maker] == 2.0
    assert run.state.curiosity[made] == 0.0


def test_curiosity_falls_by_a_half_when_the_network_does_not_enter(run: Run) -> None:
    maker = run.commit(network(60))
    run.commit(network(10), Operator.MUTATION, selected=maker)
    assert not run.entered
    assert run.state.curiosity[maker] == 0.5


@pytest.mark.parametrize("kind", FAULTS, ids=str)
def test_curiosity_falls_by_1_when_the_network_is_untrainable(run: Run, kind: OutcomeKind) -> None:
    maker = run.commit(network(60))
    run.commit(failed(kind), Operator.MUTATION, selected=maker)
    assert run.state.curiosity[maker] == 0.0


def test_a_duplicate_does_not_enter(run: Run) -> None:
    first = run.commit(network(60), key="same")
    repeat = run.commit(network(60), Operator.MUTATION, selected=first, key="same")
    assert run.duplicate_of == first
    assert not run.entered
    assert run.state.curiosity[first] == 0.5
    assert repeat in run.state.individuals


def test_a_crossover_changes_no_curiosity_and_adds_no_prompt_individual(run: Run) -> None:
    run.commit(network(60))
    before = (dict(run.state.curiosity), dict(run.state.individuals), len(run.state.prompts))
    fitness = list(run.state.prompt_fitness)
    for result in (network(99, ratio=150), failed(), network(1)):
        run.commit(result, Operator.CROSSOVER, temperature=0.7)
    assert before == (run.state.curiosity, run.state.individuals, len(run.state.prompts))
    assert fitness == run.state.prompt_fitness


# -- temperature ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fitness", "expected"),
    [(50.0, 0.65), (50.1, 0.65), (49.9, 0.55), (None, 0.55)],
    ids=["equal", "better", "worse", "untrainable"],
)
def test_the_temperature_rises_if_the_fitness_is_at_least_the_previous_generations_best(
    run: Run, fitness: float | None, expected: float
) -> None:
    number = run.commit(failed() if fitness is None else network(fitness), temperature=0.6)
    assert run.state.individuals[number].temperature == pytest.approx(expected)


@pytest.mark.parametrize(("start", "good", "expected"), [(1.0, True, 1.0), (0.1, False, 0.1)])
def test_feedback_never_leads_out_of_the_bounds(
    run: Run, start: float, good: bool, expected: float
) -> None:
    number = run.commit(network(99) if good else failed(), temperature=start)
    assert run.state.individuals[number].temperature == expected


def test_feedback_goes_to_the_individual_that_was_made_and_not_to_the_selected_one(
    run: Run,
) -> None:
    maker = run.commit(network(60), temperature=0.6)
    made = run.commit(network(1), Operator.MUTATION, selected=maker, temperature=0.6)
    assert run.state.individuals[maker].temperature == pytest.approx(0.65)
    assert run.state.individuals[made].temperature == pytest.approx(0.55)


def test_the_measure_is_the_previous_generation_not_the_best_so_far(run: Run) -> None:
    run.commit(network(80))
    run.generation()
    run.commit(network(60))
    run.generation()
    number = run.commit(network(70), prompt=3)
    assert run.state.previous_best == 60
    assert run.state.individuals[number].temperature == pytest.approx(0.65)
    assert run.state.prompt_fitness[3] == 1


def test_within_a_generation_the_measure_stands_still(run: Run) -> None:
    run.commit(network(90), prompt=1)
    run.commit(network(60), prompt=1)
    assert run.state.prompt_fitness[1] == 2


def test_a_generation_without_a_network_leaves_the_measure_as_it_was(run: Run) -> None:
    run.commit(network(80))
    run.generation()
    run.commit(failed())
    run.generation()
    run.commit(network(79))
    assert run.state.previous_best == 80


# -- prompt fitness ------------------------------------------------------------------------------


def test_prompt_fitness_counts_each_network_better_than_the_previous_generations_best(
    run: Run,
) -> None:
    run.commit(network(51), prompt=2)
    run.commit(network(50), prompt=2)
    run.commit(network(49), prompt=2)
    run.commit(failed(), prompt=2)
    run.commit(network(52), prompt=4)
    assert run.state.prompt_fitness == [0, 0, 1, 0, 1]


def test_prompt_fitness_is_collective_over_all_individuals_of_a_prompt(run: Run) -> None:
    first = run.commit(network(60), prompt=2, temperature=0.2)
    run.commit(network(61), Operator.MUTATION, prompt=2, temperature=0.9, selected=first)
    assert run.state.prompt_fitness[2] == 2
    fitness = [e.fitness for e in run.state.prompts.elites()]
    assert fitness == [1.0, 2.0] or fitness == [2.0, 1.0]


def test_prompt_fitness_never_decreases(run: Run) -> None:
    before = list(run.state.prompt_fitness)
    results = [network(70), failed(), network(10), failed(OutcomeKind.CRASHED), network(71)]
    for n in range(40):
        if n % 7 == 0:
            run.generation()
        run.commit(results[n % 5], prompt=n % 5)
        after = list(run.state.prompt_fitness)
        assert all(b >= a for a, b in zip(before, after, strict=True))
        before = after


def test_a_duplicate_earns_its_prompt_nothing(run: Run) -> None:
    run.commit(network(90), prompt=0, key="same")
    run.commit(network(90), prompt=1, key="same")
    assert run.state.prompt_fitness == [1, 0, 0, 0, 0]


# -- the archives' axes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "flops", "point"),
    [
        (0, 200e6, (0.0, 0.0)),
        (200, 5e9, (1.0, 1.0)),
        (100, 2.6e9, (0.5, 0.5)),
        (9_999, 1, (1.0, 0.0)),
        (-5, 1e12, (0.0, 1.0)),
    ],
)
def test_networks_lie_at_their_descriptors_normalised_and_clipped(
    run: Run, ratio: float, flops: float, point: tuple[float, float]
) -> None:
    number = run.commit(network(99, ratio, flops))
    (elite,) = [e for e in run.state.networks.elites() if e.candidate == number]
    assert elite.point == pytest.approx(point)


def test_prompts_lie_at_index_over_count_less_1_and_temperature() -> None:
    run = Run(prompts=9)
    run.seed()
    run.generation()
    places = {}
    for prompt in range(9):
        number = run.commit(network(60, ratio=20 * prompt), prompt=prompt, temperature=0.6)
        (elite,) = [e for e in run.state.prompts.elites() if e.candidate == number] or [None]
        places[prompt] = elite.point if elite else None
    found = {prompt: point for prompt, point in places.items() if point}
    assert len(found) > 3
    for prompt, point in found.items():
        assert point == pytest.approx((prompt / 8, 0.65))


def test_a_benchmark_with_a_single_prompt_works() -> None:
    run = Run(prompts=1)
    run.seed()
    run.commit(network(60))
    (elite,) = run.state.prompts.elites()
    assert elite.point == pytest.approx((0.0, 0.65))


# -- duplicates, and what is nobody's fault ------------------------------------------------------


def test_a_duplicate_is_the_same_source_or_the_same_network(run: Run) -> None:
    first = run.commit(network(60, identity="cell A"), key="a")
    run.commit(network(60, identity="cell A"), key="b")
    assert run.duplicate_of == first
    run.commit(network(60, identity="cell A"), key="b")
    assert run.duplicate_of == first
    run.commit(network(60, identity="cell B"), key="c")
    assert run.duplicate_of is None
    run.commit(failed(), key="d")
    assert run.duplicate_of is None
    run.commit(failed(), key="d")
    assert run.duplicate_of is not None
    assert run.state.duplicates == 3
    assert run.state.unique[OutcomeKind.OK] == run.state.unique_evaluations == 3
    assert run.state.unique[OutcomeKind.BUILD_ERROR] == 1


def test_networks_without_a_name_are_told_apart_by_their_source_alone(run: Run) -> None:
    run.commit(network(60), key="a")
    run.commit(network(60), key="b")
    assert run.duplicate_of is None


def test_a_sandbox_error_changes_nothing_but_its_count(run: Run) -> None:
    maker = run.commit(network(60))
    state = run.state
    before = (dict(state.curiosity), dict(state.individuals), list(state.prompt_fitness))
    elites = state.networks.elites(), state.prompts.elites()
    run.commit(failed(OutcomeKind.SANDBOX_ERROR), Operator.MUTATION, selected=maker, key="again")
    assert before == (state.curiosity, state.individuals, state.prompt_fitness)
    assert elites == (state.networks.elites(), state.prompts.elites())
    assert state.unique[OutcomeKind.SANDBOX_ERROR] == 1
    # The same source is no duplicate of a failure that was ours.
    run.commit(network(70), Operator.MUTATION, selected=maker, key="again")
    assert run.duplicate_of is None


# -- the fold ------------------------------------------------------------------------------------


def test_candidates_are_committed_in_the_order_of_their_numbers(run: Run) -> None:
    with pytest.raises(ValueError, match="expected candidate 1 next, got 2"):
        run.state.commit(replace(run.plans[0], number=2), "key", network(60))


def test_the_history_gives_the_best_so_far_per_generation(run: Run) -> None:
    run.commit(network(60))
    run.generation()
    run.commit(failed())
    run.generation()
    run.commit(network(55))
    assert run.state.history == [50, 60, 60, 60]
    assert run.state.best == (1, 60)


def test_committing_the_same_candidates_again_gives_the_same_state() -> None:
    run = Run()
    run.seed()
    stored = [Candidate(run.plans[0], Writing("", "key 0"), network(50.0, 0, 0))]
    for generation in range(4):
        run.generation()
        for i in range(10):
            result = failed() if i == 3 else network(40 + 7 * i + generation, 19 * i, i * 5e8)
            operator = Operator.CROSSOVER if generation == 2 else Operator.INITIAL
            number = run.commit(result, operator, prompt=i % 5)
            stored.append(Candidate(run.plans[-1], Writing("", f"key {number}"), result))
    again = new_state()
    for candidate in stored:
        again.restore(candidate)
    for name in ("curiosity", "individuals", "prompt_fitness", "best", "history", "unique"):
        assert getattr(again, name) == getattr(run.state, name), name
    assert again.previous_best == run.state.previous_best
    assert again.networks.elites() == run.state.networks.elites()
    assert again.prompts.elites() == run.state.prompts.elites()
