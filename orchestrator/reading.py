"""A stored run as plain JSON values: what ``runs``, ``show`` and ``export`` tell of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.candidate import Operator
from orchestrator.settings import SearchSettings
from orchestrator.state import SearchState
from orchestrator.store import RunStore, Stored, StoreError, is_running
from plugins.contract import Descriptor, Evaluation, PluginError

#: Gives the test accuracy of an evaluated network, in percent, or None.
TestScore = Callable[[Evaluation, Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class ReadRun:
    """A run, read whole.

    Attributes:
        store: open for reading.
        settings: with the budgets that resumes have given.
        descriptors: axes of the network archive.
        prompts: texts of the mutation prompts.
        state: both archives as the run left them.
        rows: every candidate, in the order of the numbers.
    """

    store: RunStore
    settings: SearchSettings
    descriptors: tuple[Descriptor, ...]
    prompts: tuple[str, ...]
    state: SearchState
    rows: tuple[Stored, ...]


def read_run(path: Path) -> ReadRun:
    """Read a run; a search may be writing it meanwhile.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    store = RunStore.open(path, write=False)
    config = store.config
    try:
        settings = SearchSettings.from_json(
            {**config["settings"], **store.meta().get("budgets", {})}
        )
        descriptors = tuple(Descriptor(**values) for values in config["descriptors"])
        prompts = tuple(str(text) for text in config["prompts"])
    except (ValueError, TypeError) as error:
        store.close()
        raise StoreError(
            f"expected a whole config.json in {path}, found {error!r} missing or wrong; restore it "
            "from a copy"
        ) from error
    state = SearchState(
        settings, descriptors, len(prompts), store.network_centroids, store.prompt_centroids
    )
    try:
        rows = tuple(store.candidates())
        with store.whole():
            for row in rows:
                if row.committed:
                    state.restore(row.candidate())
    except BaseException:
        store.close()
        raise
    return ReadRun(store, settings, descriptors, prompts, state, rows)


def test_score_of(config: dict[str, Any]) -> TestScore:
    """The plugin's test accuracy, or nothing where the plugin or its data is not here."""
    from plugins import registry

    def nothing(_evaluation: Evaluation, _report: Mapping[str, Any]) -> float | None:
        return None

    try:
        plugin = registry.load(config["plugin"]["name"], **config["plugin"]["options"])
        plugin.prepare(lambda what, done, total: None)
    except PluginError:
        return nothing
    return plugin.test_score


def run_row(path: Path) -> dict[str, Any]:
    """One line of the list of runs. A run that cannot be read has ``error`` and ``run`` alone."""
    try:
        run = read_run(path)
    except StoreError as error:
        return {"run": str(path), "error": str(error)}
    with run.store:
        return _facts(path, run)


def list_runs(root: Path) -> list[dict[str, Any]]:
    """All runs in a folder, the oldest first."""
    folders = sorted(p.parent for p in root.glob("*/config.json")) if root.is_dir() else []
    if (root / "config.json").is_file():
        folders = [root]
    rows = [run_row(folder) for folder in folders]
    return sorted(rows, key=lambda row: str(row.get("created", "")))


def run_summary(path: Path, run: ReadRun, test_score: TestScore) -> dict[str, Any]:
    """All of a run but its candidates.

    Test accuracy is given for elites alone; it selected nothing.
    """
    state = run.state
    rows = {row.plan.number: row for row in run.rows}
    elites = [
        {
            "cell": elite.cell,
            "candidate": elite.candidate,
            "fitness": elite.fitness,
            "point": list(elite.point),
            **_evaluated(rows[elite.candidate], run.descriptors, test_score),
        }
        for elite in state.networks.elites()
    ]
    individuals = [
        {
            "cell": elite.cell,
            "candidate": elite.candidate,
            "fitness": elite.fitness,
            "point": list(elite.point),
            "prompt": state.individuals[elite.candidate].prompt,
            "text": run.prompts[state.individuals[elite.candidate].prompt],
            "temperature": state.individuals[elite.candidate].temperature,
            "curiosity": state.curiosity[elite.candidate],
        }
        for elite in state.prompts.elites()
    ]
    facts = _facts(path, run)
    best = facts["best"]
    if best is not None:
        best |= _evaluated(rows[best["candidate"]], run.descriptors, test_score)
    config = run.store.config
    return {
        **facts,
        "settings": run.settings.to_json(),
        "sandbox": config.get("sandbox"),
        "version": config.get("version"),
        "history": state.history,
        "prompt_fitness": dict(zip(run.prompts, state.prompt_fitness, strict=True)),
        "network_archive": {
            "cells": len(state.networks.centroids),
            "coverage": state.networks.coverage,
            "qd_score": state.networks.qd_score,
            "descriptors": [
                {"name": d.name, "label": d.label, "low": d.low, "high": d.high, "unit": d.unit}
                for d in run.descriptors
            ],
            "elites": elites,
        },
        "prompt_archive": {
            "cells": len(state.prompts.centroids),
            "coverage": state.prompts.coverage,
            "elites": individuals,
        },
    }


