"""What views draw: a snapshot of a running search, and the protocol of a view."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.archives import Archive
from plugins.contract import Descriptor
from sandbox.executor import SlotState
from sandbox.outcome import OutcomeKind


@dataclass(frozen=True)
class Committed:
    """One committed candidate, as a view tells of it.

    ``fitness`` is None where it was not evaluated; ``best`` says that no earlier one was fitter;
    ``title`` is what the plugin calls the network (a cell's architecture string), or empty.
    """

    number: int
    generation: int
    operator: str
    prompt: str
    temperature: float
    kind: OutcomeKind
    reason: str
    fitness: float | None
    title: str
    duplicate_of: int | None
    entered: bool
    best: bool


@dataclass
class RunProgress:
    """The state of a run, kept current by the search and read by the view at each refresh.

    All counts are over the whole run, resumes included, unless their name says otherwise.

    Attributes:
        run: the run's folder, as a person would type it.
        plugin: name of the plugin, with its options where they matter (``nasbench201 cifar10``).
        llm: the LLM's name.
        is_language_model: False for ``rules``, which a view has to say.
        descriptors: the axes of the network archive.
        prompts: texts of the mutation prompts, the prompt archive's first axis.
        generations, batch: the budget.
        max_evaluations, max_hours: further budgets, or None.
        generation: the current one, from 1.
        operator: ``initial``, ``mutation`` or ``crossover``.
        written, evaluated, committed: candidates of the current generation that the LLM has
            written, that have an outcome, that are committed. 0..batch.
        duplicates: candidates that repeat an earlier one, so far.
        outcomes: outcome kinds of the other candidates, so far.
        unique_evaluations: distinct networks with a fitness.
        best: the fittest so far.
        seed_fitness: of the seed network.
        history: best fitness so far, per generation, from 0 (the seed network).
        networks, prompt_archive: the archives themselves; read their ``elites()``,
            ``centroids`` (shape (cells, 2), in [0, 1]), ``coverage``, ``qd_score``.
        prompt_fitness: collective fitness of each prompt.
        tokens_in, tokens_out: the LLM's tokens.
        llm_seconds: wall-clock time in which the LLM was at work.
        slots: what each sandbox slot is doing.
        elapsed: wall-clock seconds, over all sessions of the run.
        remaining: estimated seconds to the end, or None while unknown.
        recent: the latest committed candidates, newest last.
        message: one line on what is going on, or empty (``stopping``, ``loading the model``).
    """

    run: str
    plugin: str
    llm: str
    is_language_model: bool
    descriptors: tuple[Descriptor, ...]
    prompts: tuple[str, ...]
    generations: int
    batch: int
    networks: Archive
    prompt_archive: Archive
    max_evaluations: int | None = None
    max_hours: float | None = None
    generation: int = 0
    operator: str = ""
    written: int = 0
    evaluated: int = 0
    committed: int = 0
    duplicates: int = 0
    outcomes: Counter[OutcomeKind] = field(default_factory=Counter)
    unique_evaluations: int = 0
    best: Committed | None = None
    seed_fitness: float | None = None
    history: list[float | None] = field(default_factory=list)
    prompt_fitness: list[int] = field(default_factory=list)
    tokens_in: int = 0
    tokens_out: int = 0
    llm_seconds: float = 0.0
    slots: list[SlotState] = field(default_factory=list)
    elapsed: float = 0.0
    remaining: float | None = None
    recent: list[Committed] = field(default_factory=list)
    message: str = ""

    @property
    def tokens_per_second(self) -> float | None:
        """The LLM's speed over the time in which it was at work; None for no language model."""
        if not self.tokens_out or self.llm_seconds <= 0:
            return None
        return self.tokens_out / self.llm_seconds


class View(Protocol):
    """Shows a running search. Every call is made from the search's own thread.

    A view never raises for what a run holds, and never shows a candidate's bytes as they are.
    """

    def start(self, progress: RunProgress) -> None:
        """The search begins; ``progress`` is the one object that is kept current."""
        ...

    def committed(self, candidate: Committed) -> None:
        """A candidate was committed; ``progress`` holds it already."""
        ...

    def refresh(self) -> None:
        """Something may have changed; called several times a second."""
        ...

    def stop(self, summary: dict[str, Any]) -> None:
        """The search ended, whatever the way; ``summary`` is what ``search`` prints at the end."""
        ...
