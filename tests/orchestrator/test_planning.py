"""The table "The search": what a generation is planned from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from orchestrator.archives import make_centroids, neighbours
from orchestrator.candidate import Operator, Plan, Result
from orchestrator.planning import plan_generation
from orchestrator.settings import SearchSettings
from orchestrator.state import Individual, SearchState
from plugins.contract import Descriptor, Evaluation
from sandbox.outcome import Outcome, OutcomeKind

SETTINGS = SearchSettings()
CENTROIDS = make_centroids(100, 5_000, 0)
DESCRIPTORS = (Descriptor("x", "x", 0, 1), Descriptor("y", "y", 0, 1))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def started(prompts: int = 9) -> SearchState:
    """A state that holds the seed network alone."""
    state = SearchState(SETTINGS, DESCRIPTORS, prompts, CENTROIDS, CENTROIDS)
    seed = Result(Outcome(OutcomeKind.OK, report={}), Evaluation(50.0, (0.0, 0.0)))
    state.commit(Plan(0, 0, Operator.SEED), "seed", seed)
    return state


def under_way(networks: int = 30, individuals: int = 12) -> SearchState:
    """A state past the initial phase: elites all over, individuals of different curiosity."""
    state = started()
    for i in range(1, networks):
        state.networks.add(100 + i, 60.0 + i, tuple(CENTROIDS[i]))
    for i in range(individuals):
        number = 500 + i
        state.prompts.add(number, 1.0, tuple(CENTROIDS[i]))
        state.individuals[number] = Individual(i % 9, 0.5)
        state.curiosity[number] = float((i * 5) % individuals)
    return state


def plans_of(operator: Operator, state: SearchState, **changes: object) -> list[Plan]:
    probability = 1.0 if operator is Operator.MUTATION else 0.0
    settings = replace(SETTINGS, mutation_probability=probability, **changes)
    return plan_generation(state, settings, rng(1), 2)


def test_a_run_is_20_generations_of_100() -> None:
    assert (SETTINGS.generations, SETTINGS.batch) == (20, 100)
    assert len(plan_generation(started(), SETTINGS, rng(), 1)) == 100


def test_plans_are_numbered_on_and_each_has_a_seed_of_its_own() -> None:
    for state in (started(), under_way()):
        plans = plan_generation(state, SETTINGS, rng(), 3)
        assert [plan.number for plan in plans] == list(range(1, 101))
        assert {plan.generation for plan in plans} == {3}
        assert len({plan.llm_seed for plan in plans}) == 100
        assert all(0 <= plan.llm_seed < 2**31 for plan in plans)


def test_the_same_generator_gives_the_same_plans() -> None:
    for state in (started(), under_way()):
        assert plan_generation(state, SETTINGS, rng(4), 1) == plan_generation(
            state, SETTINGS, rng(4), 1
        )
        assert plan_generation(state, SETTINGS, rng(4), 1) != plan_generation(
            state, SETTINGS, rng(5), 1
        )


# -- the initial phase ---------------------------------------------------------------------------


def test_initially_the_seed_network_meets_random_prompts_at_temperature_0_6() -> None:
    plans = plan_generation(started(), replace(SETTINGS, batch=1800), rng(), 1)
    assert {plan.operator for plan in plans} == {Operator.INITIAL}
    assert {plan.parents for plan in plans} == {(0,)}
    assert {plan.temperature for plan in plans} == {0.6}
    assert all(plan.selected == plan.number for plan in plans)
    counts = Counter(plan.prompt for plan in plans)
    # Uniform over nine prompts: 200 each, give or take four standard deviations.
    assert sorted(counts) == list(range(9))
    assert all(abs(count - 200) < 4 * np.sqrt(1800 * 8 / 81) for count in counts.values())


# -- which operator ------------------------------------------------------------------------------


def test_one_operator_serves_a_whole_generation() -> None:
    for seed in range(20):
        plans = plan_generation(under_way(), SETTINGS, rng(seed), 2)
        assert len({plan.operator for plan in plans}) == 1


def test_seven_generations_of_ten_mutate_and_three_cross_over() -> None:
    assert SETTINGS.mutation_probability == 0.7
    state, small = under_way(), replace(SETTINGS, batch=1)
    counts = Counter(
        plan_generation(state, small, rng(seed), 2)[0].operator for seed in range(1_000)
    )
    assert counts[Operator.MUTATION] + counts[Operator.CROSSOVER] == 1_000
    assert abs(counts[Operator.MUTATION] - 700) < 4 * np.sqrt(1_000 * 0.7 * 0.3)


def test_a_lone_elite_is_not_crossed_with_itself() -> None:
    state = under_way(networks=1)
    assert len(state.networks) == 1
    assert plans_of(Operator.CROSSOVER, state)[0].operator is Operator.MUTATION


def test_without_a_prompt_individual_there_is_no_mutation() -> None:
    plans = plans_of(Operator.MUTATION, under_way(individuals=0))
    assert {plan.operator for plan in plans} == {Operator.INITIAL}


# -- mutation ------------------------------------------------------------------------------------


def test_half_of_a_mutations_batch_takes_the_most_curious_individuals() -> None:
    state = under_way(individuals=60)
    plans = plans_of(Operator.MUTATION, state)
    ranked = sorted(state.curiosity, key=lambda n: (-state.curiosity[n], n))
    assert [plan.selected for plan in plans[:50]] == ranked[:50]
    # The other half is drawn from all of them: also from those that curiosity left out.
    others = [plan.selected for plan in plans[50:]]
    assert set(others) <= set(ranked)
    assert set(others) & set(ranked[50:])


def test_where_there_are_few_individuals_the_most_curious_come_round_again() -> None:
    state = under_way(individuals=12)
    ranked = sorted(state.curiosity, key=lambda n: (-state.curiosity[n], n))
    plans = plans_of(Operator.MUTATION, state)
    assert [plan.selected for plan in plans[:50]] == (ranked * 5)[:50]


def test_only_elites_of_the_prompt_archive_are_selected() -> None:
    state = under_way(individuals=12)
    # An individual that lost its cell, however curious.
    state.individuals[999] = Individual(0, 0.5)
    state.curiosity[999] = 1e9
    assert 999 not in {plan.selected for plan in plans_of(Operator.MUTATION, state)}


def test_the_random_half_is_uniform_over_the_individuals() -> None:
    state = under_way(individuals=12)
    plans = plans_of(Operator.MUTATION, state, batch=4_800)
    counts = Counter(plan.selected for plan in plans[2_400:])
    assert len(counts) == 12
    assert all(abs(count - 200) < 4 * np.sqrt(2_400 * 11 / 144) for count in counts.values())


def test_a_mutations_parent_is_a_random_elite_of_the_network_archive() -> None:
    state = under_way(networks=30)
    plans = plans_of(Operator.MUTATION, state, batch=6_000)
    counts = Counter(plan.parents for plan in plans)
    assert set(counts) == {(elite.candidate,) for elite in state.networks.elites()}
    expected = 6_000 / len(counts)
    assert all(abs(count - expected) < 5 * np.sqrt(expected) for count in counts.values())


def test_a_mutation_carries_its_individuals_prompt() -> None:
    state = under_way()
    for plan in plans_of(Operator.MUTATION, state):
        assert plan.prompt == state.individuals[plan.selected or 0].prompt


def test_half_of_the_temperatures_move_by_at_most_a_tenth_and_half_stay() -> None:
    state = under_way()
    plans = plans_of(Operator.MUTATION, state, batch=2_000)
    moves = [plan.temperature - 0.5 for plan in plans]
    moved = [move for move in moves if move != 0]
    assert len(moved) == 1_000
    assert max(abs(move) for move in moved) <= 0.1
    # Uniform: as many up as down, as many far as near.
    assert abs(sum(move > 0 for move in moved) - 500) < 4 * np.sqrt(250)
    assert abs(sum(abs(move) > 0.05 for move in moved) - 500) < 4 * np.sqrt(250)
    # Of the curious half and of the random half alike.
    assert sum(move != 0 for move in moves[:1_000]) == 500


@pytest.mark.parametrize("temperature", [0.1, 0.15, 0.95, 1.0])
def test_temperatures_stay_within_0_1_and_1(temperature: float) -> None:
    state = under_way()
    for number, individual in state.individuals.items():
        state.individuals[number] = replace(individual, temperature=temperature)
    found = {plan.temperature for plan in plans_of(Operator.MUTATION, state, batch=500)}
    assert all(0.1 <= value <= 1.0 for value in found)
    edge = 0.1 if temperature < 0.5 else 1.0
    assert edge in found


# -- crossover -----------------------------------------------------------------------------------


def test_a_crossover_starts_from_10_random_elites_with_2_or_3_nearest_neighbours_each() -> None:
    assert SETTINGS.crossover_elites == 10
    state = under_way(networks=40)
    elites = state.networks.elites()
    index = {elite.candidate: i for i, elite in enumerate(elites)}
    sizes, firsts = Counter[int](), set()
    for seed in range(30):
        plans = plan_generation(
            state, replace(SETTINGS, mutation_probability=0.0, batch=400), rng(seed), 2
        )
        chosen = {plan.parents[0] for plan in plans}
        assert len(chosen) == 10
        firsts |= chosen
        for candidate in chosen:
            partners = {plan.parents[1] for plan in plans if plan.parents[0] == candidate}
            nearest = [e.candidate for e in neighbours(elites, index[candidate], 3)]
            assert partners in ({*nearest[:2]}, {*nearest})
            sizes[len(partners)] += 1
    assert firsts == set(index)
    assert sizes[2] + sizes[3] == 300
    assert abs(sizes[2] - 150) < 4 * np.sqrt(75)


def test_a_crossover_has_temperature_0_7_and_no_prompt_individual() -> None:
    for plan in plans_of(Operator.CROSSOVER, under_way()):
        assert plan.operator is Operator.CROSSOVER
        assert plan.temperature == 0.7
        assert plan.prompt is None
        assert plan.selected is None
        assert not plan.operator.makes_prompt_individual


def test_every_elite_chosen_gets_its_share_of_the_batch() -> None:
    plans = plans_of(Operator.CROSSOVER, under_way())
    assert set(Counter(plan.parents[0] for plan in plans).values()) == {10}


def test_with_few_elites_a_crossover_takes_all_there_are() -> None:
    state = under_way(networks=2)
    plans = plans_of(Operator.CROSSOVER, state)
    assert {frozenset(plan.parents) for plan in plans} == {
        frozenset(elite.candidate for elite in state.networks.elites())
    }
