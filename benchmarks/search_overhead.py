"""The orchestrator's own time per candidate: everything but the LLM and the sandbox.

A real search of NAS-Bench-201 with ``--llm rules``, its real store, archives and plugin; only the
containers are left out: the guest's task runs in this process. What is counted is processor time,
of all threads, less that of the LLM and of the guest's task, so that other work on the machine
does not count; time spent waiting for the disk is therefore shown apart, as wall-clock time in
the store.

    python benchmarks/search_overhead.py --json
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.archives import make_centroids
from orchestrator.llm.protocol import Completion, Request
from orchestrator.llm.rules import Rules
from orchestrator.progress import Committed
from orchestrator.resuming import described
from orchestrator.search import Search
from orchestrator.settings import SearchSettings
from orchestrator.store import RunStore
from orchestrator.view.plain import PlainView
from plugins import registry
from sandbox.executor import SlotState
from sandbox.guest.task import PHASES, Refusal, TaskContext
from sandbox.job import Job
from sandbox.outcome import Outcome, OutcomeKind

LIMIT_MS = 2.0
WINDOW = 200


class TimedRules(Rules):
    """The control backend, and the processor time that it takes."""

    seconds = 0.0

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        answers = super().complete(requests)
        while True:
            before = time.thread_time()
            answer = next(answers, None)
            self.seconds += time.thread_time() - before
            if answer is None:
                return
            yield answer


class InProcess:
    """Runs the guest's task where it is asked to, and notes the processor time that it takes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.jobs = 0
        self._task: Callable[..., Any] | None = None

    @property
    def slots(self) -> list[SlotState]:
        return [SlotState(0, "idle", "", 0.0)]

    def submit(self, job: Job, tag: str = "") -> Future[Outcome]:
        before = time.thread_time()
        future: Future[Outcome] = Future()
        future.set_result(self._run(job))
        self.jobs += 1
        self.seconds += time.thread_time() - before
        return future

    def _run(self, job: Job) -> Outcome:
        if self._task is None:
            module, _, function = job.code.entry.partition(":")
            self._task = getattr(importlib.import_module(module), function)
        context = TaskContext(lambda told: None)
        try:
            report = self._task(job.source, dict(job.params), context)
        except Refusal as refusal:
            return Outcome(OutcomeKind(refusal.kind), refusal.reason)
        except Exception as error:
            kind = OutcomeKind(PHASES.get(context.current, "crashed"))
            return Outcome(kind, f"{type(error).__name__}: {error}")
        return Outcome(OutcomeKind.OK, report=json.loads(json.dumps(report)))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Mark:
    """How much of everything was used when a candidate was committed. Seconds."""

    cpu: float
    excluded: float
    store: float
    peak_mib: float

    def own_ms(self, since: Mark, candidates: int) -> float:
        own = (self.cpu - since.cpu) - (self.excluded - since.excluded)
        return 1000 * own / candidates


class Watch(PlainView):
    """The plain view, with a mark at every commit."""

    def __init__(self, mark: Callable[[], Mark]) -> None:
        super().__init__(io.StringIO())
        self._mark = mark
        self.marks: dict[int, Mark] = {}

    def committed(self, candidate: Committed) -> None:
        super().committed(candidate)
        self.marks[candidate.number] = self._mark()
        if candidate.number % 100 == 0:
            print(f"{candidate.number} candidates", file=sys.stderr)


def time_store(store: RunStore) -> Callable[[], float]:
    """Count the wall-clock seconds spent in the store's methods."""
    spent = [0.0]

    def timed(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            try:
                return real(*args, **kwargs)
            finally:
                spent[0] += time.perf_counter() - before

        return wrapped

    for name in ("add_generation", "write", "record", "commit", "set_meta", "candidate", "source"):
        setattr(store, name, timed(getattr(store, name)))
    return lambda: spent[0]


def measure(folder: Path, settings: SearchSettings) -> dict[str, Any]:
    """Run one search, and account for its time."""
    plugin = registry.load("nasbench201")
    plugin.prepare(lambda what, done, total: None)
    config = {
        "plugin": {"name": "nasbench201", "options": {}},
        "llm": {"spec": "rules"},
        "settings": settings.to_json(),
        "sandbox": {},
        **described(plugin),
    }
    centroids = [
        make_centroids(settings.cells, settings.centroid_samples, settings.seed + n) for n in (0, 1)
    ]
    llm, executor = TimedRules(), InProcess()
    with RunStore.create(folder / "run", config, *centroids) as store:
        in_store = time_store(store)
        view = Watch(
            lambda: Mark(
                time.process_time(),
                llm.seconds + executor.seconds,
                in_store(),
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            )
        )
        summary = Search(store, settings, plugin, llm, executor, view, "overhead").run()
    with RunStore.open(folder / "run") as store:
        again = Search(store, settings, plugin, llm, executor, PlainView(io.StringIO()), "again")
        began = time.perf_counter()
        again.run()
        resume = time.perf_counter() - began
    marks, last = view.marks, max(view.marks)
    window = min(WINDOW, last // 2)
    first = marks[window].own_ms(marks[0], window)
    end = marks[last].own_ms(marks[last - window], window)
    return {
        "benchmark": "search_overhead",
        "candidates": last,
        "unique_evaluations": summary["unique_evaluations"],
        "jobs": executor.jobs,
        "window": window,
        "ms_per_candidate": round(marks[last].own_ms(marks[0], last), 3),
        "ms_per_candidate_first": round(first, 3),
        "ms_per_candidate_last": round(end, 3),
        "limit_ms": LIMIT_MS,
        "share_of_limit": round(max(first, end) / LIMIT_MS, 3),
        "within_limit": max(first, end) <= LIMIT_MS,
        "store_wall_ms_per_candidate": round(1000 * (marks[last].store - marks[0].store) / last, 3),
        "llm_ms_per_candidate": round(1000 * llm.seconds / last, 3),
        "task_ms_per_job": round(1000 * executor.seconds / executor.jobs, 3),
        "peak_mib_after_first": round(marks[window].peak_mib, 1),
        "peak_mib_at_end": round(marks[last].peak_mib, 1),
        "resume_seconds": round(resume, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    settings = SearchSettings(
        seed=options.seed, generations=options.generations, batch=options.batch
    )
    with tempfile.TemporaryDirectory(prefix="llmatic-orch-overhead-") as folder:
        found = measure(Path(folder), settings)
    print(
        f"own time per candidate, over {found['candidates']}: {found['ms_per_candidate']} ms; "
        f"the first {found['window']}: {found['ms_per_candidate_first']} ms, "
        f"the last {found['window']}: {found['ms_per_candidate_last']} ms; "
        f"limit {LIMIT_MS} ms: {'kept' if found['within_limit'] else 'BROKEN'}, "
        f"{found['share_of_limit']:.0%} of it used"
    )
    print(
        f"of which in the store (wall clock): {found['store_wall_ms_per_candidate']} ms; "
        f"peak memory {found['peak_mib_after_first']} MiB after the first {found['window']}, "
        f"{found['peak_mib_at_end']} MiB at the end; reading the run back at a resume: "
        f"{found['resume_seconds']} s"
    )
    if options.json:
        print(json.dumps(found))
    sys.exit(0 if found["within_limit"] else 1)


if __name__ == "__main__":
    main()
