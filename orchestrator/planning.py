"""Planning a generation: Algorithm 1 of the paper, with every random choice made in one place.

All of a generation's plans are drawn from the archives as they stand at its start, from the run's
one generator, before anything is generated. What happens later can therefore not change them, in
whatever order completions and outcomes arrive.
"""

from __future__ import annotations

import numpy as np

from orchestrator.archives import neighbours
from orchestrator.candidate import Operator, Plan
from orchestrator.settings import SearchSettings
from orchestrator.state import SearchState


def plan_generation(
    state: SearchState, settings: SearchSettings, rng: np.random.Generator, generation: int
) -> list[Plan]:
    """The plans of one generation, ``settings.batch`` of them."""
    if state.in_initial_phase:
        return _initial(state, settings, rng, generation)
    mutates = rng.random() < settings.mutation_probability
    # Without two elites there is nothing to cross, without a prompt individual no mutation.
    if len(state.networks) < 2:
        mutates = True
    if mutates and not len(state.prompts):
        return _initial(state, settings, rng, generation)
    plan = _mutation if mutates else _crossover
    return plan(state, settings, rng, generation)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _initial(
    state: SearchState, settings: SearchSettings, rng: np.random.Generator, generation: int
) -> list[Plan]:
    """The seed network under random prompts, at the initial temperature."""
    first = state.committed
    return [
        Plan(
            number=first + i,
            generation=generation,
            operator=Operator.INITIAL,
            parents=(0,),
            prompt=int(rng.integers(len(state.prompt_fitness))),
            temperature=settings.initial_temperature,
            selected=first + i,
            llm_seed=_seed(rng),
        )
        for i in range(settings.batch)
    ]


def _mutation(
    state: SearchState, settings: SearchSettings, rng: np.random.Generator, generation: int
) -> list[Plan]:
    """Half the batch under the most curious prompt individuals, half under random ones.

    Every second candidate, of either half, has its temperature perturbed.
    """
    individuals = [elite.candidate for elite in state.prompts.elites()]
    by_curiosity = sorted(individuals, key=lambda number: (-state.curiosity[number], number))
    networks = [elite.candidate for elite in state.networks.elites()] or [0]
    curious = (settings.batch + 1) // 2
    plans = []
    for i in range(settings.batch):
        if i < curious:
            # Fewer individuals than places: the most curious come round again.
            selected = by_curiosity[i % len(by_curiosity)]
        else:
            selected = individuals[int(rng.integers(len(individuals)))]
        individual = state.individuals[selected]
        temperature = individual.temperature
        if i % 2 == 0:
            temperature += rng.uniform(-settings.temperature_jitter, settings.temperature_jitter)
        plans.append(
            Plan(
                number=state.committed + i,
                generation=generation,
                operator=Operator.MUTATION,
                parents=(networks[int(rng.integers(len(networks)))],),
                prompt=individual.prompt,
                temperature=settings.clamp(float(temperature)),
                selected=selected,
                llm_seed=_seed(rng),
            )
        )
    return plans


def _crossover(
    state: SearchState, settings: SearchSettings, rng: np.random.Generator, generation: int
) -> list[Plan]:
    """Random elites, each with one of its two or three nearest neighbours in descriptor space."""
    elites = state.networks.elites()
    chosen = rng.choice(
        len(elites), size=min(settings.crossover_elites, len(elites)), replace=False
    )
    partners = {
        int(index): neighbours(elites, int(index), 2 + int(rng.integers(2))) for index in chosen
    }
    plans = []
    for i in range(settings.batch):
        index = int(chosen[i % len(chosen)])
        near = partners[index]
        partner = near[int(rng.integers(len(near)))]
        plans.append(
            Plan(
                number=state.committed + i,
                generation=generation,
                operator=Operator.CROSSOVER,
                parents=(elites[index].candidate, partner.candidate),
                temperature=settings.crossover_temperature,
                llm_seed=_seed(rng),
            )
        )
    return plans
