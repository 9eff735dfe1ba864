"""The search's state: a fold over committed candidates, in the order of their numbers.

Nothing here is random and nothing is stored: the same candidates always give the same archives,
curiosity and prompt fitness, so a run that was killed rebuilds its state by committing its stored
candidates again. The rules are those of the paper's sections 3 and 4.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.archives import Archive, normalise
from orchestrator.candidate import Candidate, Plan, Result
from orchestrator.settings import SearchSettings
from plugins.contract import Descriptor
from sandbox.outcome import OutcomeKind

CURIOSITY_ENTERED = 1.0
CURIOSITY_NOT_ENTERED = -0.5
CURIOSITY_UNTRAINABLE = -1.0


@dataclass(frozen=True)
class Individual:
    """A prompt individual: which mutation prompt, at which temperature (after feedback)."""

    prompt: int
    temperature: float


class SearchState:
    """Both archives and all that feedback changes.

    Attributes:
        networks: the network archive; its elites are candidates.
        prompts: the prompt archive; its elites are the candidates that made the individuals.
        individuals: every prompt individual by the candidate that made it.
        curiosity: curiosity score of each prompt individual, likewise.
        prompt_fitness: collective fitness of each mutation prompt; never decreases.
        previous_best: best fitness of the last generation that had any, in the fitness's unit.
        generation: the generation being committed.
        unique: candidates by outcome kind, duplicates left out.
        duplicates: candidates that repeat an earlier one.
        history: per generation, from 0: the best fitness so far (None while there is none).
    """

    def __init__(
        self,
        settings: SearchSettings,
        descriptors: Sequence[Descriptor],
        prompt_count: int,
        network_centroids: np.ndarray,
        prompt_centroids: np.ndarray,
    ) -> None:
        self._settings = settings
        self._descriptors = descriptors
        self.networks = Archive(network_centroids)
        self.prompts = Archive(prompt_centroids)
        self.individuals: dict[int, Individual] = {}
        self.curiosity: dict[int, float] = {}
        self.prompt_fitness = [0] * prompt_count
        self.previous_best: float | None = None
        self.best: tuple[int, float] | None = None
        self.generation = 0
        self.committed = 0
        self.unique: Counter[OutcomeKind] = Counter()
        self.duplicates = 0
        self.history: list[float | None] = [None]
        self._generation_best: float | None = None
        self._by_key: dict[str, int] = {}
        self._by_identity: dict[str, int] = {}

    @property
    def unique_evaluations(self) -> int:
        """Distinct networks that were given a fitness."""
        return self.unique[OutcomeKind.OK]

    @property
    def in_initial_phase(self) -> bool:
        """Whether neither archive holds enough elites yet for the operators to be used."""
        return max(len(self.networks), len(self.prompts)) < self._settings.initial_elites

    def begin_generation(self, generation: int) -> None:
        """Commits that follow belong to this generation."""
        self.generation = generation
        if self._generation_best is not None:
            self.previous_best = self._generation_best
        self._generation_best = None
        while len(self.history) <= generation:
            self.history.append(self.best[1] if self.best else None)

    def original(self, key: str, result: Result) -> int | None:
        """The committed candidate that one with this source key and result would repeat."""
        if key in self._by_key:
            return self._by_key[key]
        identity = result.evaluation.identity if result.evaluation else None
        return self._by_identity.get(identity) if identity is not None else None

    def commit(self, plan: Plan, key: str, result: Result) -> tuple[int | None, bool]:
        """Take the next candidate in; numbers must come in order.

        Returns:
            The candidate it duplicates (or None), and whether it entered the network archive.
        """
        if plan.number != self.committed:
            raise ValueError(f"expected candidate {self.committed} next, got {plan.number}")
        self.committed += 1
        if result.outcome.kind is OutcomeKind.SANDBOX_ERROR:
            # Ours, not the candidate's: nothing is charged, and the source may come again.
            self.unique[result.outcome.kind] += 1
            return None, False
        duplicate_of = self.original(key, result)
        if duplicate_of is None:
            self.unique[result.outcome.kind] += 1
            self._by_key[key] = plan.number
            if result.evaluation and result.evaluation.identity is not None:
                self._by_identity[result.evaluation.identity] = plan.number
        else:
            self.duplicates += 1
            self._by_key.setdefault(key, duplicate_of)
        fitness = result.evaluation.fitness if result.evaluation else None
        entered = False
        if result.evaluation is not None and duplicate_of is None:
            entered = self._offer(plan.number, result)
        if plan.operator.makes_prompt_individual:
            self._feed_back(plan, fitness, entered, duplicate_of is not None)
        if fitness is not None:
            self._note_best(plan.number, fitness)
        return duplicate_of, entered

    def restore(self, candidate: Candidate) -> None:
        """Commit a stored candidate again."""
        if candidate.plan.generation != self.generation:
            self.begin_generation(candidate.plan.generation)
        self.commit(candidate.plan, candidate.writing.key, candidate.result)

    def _offer(self, number: int, result: Result) -> bool:
        evaluation = result.evaluation
        assert evaluation is not None
        x, y = (
            normalise(value, descriptor.low, descriptor.high)
            for value, descriptor in zip(evaluation.descriptors, self._descriptors, strict=True)
        )
        return self.networks.add(number, evaluation.fitness, (x, y))

    def _feed_back(self, plan: Plan, fitness: float | None, entered: bool, duplicate: bool) -> None:
        assert plan.prompt is not None
        if fitness is None:
            change = CURIOSITY_UNTRAINABLE
        else:
            change = CURIOSITY_ENTERED if entered else CURIOSITY_NOT_ENTERED
        selected = plan.selected if plan.selected is not None else plan.number
        self.curiosity[selected] = self.curiosity.get(selected, 0.0) + change
        better = fitness is not None and (
            self.previous_best is None or fitness > self.previous_best
        )
        if better and not duplicate:
            self.prompt_fitness[plan.prompt] += 1
        at_least_equal = fitness is not None and (
            self.previous_best is None or fitness >= self.previous_best
        )
        step = self._settings.temperature_step
        temperature = self._settings.clamp(plan.temperature + (step if at_least_equal else -step))
        self.individuals[plan.number] = Individual(plan.prompt, temperature)
        self.curiosity.setdefault(plan.number, 0.0)
        last = max(len(self.prompt_fitness) - 1, 1)
        self.prompts.add(
            plan.number,
            float(self.prompt_fitness[plan.prompt]),
            (plan.prompt / last, normalise(temperature, 0.0, 1.0)),
        )

    def _note_best(self, number: int, fitness: float) -> None:
        if self._generation_best is None or fitness > self._generation_best:
            self._generation_best = fitness
        if self.best is None or fitness > self.best[1]:
            self.best = (number, fitness)
        self.history[-1] = self.best[1]
