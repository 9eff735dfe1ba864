"""What tests of the search share: a benchmark without networks, and an executor without Docker.

The search's own logic (order, duplicates, budgets, what survives a kill) does not depend on what a
candidate is. Here it is a class that holds two numbers, so that thousands run in a second; the
real sandbox, LLM and benchmark have tests of their own.
"""

from __future__ import annotations

import ast
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

from orchestrator.llm.protocol import Completion, Request, StopReason
from orchestrator.progress import Committed, RunProgress
from plugins.contract import (
    Descriptor,
    Edit,
    Evaluation,
    Option,
    Progress,
    Prompt,
    Prompts,
    ReportError,
)
from sandbox.executor import SlotState
from sandbox.job import GuestCode, Job
from sandbox.outcome import Outcome, OutcomeKind


class Numbers:
    """A benchmark whose networks are classes with two numbers; the nearer to (1, 1) the fitter."""

    name: ClassVar[str] = "numbers"
    summary: ClassVar[str] = "two numbers"
    options: ClassVar[Sequence[Option]] = ()

    seed = "class Net:\n    x = 0.1\n    y = 0.1\n"
    prompts = Prompts(
        mutations=tuple(
            Prompt(text, Edit()) for text in ("Raise x", "Raise y", "Lower x", "Lower y", "Mix")
        ),
        crossover=Prompt("Combine", Edit(combine=True)),
        header="",
        opening="class Net:\n",
    )
    descriptors = (Descriptor("x", "x", 0.0, 1.0), Descriptor("y", "y", 0.0, 1.0))

    def prepare(self, progress: Progress) -> None:
        """Nothing to bring up."""

    def job(self, source: str) -> Job:
        return Job(source, GuestCode("none:none"))

    def evaluate(self, report: Mapping[str, Any]) -> Evaluation:
        if set(report) != {"x", "y"}:
            raise ReportError("expected x and y")
        x, y = report["x"], report["y"]
        return Evaluation(100 - 50 * (abs(1 - x) + abs(1 - y)), (x, y), identity=f"{x:.2f},{y:.2f}")

    def test_score(self, evaluation: Evaluation, report: Mapping[str, Any]) -> float | None:
        return evaluation.fitness - 1


class Scribbler:
    """An LLM that moves its parents' numbers by chance; now and then it writes nonsense."""

    name = "scribbler"
    is_language_model = False

    def __init__(self, shuffle: random.Random | None = None, pause: float = 0.0) -> None:
        self.asked: list[Request] = []
        self._shuffle = shuffle
        self._pause = pause

    def describe(self) -> dict[str, Any]:
        return {"runtime": "none"}

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.asked += requests
        order = list(range(len(requests)))
        if self._shuffle is not None:
            self._shuffle.shuffle(order)
        for index in order:
            time.sleep(self._pause)
            text = self._write(requests[index])
            yield Completion(index, text, StopReason.CLASS_END, 10, 5, 0.01)

    def _write(self, request: Request) -> str:
        rng = random.Random(request.seed)
        if rng.random() < 0.15:
            return "    x = = 1\n"
        numbers = [numbers_of(parent) for parent in request.parents]
        x, y = (
            min(max(rng.choice(numbers)[axis] + rng.uniform(-0.2, 0.25), 0.0), 1.0)
            for axis in (0, 1)
        )
        return f"    x = {x:.2f}\n    y = {y:.2f}\n"

    def close(self) -> None:
        """Nothing to free."""


def numbers_of(source: str) -> tuple[float, float]:
    """The two numbers of a class."""
    found = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return float(found["x"]), float(found["y"])


def judge_numbers(job: Job) -> Outcome:
    """What a sandbox would make of a class with two numbers."""
    try:
        x, y = numbers_of(job.source)
    except SyntaxError as error:
        return Outcome(OutcomeKind.SYNTAX_ERROR, str(error))
    return Outcome(OutcomeKind.OK, report={"x": x, "y": y})


class InProcess:
    """An executor that calls a function, in threads; with ``jitter`` jobs end in any order."""

    def __init__(
        self,
        judge: Callable[[Job], Outcome] = judge_numbers,
        slots: int = 2,
        jitter: random.Random | None = None,
    ) -> None:
        self.jobs: list[Job] = []
        self._judge = judge
        self._jitter = jitter
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(slots)

    @property
    def slots(self) -> list[SlotState]:
        return [SlotState(0, "idle", "", 0.0)]

    def submit(self, job: Job, tag: str = "") -> Future[Outcome]:
        self.jobs.append(job)
        return self._pool.submit(self._run, job)

    def _run(self, job: Job) -> Outcome:
        if self._jitter is not None:
            with self._lock:
                pause = self._jitter.random() * 0.01
            time.sleep(pause)
        return self._judge(job)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Recorder:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[Committed] = []
        self.progress: RunProgress | None = None
        self.summary: dict[str, Any] | None = None

    def start(self, progress: RunProgress) -> None:
        self.progress = progress

    def committed(self, candidate: Committed) -> None:
        self.seen.append(candidate)

    def refresh(self) -> None:
        """Nothing to draw."""

    def stop(self, summary: dict[str, Any]) -> None:
        self.summary = summary
