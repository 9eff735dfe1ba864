"""Runs of the benchmark of two numbers: made, run for a session, and read back whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.archives import make_centroids
from orchestrator.resuming import described
from orchestrator.search import Search
from orchestrator.settings import SearchSettings
from orchestrator.store import RunStore
from tests.support import InProcess, Numbers, Recorder, Scribbler

SETTINGS = SearchSettings(seed=3, generations=6, batch=20, cells=25, centroid_samples=500)


@dataclass
class Session:
    """One session of a run, and what came of it."""

    store: RunStore
    search: Search
    view: Recorder
    executor: InProcess
    llm: Scribbler

    def run(self) -> dict[str, Any]:
        try:
            return self.search.run()
        finally:
            self.executor.close()
            self.store.close()


def new_store(path: Path, settings: SearchSettings = SETTINGS) -> RunStore:
    config = {
        "plugin": {"name": "numbers", "options": {}},
        "llm": {"spec": "scribbler"},
        "settings": settings.to_json(),
        "sandbox": {},
        "created": "2026-01-01T00:00:00+00:00",
        **described(Numbers()),
    }
    centroids = [
        make_centroids(settings.cells, settings.centroid_samples, settings.seed + n) for n in (0, 1)
    ]
    return RunStore.create(path, config, *centroids)


def session(
    store: RunStore,
    settings: SearchSettings = SETTINGS,
    llm: Scribbler | None = None,
    executor: InProcess | None = None,
) -> Session:
    llm, executor, view = llm or Scribbler(), executor or InProcess(), Recorder()
    search = Search(store, settings, Numbers(), llm, executor, view, str(store.path))
    return Session(store, search, view, executor, llm)


def everything(path: Path) -> list[tuple[Any, ...]]:
    """All that a run stored, apart from timings."""
    with RunStore.open(path, write=False) as store:
        return [
            (
                row.plan,
                replace(row.writing, seconds=0.0) if row.writing else None,
                replace(row.result.outcome, seconds={}) if row.result else None,
                row.result.evaluation if row.result else None,
                row.committed,
                row.duplicate_of,
                row.entered,
            )
            for row in store.candidates()
        ]