def candidate_dict(run: ReadRun, row: Stored, test_score: TestScore) -> dict[str, Any]:
    """One candidate, from origin to evaluation.

    ``test`` is given where the candidate is an elite, and None elsewhere.
    """
    plan, writing, result = row.plan, row.writing, row.result
    outcome = result.outcome if result else None
    is_elite = any(e.candidate == plan.number for e in run.state.networks.elites())
    return {
        "candidate": plan.number,
        "generation": plan.generation,
        "operator": plan.operator.value,
        "parents": list(plan.parents),
        "prompt": plan.prompt,
        "prompt_text": None if plan.prompt is None else run.prompts[plan.prompt],
        "temperature": None if plan.operator is Operator.SEED else plan.temperature,
        "selected": plan.selected,
        "llm_seed": None if plan.operator is Operator.SEED else plan.llm_seed,
        "tokens_in": writing.tokens_in if writing else None,
        "tokens_out": writing.tokens_out if writing else None,
        "stop": writing.stop.value if writing and writing.stop else None,
        "llm_seconds": writing.seconds if writing else None,
        "committed": row.committed,
        "duplicate_of": row.duplicate_of,
        "entered": row.entered,
        "elite": is_elite,
        "kind": outcome.kind.value if outcome else None,
        "reason": outcome.reason if outcome else None,
        "report": dict(outcome.report) if outcome and outcome.report is not None else None,
        "stdout": outcome.stdout if outcome else None,
        "stderr": outcome.stderr if outcome else None,
        "seconds": dict(outcome.seconds) if outcome else None,
        "attempts": outcome.attempts if outcome else None,
        "fitness": result.evaluation.fitness if result and result.evaluation else None,
        **_evaluated(
            row, run.descriptors, test_score if is_elite else lambda evaluation, report: None
        ),
        "source": writing.source if writing else None,
    }


def _facts(path: Path, run: ReadRun) -> dict[str, Any]:
    state, config, meta = run.state, run.store.config, run.store.meta()
    finished = meta.get("finished") or ""
    llm = meta.get("llm") or {}
    written = [row.writing for row in run.rows if row.writing is not None]
    best: dict[str, Any] | None = None
    if state.best is not None:
        number, fitness = state.best
        result = run.rows[number].result
        evaluation = result.evaluation if result else None
        title = (evaluation.identity or "") if evaluation else ""
        best = {"candidate": number, "fitness": fitness, "title": title}
    return {
        "run": str(path),
        "plugin": config["plugin"]["name"],
        "options": config["plugin"]["options"],
        "llm": config["llm"]["spec"],
        "llm_details": llm,
        "is_language_model": config["llm"]["spec"] != "rules",
        "state": "running" if is_running(path) else ("finished" if finished else "stopped"),
        "finished": finished,
        "created": config.get("created", ""),
        "seed": run.settings.seed,
        "generation": state.generation,
        "generations": run.settings.generations,
        "batch": run.settings.batch,
        "candidates": state.committed,
        "unique_evaluations": state.unique_evaluations,
        "duplicates": state.duplicates,
        "outcomes": {kind.value: count for kind, count in sorted(state.unique.items())},
        "best": best,
        "seed_fitness": state.history[0] if state.committed else None,
        "coverage": state.networks.coverage,
        "tokens_in": sum(writing.tokens_in for writing in written),
        "tokens_out": sum(writing.tokens_out for writing in written),
        "llm_seconds": float(meta.get("llm_seconds", 0.0)),
        "elapsed": float(meta.get("elapsed", 0.0)),
    }


def _evaluated(
    row: Stored, descriptors: tuple[Descriptor, ...], test_score: TestScore
) -> dict[str, Any]:
    """What the plugin's verdict adds to a candidate's or an elite's dictionary."""
    evaluation = row.result.evaluation if row.result else None
    if row.result is None or evaluation is None:
        return {"title": "", "descriptors": None, "test": None, "details": {}}
    return {
        "title": evaluation.identity or "",
        "descriptors": {
            d.name: value for d, value in zip(descriptors, evaluation.descriptors, strict=True)
        },
        "test": test_score(evaluation, row.result.outcome.report or {}),
        "details": dict(evaluation.details),
    }
