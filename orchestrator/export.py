"""Takes a run's networks home: the elites' sources as files, and an index of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.reading import candidate_dict, read_run, test_score_of
from sandbox.guest.printable import printable

#: Version of the index's layout.
INDEX_VERSION = 1


class ExportError(OrchestratorError):
    """The folder cannot be written. Says what was expected, found, and what to do."""


def export_run(path: Path, folder: Path, *, force: bool = False) -> int:
    """Write every elite of a run, the fittest first.

    Args:
        path: the run's folder.
        folder: where to write; made if it is missing.
        force: take a folder that holds files already.

    Returns:
        How many elites were written.

    Raises:
        StoreError: the run cannot be read.
        ExportError: the folder holds files, or cannot be written.
    """
    if folder.exists() and not force and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(
            f"expected an empty folder, found that {folder} holds something; choose another, or "
            "say --force"
        )
    run = read_run(path)
    with run.store:
        test_score = test_score_of(run.store.config)
        elites = sorted(run.state.networks.elites(), key=lambda e: (-e.fitness, e.candidate))
        entries = []
        sources = []
        for rank, elite in enumerate(elites, 1):
            facts = candidate_dict(run, run.rows[elite.candidate], test_score)
            entries.append(_entry(rank, elite.cell, facts))
            sources.append(facts["source"])
        index = {
            "format_version": INDEX_VERSION,
            "plugin": run.store.config["plugin"],
            "llm": run.store.config["llm"]["spec"],
            "seed": run.settings.seed,
            "elites": entries,
        }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry, source in zip(entries, sources, strict=True):
            (folder / entry["file"]).write_text(source, "utf-8")
        (folder / "index.json").write_text(json.dumps(index, indent=2) + "\n", "utf-8")
        (folder / "index.md").write_text(_markdown(index), "utf-8")
    except OSError as error:
        raise ExportError(
            f"expected to write to {folder}, found: {error}; free space or choose another folder"
        ) from error
    return len(entries)


def _entry(rank: int, cell: int, facts: dict[str, Any]) -> dict[str, Any]:
    kept = ("candidate", "generation", "operator", "parents", "prompt_text", "temperature")
    return {
        "file": f"{rank:03d}-candidate-{facts['candidate']}.py",
        "cell": cell,
        "fitness": facts["fitness"],
        "test": facts["test"],
        "title": facts["title"],
        "descriptors": facts["descriptors"],
        "details": facts["details"],
        **{name: facts[name] for name in kept},
    }


def _markdown(index: dict[str, Any]) -> str:
    """The index for a reader: a table, the fittest first."""
    names = list(index["elites"][0]["descriptors"]) if index["elites"] else []
    head = ["file", "fitness", "test", *names, "network"]
    lines = [
        f"# Elites of {index['plugin']['name']}, {index['llm']}, seed {index['seed']}",
        "",
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
    ]
    for elite in index["elites"]:
        test = "" if elite["test"] is None else f"{elite['test']:.4f}"
        values = [f"{elite['descriptors'][name]:.6g}" for name in names]
        title = printable(elite["title"]).replace("|", "\\|")
        cells = [elite["file"], f"{elite['fitness']:.4f}", test, *values, title]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
