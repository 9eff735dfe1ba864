"""The algorithm's numbers, with the paper's values as defaults (sections 3 and 4)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class SearchSettings:
    """Everything that decides what the search does, apart from plugin and LLM.

    Attributes:
        seed: seeds the run's one random generator, and the centroids.
        generations: generations at most.
        batch: candidates per generation.
        mutation_probability: chance that a generation mutates; else it crosses over.
        initial_elites: the initial phase ends when either archive holds this many elites.
        initial_temperature: temperature of every prompt in the initial phase.
        crossover_temperature: temperature of every crossover.
        temperature_jitter: a perturbed temperature moves by at most this, uniformly.
        temperature_step: feedback on the temperature of a prompt individual.
        temperature_low: no temperature goes below.
        temperature_high: no temperature goes above.
        crossover_elites: how many elites a crossover generation starts from.
        cells: cells of each archive.
        centroid_samples: samples that the centroids are clustered from.
        top_p: nucleus sampling.
        max_tokens: new tokens per candidate at most.
        max_evaluations: stop after this many unique evaluations; None for no such budget.
        max_hours: stop after this much wall-clock time, summed over resumes; None likewise.
    """

    seed: int = 0
    generations: int = 20
    batch: int = 100
    mutation_probability: float = 0.7
    initial_elites: int = 10
    initial_temperature: float = 0.6
    crossover_temperature: float = 0.7
    temperature_jitter: float = 0.1
    temperature_step: float = 0.05
    temperature_low: float = 0.1
    temperature_high: float = 1.0
    crossover_elites: int = 10
    cells: int = 100
    centroid_samples: int = 25_000
    top_p: float = 0.95
    max_tokens: int = 512
    max_evaluations: int | None = None
    max_hours: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values, as stored with the run."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SearchSettings:
        """Back from JSON; a setting that an older version did not know keeps its default.

        Raises:
            ValueError: a value is none of its setting's.
        """
        known = {field.name: str(field.type) for field in fields(cls)}
        given = {name: value for name, value in values.items() if name in known}
        for name, value in given.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            whole = number and ("float" in known[name] or isinstance(value, int))
            none = value is None and "None" in known[name]
            if not none and not (whole and math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value!r}")
        return cls(**given)

    def clamp(self, temperature: float) -> float:
        """A temperature within its bounds."""
        return min(max(temperature, self.temperature_low), self.temperature_high)
