"""The loop: what a run finds depends on its seed and its completions alone, and survives a stop."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.llm.protocol import LLMError
from orchestrator.search import SearchError
from orchestrator.store import RunStore
from sandbox.executor import SandboxUnavailable
from sandbox.job import Job
from sandbox.outcome import Outcome, OutcomeKind
from tests.runs import SETTINGS, everything, new_store, session
from tests.support import InProcess, Scribbler, judge_numbers


def test_a_run_commits_the_seed_and_every_generation(tmp_path: Path) -> None:
    summary = session(new_store(tmp_path / "run")).run()
    assert summary["finished"] == "generations"
    assert summary["candidates"] == 1 + 6 * 20
    assert summary["best"]["fitness"] > summary["seed_fitness"]
    kinds = summary["outcomes"]
    assert kinds["ok"] + kinds["syntax_error"] + summary["duplicates"] == 121
    assert summary["unique_evaluations"] == kinds["ok"]


def test_the_same_seed_gives_the_same_run_whatever_order_work_ends_in(tmp_path: Path) -> None:
    session(new_store(tmp_path / "a")).run()
    session(
        new_store(tmp_path / "b"),
        llm=Scribbler(random.Random(1)),
        executor=InProcess(slots=7, jitter=random.Random(2)),
    ).run()
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    other = replace(SETTINGS, seed=4)
    session(new_store(tmp_path / "c", other), other).run()
    assert everything(tmp_path / "a") != everything(tmp_path / "c")


class Interrupting(InProcess):
    """Ctrl-C arrives while a job is judged."""

    def __init__(self, after: int) -> None:
        super().__init__(slots=1)
        self._left = after

    def _run(self, job: Job) -> Outcome:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt
        return super()._run(job)


@pytest.mark.parametrize("after", [2, 3, 17, 40, 80])
def test_an_interrupted_run_resumes_to_the_undisturbed_result(tmp_path: Path, after: int) -> None:
    undisturbed = session(new_store(tmp_path / "a")).run()
    with pytest.raises(KeyboardInterrupt):
        session(new_store(tmp_path / "b"), executor=Interrupting(after)).run()
    resumed = session(RunStore.open(tmp_path / "b"))
    summary = resumed.run()
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert summary["best"] == undisturbed["best"]
    # Nothing that was written is asked for again.
    assert len(resumed.llm.asked) < 120


class Dying(Scribbler):
    """The model fails in the middle of a generation."""

    def complete(self, requests: Any) -> Any:
        for n, completion in enumerate(super().complete(requests)):
            if n == 7:
                raise LLMError("expected a model, found none")
            yield completion


class Gone(InProcess):
    """The engine goes away."""

    def _run(self, job: Job) -> Outcome:
        if len(self.jobs) > 30:
            raise SandboxUnavailable("expected an engine, found none")
        return super()._run(job)


@pytest.mark.parametrize(
    ("error", "broken"),
    [(LLMError, {"llm": Dying()}), (SandboxUnavailable, {"executor": Gone()})],
    ids=["llm", "engine"],
)
def test_a_run_that_loses_what_it_stands_on_resumes(
    tmp_path: Path, error: type[Exception], broken: dict[str, Any]
) -> None:
    session(new_store(tmp_path / "a")).run()
    with pytest.raises(error):
        session(new_store(tmp_path / "b"), **broken).run()
    session(RunStore.open(tmp_path / "b")).run()
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def failing_now_and_then(kind: OutcomeKind, every: int) -> Callable[[Job], Outcome]:
    count = iter(range(10**9))

    def judge(job: Job) -> Outcome:
        if "x = 0.1\n" not in job.source and next(count) % every == every - 1:
            return Outcome(kind, "injected")
        return judge_numbers(job)

    return judge


def test_a_sandbox_error_is_charged_to_nobody(tmp_path: Path) -> None:
    judge = failing_now_and_then(OutcomeKind.SANDBOX_ERROR, 4)
    run = session(new_store(tmp_path / "run"), executor=InProcess(judge, slots=1))
    run.run()
    state = run.search.state
    failed = [c.number for c in run.view.seen if c.kind is OutcomeKind.SANDBOX_ERROR]
    assert failed
    assert not set(failed) & set(state.individuals)
    assert not set(failed) & set(state.curiosity)
    crashed = session(
        new_store(tmp_path / "twin"),
        executor=InProcess(failing_now_and_then(OutcomeKind.CRASHED, 4), slots=1),
    )
    crashed.run()
    charged = [
        c.number
        for c in crashed.view.seen
        if c.kind is OutcomeKind.CRASHED and c.operator != "crossover"
    ]
    assert charged
    assert set(charged) <= set(crashed.search.state.individuals)


def test_a_sandbox_that_only_fails_stops_the_run(tmp_path: Path) -> None:
    judge = failing_now_and_then(OutcomeKind.SANDBOX_ERROR, 1)
    with pytest.raises(SearchError, match="doctor"):
        session(new_store(tmp_path / "run"), executor=InProcess(judge)).run()


def test_a_seed_network_that_fails_stops_the_run_at_once(tmp_path: Path) -> None:
    executor = InProcess(lambda job: Outcome(OutcomeKind.BUILD_ERROR, "no such layer"))
    with pytest.raises(SearchError, match="no such layer"):
        session(new_store(tmp_path / "run"), executor=executor).run()
    assert len(executor.jobs) == 1


def test_a_duplicate_is_never_judged_again_and_counts_apart(tmp_path: Path) -> None:
    run = session(new_store(tmp_path / "run"))
    summary = run.run()
    sources = [job.source for job in run.executor.jobs]
    assert summary["duplicates"] > 0
    assert len(sources) == len(set(sources))
    for candidate in run.view.seen:
        if candidate.duplicate_of is not None:
            assert candidate.duplicate_of < candidate.number
            assert not candidate.entered


def test_a_budget_of_evaluations_stops_in_the_middle_and_can_be_raised(tmp_path: Path) -> None:
    session(new_store(tmp_path / "whole")).run()
    small = replace(SETTINGS, max_evaluations=33)
    summary = session(new_store(tmp_path / "run", small), small).run()
    assert summary["finished"] == "max_evaluations"
    assert summary["unique_evaluations"] == 33
    session(RunStore.open(tmp_path / "run")).run()
    assert everything(tmp_path / "run") == everything(tmp_path / "whole")


def test_a_budget_of_hours_stops_a_slow_generation(tmp_path: Path) -> None:
    short = replace(SETTINGS, max_hours=0.6 / 3600)
    summary = session(new_store(tmp_path / "run", short), short, llm=Scribbler(pause=0.1)).run()
    assert summary["finished"] == "max_hours"
    assert 1 <= summary["candidates"] < 30


def test_a_forged_report_is_a_protocol_violation(tmp_path: Path) -> None:
    def forge(job: Job) -> Outcome:
        outcome = judge_numbers(job)
        if outcome.ok and "x = 0.1\n" not in job.source:
            return replace(outcome, report={"fitness": 100.0})
        return outcome

    run = session(new_store(tmp_path / "run"), executor=InProcess(forge))
    summary = run.run()
    assert summary["outcomes"]["ok"] == 1
    assert summary["outcomes"]["protocol_violation"] > 0
    assert summary["best"]["candidate"] == 0


class Refusing(Scribbler):
    """Fails before it yields anything, and is no generator."""

    def complete(self, requests: Any) -> Any:
        raise LLMError("expected a model, found none")


class Lazy(Scribbler):
    """Forgets one of its requests."""

    def complete(self, requests: Any) -> Any:
        return (done for done in super().complete(requests) if done.index != 5)


@pytest.mark.parametrize(
    ("llm", "message"), [(Refusing(), "found none"), (Lazy(), "1 without an answer")]
)
def test_an_llm_that_does_not_answer_stops_the_run_and_never_hangs_it(
    tmp_path: Path, llm: Scribbler, message: str
) -> None:
    session(new_store(tmp_path / "a")).run()
    with pytest.raises((LLMError, SearchError), match=message):
        session(new_store(tmp_path / "b"), llm=llm).run()
    session(RunStore.open(tmp_path / "b")).run()
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_one_failed_job_that_many_candidates_wait_for_is_one_failure(tmp_path: Path) -> None:
    class Parrot(Scribbler):
        def _write(self, request: Any) -> str:
            return "    x = 0.5\n    y = 0.5\n"

    few = replace(SETTINGS, generations=1)
    judge = failing_now_and_then(OutcomeKind.SANDBOX_ERROR, 1)

    def slow(job: Job) -> Outcome:
        time.sleep(0.0 if "x = 0.1\n" in job.source else 0.3)
        return judge(job)

    run = session(new_store(tmp_path / "run", few), few, llm=Parrot(), executor=InProcess(slow))
    summary = run.run()
    assert summary["outcomes"] == {"ok": 1, "sandbox_error": 20}
    assert len(run.executor.jobs) == 2


def test_what_a_run_remembers_does_not_grow_with_what_candidates_print(tmp_path: Path) -> None:
    noise = "x" * 200_000

    def loud(job: Job) -> Outcome:
        return replace(judge_numbers(job), stdout=noise + job.source)

    tracemalloc.start()
    run = session(new_store(tmp_path / "run"), executor=InProcess(loud))
    try:
        summary = run.run()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert summary["candidates"] == 121
    # 121 candidates printed 24 MB; a generation's worth may still be about.
    assert kept < 8e6
