"""The search loop: plan a generation, let the LLM write it, the sandbox judge it, commit it.

Generation and evaluation overlap: a candidate goes to the sandbox the moment it is written.
Results arrive in any order and are committed in the order of the candidates' numbers, so what a run
finds depends on its seed and its completions alone.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

import numpy as np

from orchestrator.candidate import Candidate, Operator, Plan, Result, Writing
from orchestrator.duplicates import source_key
from orchestrator.generation import REFRESH_SECONDS, Generation, Row, SearchError
from orchestrator.judging import evaluate
from orchestrator.llm.protocol import LLM, Completion, Request
from orchestrator.planning import plan_generation
from orchestrator.progress import Committed, RunProgress, View
from orchestrator.prompting import assemble, build_request
from orchestrator.settings import SearchSettings
from orchestrator.state import SearchState
from orchestrator.store import RunStore, Stored, storable
from plugins.contract import Plugin
from sandbox.executor import Executor
from sandbox.outcome import Outcome, OutcomeKind

__all__ = ["Search", "SearchError", "evaluate", "plugin_title"]

#: Seconds between two notes of the time used.
ELAPSED_SECONDS = 5.0
#: So many of our own failures in a row, and the run stops rather than burn through its plans.
MAX_SANDBOX_ERRORS = 10
RECENT = 50


class Search:
    """One session of a run, from wherever the store says it stands.

    Args:
        store: the run, open for writing.
        settings: the budgets and numbers to go by.
        plugin: prepared.
        llm: loaded.
        executor: the sandbox.
        view: told of everything.
        run_name: how a person would name the run's folder.
    """

    def __init__(
        self,
        store: RunStore,
        settings: SearchSettings,
        plugin: Plugin,
        llm: LLM,
        executor: Executor,
        view: View,
        run_name: str,
    ) -> None:
        self._store = store
        self._settings = settings
        self._plugin = plugin
        self._llm = llm
        self._executor = executor
        self._view = view
        # Asked for once: a plugin may make these anew at each call.
        self._prompts = plugin.prompts
        self._rng = np.random.Generator(np.random.PCG64(settings.seed))
        self.state = SearchState(
            settings,
            plugin.descriptors,
            len(self._prompts.mutations),
            store.network_centroids,
            store.prompt_centroids,
        )
        self.progress = RunProgress(
            run=run_name,
            plugin=plugin_title(store.config),
            llm=llm.name,
            is_language_model=llm.is_language_model,
            descriptors=plugin.descriptors,
            prompts=tuple(prompt.text for prompt in self._prompts.mutations),
            generations=settings.generations,
            batch=settings.batch,
            networks=self.state.networks,
            prompt_archive=self.state.prompts,
            max_evaluations=settings.max_evaluations,
            max_hours=settings.max_hours,
            slots=executor.slots,
        )
        self._judged: dict[str, int] = {}
        self._sources: dict[int, str] = {}
        self._elapsed_before = 0.0
        self._started = time.monotonic()
        self._committed_before = 0
        self._noted = 0.0
        self._refreshed = 0.0
        self._sandbox_errors = 0
        self._llm_busy_since: float | None = None
        self._llm_seconds = 0.0

    def run(self) -> dict[str, Any]:
        """Run to the end of the budget.

        Returns:
            A summary, JSON values.

        Raises:
            SearchError, LLMError, SandboxUnavailable, StoreError: the run stopped and can be
                resumed.
            KeyboardInterrupt: likewise.
        """
        self._view.start(self.progress)
        finished = ""
        try:
            unfinished = self._restore()
            # Not before: until then, the time of the earlier sessions is not known.
            try:
                finished = self._go(unfinished)
                self._store.set_meta(finished=finished)
                return self.summary(finished)
            finally:
                self._note_elapsed(force=True)
        finally:
            self._view.stop(self.summary(finished))

    # -- the loop --------------------------------------------------------------------------

    def _go(self, unfinished: list[Row]) -> str:
        if not self.state.committed and not unfinished:
            unfinished = [self._plan_seed()]
        while True:
            # First of all: a run whose budget is spent may lie in the middle of a generation.
            reason = self._budget_spent()
            if reason:
                return reason
            if unfinished:
                self._generation(unfinished)
                unfinished = []
                continue
            generation = self.state.generation + 1
            plans = plan_generation(self.state, self._settings, self._rng, generation)
            self._store.add_generation(generation, plans, self._rng.bit_generator.state)
            unfinished = [Row(plan) for plan in plans]

    def _budget_spent(self) -> str:
        """Why the run is over, or an empty string."""
        settings = self._settings
        if (
            settings.max_evaluations is not None
            and self.state.unique_evaluations >= settings.max_evaluations
        ):
            return "max_evaluations"
        if settings.max_hours is not None and self._elapsed() >= settings.max_hours * 3600:
            return "max_hours"
        whole = self.state.committed >= 1 + self.state.generation * settings.batch
        if whole and self.state.generation >= settings.generations:
            return "generations"
        return ""

    def _plan_seed(self) -> Row:
        plan = Plan(number=0, generation=0, operator=Operator.SEED)
        self._store.add_generation(0, [plan], self._rng.bit_generator.state)
        return Row(plan, self._write_seed())

    def _write_seed(self) -> Writing:
        source = self._plugin.seed
        writing = Writing(source, source_key(source))
        self._store.write(0, writing)
        return writing

    def _restore(self) -> list[Row]:
        """Rebuild the state from the store; returns what is planned and not committed yet."""
        unfinished: list[Row] = []
        with self._store.whole():
            meta = self._store.meta()
            self._elapsed_before = float(meta.get("elapsed", 0.0))
            self._llm_seconds = float(meta.get("llm_seconds", 0.0))
            for stored in self._store.candidates():
                row = self._restore_one(stored)
                if row is not None:
                    unfinished.append(row)
            last = self._store.last_generation()
            if last is not None:
                self._rng.bit_generator.state = last[1]
        self._committed_before = self.state.committed
        self.progress.generation = self.state.generation
        return unfinished

    def _restore_one(self, stored: Stored) -> Row | None:
        """Take a stored candidate in; returns what is still to be done for it."""
        plan, writing, result = stored.plan, stored.writing, stored.result
        if writing is not None:
            self.progress.tokens_in += writing.tokens_in
            self.progress.tokens_out += writing.tokens_out
        # A seed network that failed is judged again: it is the plugin or the limits that are
        # wrong, and they may have been put right since.
        retry = plan.operator is Operator.SEED and not stored.committed
        if result is not None and writing is not None and not (retry and not result.outcome.ok):
            self._keep(writing.key, plan.number, result)
        if stored.committed:
            candidate = stored.candidate()
            self.state.restore(candidate)
            self._count(candidate)
            return None
        if writing is None and plan.operator is Operator.SEED:
            # Killed between planning the seed network and writing it.
            writing = self._write_seed()
        return Row(plan, writing)

    def _generation(self, rows: list[Row]) -> None:
        """Write, judge and commit these candidates, or as many as the budget allows."""
        plans = rows[0].plan
        if plans.generation != self.state.generation:
            self.state.begin_generation(plans.generation)
        # Generation 0 is the seed network alone.
        done = self._settings.batch - len(rows) if plans.generation else 0
        # Parents come from the archives as they stand now: those of earlier generations are done.
        self._sources.clear()
        progress = self.progress
        progress.generation = plans.generation
        progress.operator = plans.operator.value
        progress.written = done + sum(row.writing is not None for row in rows)
        progress.evaluated = progress.committed = done
        Generation(self, rows).run()

    # -- what a generation needs of the search ------------------------------------------------

    def request(self, plan: Plan) -> Request:
        """What the LLM is asked for a candidate."""
        prompts = self._prompts
        prompt = prompts.crossover if plan.prompt is None else prompts.mutations[plan.prompt]
        return build_request(
            prompts,
            prompt,
            tuple(self._source(parent) for parent in plan.parents),
            temperature=plan.temperature,
            seed=plan.llm_seed,
            top_p=self._settings.top_p,
            max_tokens=self._settings.max_tokens,
        )

    def written(self, number: int, completion: Completion) -> Writing:
        """Store a completion."""
        # What is no valid Unicode can neither be stored nor sent: every step gets the same text.
        source = storable(assemble(self._prompts, completion.text))
        writing = Writing(
            source,
            source_key(source),
            completion.tokens_in,
            completion.tokens_out,
            completion.stop,
            completion.seconds,
        )
        self._store.write(number, writing)
        self.progress.written += 1
        self.progress.tokens_in += completion.tokens_in
        self.progress.tokens_out += completion.tokens_out
        return writing

    def submit(self, number: int, source: str) -> Future[Outcome]:
        """Give a source to the sandbox."""
        return self._executor.submit(self._plugin.job(source), f"candidate {number}")

    def known(self, key: str) -> Result | None:
        """The result of a source with this key, where there is one."""
        owner = self._judged.get(key)
        stored = None if owner is None else self._store.candidate(owner)
        return stored.result if stored is not None else None

    def judged(self, owner: int, key: str, outcome: Outcome) -> Result:
        """Evaluate an outcome, and store it.

        Raises:
            SearchError: the sandbox failed too often in a row. The candidates that are not
                committed yet will be judged again.
        """
        result = evaluate(self._plugin, outcome)
        self._store.record(owner, result)
        self._keep(key, owner, result)
        if result.outcome.kind is not OutcomeKind.SANDBOX_ERROR:
            self._sandbox_errors = 0
            return result
        # Jobs are counted, not candidates: many may wait for the same source's job.
        self._sandbox_errors += 1
        if self._sandbox_errors >= MAX_SANDBOX_ERRORS:
            raise SearchError(
                f"expected the sandbox to work, found {self._sandbox_errors} failures of its "
                f"own in a row, the last: {result.outcome.reason}; llmatic-orch doctor looks "
                f"for the cause, then: llmatic-orch resume {self.progress.run}"
            )
        return result

    def commit(self, row: Row, result: Result) -> bool:
        """Commit the next candidate; returns whether the budget is spent by it."""
        assert row.writing is not None
        plan = row.plan
        if plan.operator is Operator.SEED and not result.outcome.ok:
            raise SearchError(
                f"expected the seed network of plugin {self._plugin.name} to be evaluated, found "
                f"{result.outcome.kind}: {result.outcome.reason}; "
                f"llmatic-orch plugins check {self._plugin.name} says more"
            )
        duplicate_of, entered = self.state.commit(plan, row.writing.key, result)
        self._store.commit(plan.number, result, duplicate_of, entered)
        shown = self._count(Candidate(plan, row.writing, result, duplicate_of, entered))
        self._view.committed(shown)
        return bool(self._budget_spent())

    def tick(self) -> None:
        """Keep the view and the time used current; called often."""
        now = time.monotonic()
        if now - self._refreshed < REFRESH_SECONDS:
            return
        self._refreshed = now
        progress = self.progress
        progress.slots = self._executor.slots
        progress.elapsed = self._elapsed()
        progress.remaining = self._remaining()
        progress.llm_seconds = self._llm_time()
        self._view.refresh()
        self._note_elapsed()

    def llm_busy(self, busy: bool) -> None:
        """Note that the LLM starts or ends its work."""
        now = time.monotonic()
        if busy:
            self._llm_busy_since = now
        elif self._llm_busy_since is not None:
            self._llm_seconds += now - self._llm_busy_since
            self._llm_busy_since = None

    def out_of_time(self) -> bool:
        """Whether the budget of hours is spent, in the middle of a generation."""
        return self._budget_spent() == "max_hours"

    @property
    def llm(self) -> LLM:
        """The LLM."""
        return self._llm

    # -- accounts --------------------------------------------------------------------------

    def _keep(self, key: str, number: int, result: Result) -> None:
        """Remember where a source's result is stored, not the result: it may be long."""
        if result.outcome.kind is not OutcomeKind.SANDBOX_ERROR:
            self._judged.setdefault(key, number)

    def _source(self, number: int) -> str:
        source = self._sources.get(number)
        if source is None:
            source = self._sources[number] = self._store.source(number)
        return source

    def _count(self, candidate: Candidate) -> Committed:
        """Bring the progress up to date with a committed candidate."""
        progress, state = self.progress, self.state
        plan, result = candidate.plan, candidate.result
        evaluation = result.evaluation
        best = state.best is not None and state.best[0] == plan.number
        shown = Committed(
            number=plan.number,
            generation=plan.generation,
            operator=plan.operator.value,
            prompt="" if plan.prompt is None else progress.prompts[plan.prompt],
            temperature=plan.temperature,
            kind=result.outcome.kind,
            reason=result.outcome.reason,
            fitness=evaluation.fitness if evaluation else None,
            title=(evaluation.identity or "") if evaluation else "",
            duplicate_of=candidate.duplicate_of,
            entered=candidate.entered,
            best=best,
        )
        if best:
            progress.best = shown
        if plan.operator is Operator.SEED and evaluation is not None:
            progress.seed_fitness = evaluation.fitness
        progress.recent.append(shown)
        del progress.recent[:-RECENT]
        progress.committed += 1
        progress.duplicates = state.duplicates
        progress.outcomes = state.unique
        progress.unique_evaluations = state.unique_evaluations
        progress.history = state.history
        progress.prompt_fitness = state.prompt_fitness
        return shown

    def _elapsed(self) -> float:
        return self._elapsed_before + time.monotonic() - self._started

    def _llm_time(self) -> float:
        """Wall-clock seconds in which the LLM was at work, over all sessions."""
        since = self._llm_busy_since
        return self._llm_seconds + (0.0 if since is None else time.monotonic() - since)

    def _remaining(self) -> float | None:
        """Seconds to the end at this session's pace; the nearest of the budgets counts."""
        committed = self.state.committed - self._committed_before
        spent = time.monotonic() - self._started
        settings, estimates = self._settings, []
        if committed >= 5:
            left = 1 + settings.generations * settings.batch - self.state.committed
            estimates.append(spent / committed * left)
            if settings.max_evaluations is not None and self.state.unique_evaluations > 1:
                share = self.state.unique_evaluations / self.state.committed
                left_unique = settings.max_evaluations - self.state.unique_evaluations
                estimates.append(spent / committed * left_unique / share)
        if settings.max_hours is not None:
            estimates.append(settings.max_hours * 3600 - self._elapsed())
        return max(min(estimates), 0.0) if estimates else None

    def _note_elapsed(self, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._noted >= ELAPSED_SECONDS:
            self._noted = now
            self._store.set_meta(elapsed=self._elapsed(), llm_seconds=self._llm_time())

    def summary(self, finished: str) -> dict[str, Any]:
        """What a session ends with, JSON values.

        Args:
            finished: the budget that was spent, or an empty string where the run was stopped.
        """
        state, best = self.state, self.progress.best
        llm_seconds = self.progress.llm_seconds = self._llm_time()
        return {
            "run": self.progress.run,
            "plugin": self.progress.plugin,
            "llm": self.progress.llm,
            "is_language_model": self.progress.is_language_model,
            "finished": finished,
            "generations": state.generation,
            "candidates": state.committed,
            "duplicates": state.duplicates,
            "unique_evaluations": state.unique_evaluations,
            "outcomes": {kind.value: count for kind, count in sorted(state.unique.items())},
            "best": None
            if best is None
            else {"candidate": best.number, "fitness": best.fitness, "title": best.title},
            "seed_fitness": self.progress.seed_fitness,
            "network_archive": {
                "elites": len(state.networks),
                "coverage": state.networks.coverage,
                "qd_score": state.networks.qd_score,
            },
            "prompt_archive": {"elites": len(state.prompts), "coverage": state.prompts.coverage},
            "tokens_in": self.progress.tokens_in,
            "tokens_out": self.progress.tokens_out,
            "tokens_per_second": self.progress.tokens_per_second,
            "llm_seconds": llm_seconds,
            "elapsed": self._elapsed(),
        }


def plugin_title(config: dict[str, Any]) -> str:
    """A plugin's name with the options that a person set or would want to see."""
    plugin = config.get("plugin", {})
    options = plugin.get("options", {})
    shown = [str(options[name]) for name in ("dataset",) if options.get(name) is not None]
    return " ".join([str(plugin.get("name", "")), *shown])
