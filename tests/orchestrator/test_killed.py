"""A run that is killed (kill -9) at any instant goes on to the undisturbed result."""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.search import SearchError
from orchestrator.store import RunStore
from sandbox.job import Job
from sandbox.outcome import Outcome, OutcomeKind
from tests.orchestrator import killed_run
from tests.runs import SETTINGS, everything, new_store, session
from tests.support import InProcess, Recorder, Scribbler, judge_numbers


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    session(new_store(path)).run()
    return everything(path)


def stored(path: Path) -> int:
    """Steps stored so far, of 3 to a candidate."""
    if not path.exists():
        return 0
    return sum(1 + (row[1] is not None) + row[4] for row in everything(path))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_killed_at_random_moments_ends_as_if_undisturbed(
    tmp_path: Path, undisturbed: list[tuple[Any, ...]], seed: int
) -> None:
    # Its children start with everything imported, and are killed like any other process.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.orchestrator.killed_run"])
    rng, path, reached = random.Random(seed), tmp_path / "run", []
    for kill in range(6):
        process = context.Process(target=killed_run.main, args=(path,))
        process.start()
        # The first one anywhere, also before there is a run; the others under way.
        target = stored(path) + rng.randint(5, 50) if kill else 0
        while stored(path) < target and process.is_alive():
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.02 if kill else 0.1))
        process.kill()
        process.join()
        reached.append(stored(path))
    # The kills hit a run under way, not one that had not begun, or was over.
    assert len({steps for steps in reached if 0 < steps < 363}) >= 2, reached
    assert reached == sorted(reached)
    session(RunStore.open(path) if path.exists() else new_store(path)).run()
    assert everything(path) == undisturbed


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the session is written after it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, store: RunStore, method: str, call: int) -> None:
    """Let the store's ``call``-th call of a method, and all that comes after, never happen."""
    count = 0

    def dead(*args: Any, **kwargs: Any) -> Any:
        raise Killed

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count < call:
                return real(*args, **kwargs)
            for name in ("add_generation", "write", "record", "commit", "set_meta"):
                monkeypatch.setattr(store, name, dead)
            raise Killed

        return wrapped

    monkeypatch.setattr(store, method, counted(getattr(store, method)))


CALLS = {
    "add_generation": [1, 2, 3, 7],
    "write": [1, 2, 13, 60, 121],
    "record": [1, 2, 9, 40],
    "commit": [1, 2, 21, 22, 77, 121],
}


@pytest.mark.parametrize(
    ("method", "call"), [(name, call) for name, calls in CALLS.items() for call in calls]
)
def test_a_run_killed_just_before_any_kind_of_step_resumes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: list[tuple[Any, ...]],
    method: str,
    call: int,
) -> None:
    path = tmp_path / "run"
    store = new_store(path)
    kill_at(monkeypatch, store, method, call)
    with pytest.raises(Killed):
        session(store, llm=Scribbler(random.Random(3))).run()
    monkeypatch.undo()
    assert everything(path) != undisturbed
    resumed = session(RunStore.open(path))
    resumed.run()
    assert everything(path) == undisturbed
    # The seed network is never asked of the LLM, whenever the run was killed.
    assert all(request.parents for request in resumed.llm.asked)


def test_a_kill_between_the_result_of_a_job_and_its_commit_runs_no_job_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "run"
    store = new_store(path)
    kill_at(monkeypatch, store, "commit", 30)
    first = session(store, executor=InProcess(slots=1))
    with pytest.raises(Killed):
        first.run()
    monkeypatch.undo()
    with RunStore.open(path, write=False) as reader:
        judged = {row.writing.source for row in reader.candidates() if row.result and row.writing}
    resumed = session(RunStore.open(path))
    resumed.run()
    assert not judged & {job.source for job in resumed.executor.jobs}
    assert everything(path) == undisturbed


