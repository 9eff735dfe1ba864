"""A candidate, from its plan to its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.llm.protocol import StopReason
from plugins.contract import Evaluation
from sandbox.outcome import Outcome


class Operator(StrEnum):
    """How a candidate came about."""

    SEED = "seed"
    INITIAL = "initial"
    MUTATION = "mutation"
    CROSSOVER = "crossover"

    @property
    def makes_prompt_individual(self) -> bool:
        """Whether a candidate of this operator adds a prompt individual."""
        return self in (Operator.INITIAL, Operator.MUTATION)


@dataclass(frozen=True)
class Plan:
    """A candidate's origin, fixed before anything is generated.

    Attributes:
        number: 0-based over the whole run; 0 is the seed network.
        generation: 0 holds the seed network alone; the search's own start at 1.
        operator: see :class:`Operator`.
        parents: numbers of the parents; (0,) in the initial phase.
        prompt: index of the mutation prompt; None for a crossover and the seed.
        temperature: the sampling temperature.
        selected: number of the prompt individual that was chosen (the candidate that made it);
            the candidate's own in the initial phase, where it makes its individual itself.
        llm_seed: seed of the completion.
    """

    number: int
    generation: int
    operator: Operator
    parents: tuple[int, ...] = ()
    prompt: int | None = None
    temperature: float = 0.0
    selected: int | None = None
    llm_seed: int = 0


@dataclass(frozen=True)
class Writing:
    """What the LLM did for a candidate: the source, tokens, why it stopped, seconds."""

    source: str
    key: str
    tokens_in: int = 0
    tokens_out: int = 0
    stop: StopReason | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """What the sandbox and the plugin made of it. ``evaluation`` only where the outcome is ok."""

    outcome: Outcome
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Candidate:
    """A committed candidate.

    Attributes:
        plan: its origin.
        writing: its source and what that cost.
        result: its own, or that of the candidate it repeats.
        duplicate_of: the earlier candidate with the same syntax tree or the same identity.
        entered: whether it entered the network archive.
    """

    plan: Plan
    writing: Writing
    result: Result
    duplicate_of: int | None = None
    entered: bool = False