def test_duplicates_within_a_batch_are_one_job_before_and_after_a_kill(tmp_path: Path) -> None:
    class Parrot(Scribbler):
        def _write(self, request: Any) -> str:
            return "    x = 0.5\n    y = 0.5\n"

    settings = replace(SETTINGS, generations=1, batch=10)
    session(new_store(tmp_path / "a", settings), settings, llm=Parrot()).run()
    with pytest.MonkeyPatch.context() as patch:
        store = new_store(tmp_path / "b", settings)
        kill_at(patch, store, "commit", 6)
        with pytest.raises(Killed):
            session(store, settings, llm=Parrot(random.Random(0))).run()
    resumed = session(RunStore.open(tmp_path / "b"), settings, llm=Parrot())
    summary = resumed.run()
    assert resumed.executor.jobs == []
    assert summary["duplicates"] == 9
    rows = everything(tmp_path / "b")
    assert rows == everything(tmp_path / "a")
    assert [row[5] for row in rows] == [None, None] + [1] * 9


def test_a_sandbox_error_that_was_not_committed_is_judged_again_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "run"
    count = iter(range(10**6))

    def judge(job: Job) -> Outcome:
        if next(count) == 12:
            return Outcome(OutcomeKind.SANDBOX_ERROR, "the engine hiccuped")
        return judge_numbers(job)

    store = new_store(path)
    real = store.record

    def record(number: int, result: Any) -> None:
        real(number, result)
        if result.outcome.kind is OutcomeKind.SANDBOX_ERROR:
            kill_at(monkeypatch, store, "commit", 1)

    monkeypatch.setattr(store, "record", record)
    with pytest.raises(Killed):
        session(store, executor=InProcess(judge, slots=1)).run()
    monkeypatch.undo()
    with RunStore.open(path, write=False) as reader:
        kinds = [row.result.outcome.kind for row in reader.candidates() if row.result]
    assert OutcomeKind.SANDBOX_ERROR in kinds
    session(RunStore.open(path)).run()
    assert everything(path) == undisturbed


def test_a_seed_network_that_failed_is_judged_again(tmp_path: Path) -> None:
    path = tmp_path / "run"
    broken = InProcess(lambda job: Outcome(OutcomeKind.TIMED_OUT, "too slow a machine"))
    with pytest.raises(SearchError, match="too slow a machine"):
        session(new_store(path), executor=broken).run()
    assert session(RunStore.open(path)).run()["finished"] == "generations"


def test_a_finished_run_that_is_resumed_does_nothing_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run"
    small = replace(SETTINGS, max_evaluations=33)
    session(new_store(path, small), small).run()
    before = everything(path)
    for _ in range(2):
        again = session(RunStore.open(path), small)
        summary = again.run()
        assert summary["finished"] == "max_evaluations"
        assert summary["unique_evaluations"] == 33
        assert again.llm.asked == []
        assert again.executor.jobs == []
    assert everything(path) == before
    raised = replace(SETTINGS, max_evaluations=40)
    assert session(RunStore.open(path), raised).run()["unique_evaluations"] == 40


def test_more_generations_go_on_as_if_there_had_been_as_many_from_the_start(
    tmp_path: Path, undisturbed: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "run"
    few = replace(SETTINGS, generations=2)
    session(new_store(path, few), few).run()
    assert len(everything(path)) == 41
    session(RunStore.open(path)).run()
    assert everything(path) == undisturbed


def test_the_time_used_adds_up_over_sessions_and_is_not_lost_by_a_damaged_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run"
    few = replace(SETTINGS, generations=1)
    first = session(new_store(path, few), few, llm=Scribbler(pause=0.01)).run()["elapsed"]
    second = session(RunStore.open(path), SETTINGS).run()["elapsed"]
    assert second > first > 0.2
    with RunStore.open(path) as store:
        assert store.meta()["elapsed"] >= second
        connection = sqlite3.connect(path / "run.sqlite")
        connection.execute("DELETE FROM candidates WHERE number = 5")
        connection.commit()
        connection.close()
    view = Recorder()
    with pytest.raises(Exception, match="damaged"):
        session(RunStore.open(path)).run()
    assert view.seen == []
    with RunStore.open(path, write=False) as store:
        assert store.meta()["elapsed"] >= second
