"""``llmatic-orch runs``, ``show`` and ``export``: look at runs, and take their networks home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType

from orchestrator.cli.options import RUNS, find_run


@click.command()
@click.argument("folder", default=str(RUNS))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def runs(folder: str, as_json: bool) -> None:
    """List the runs in FOLDER, the oldest first.

    \b
    Examples:
      llmatic-orch runs
      llmatic-orch runs /data/runs --json
    """
    from orchestrator.reading import list_runs
    from orchestrator.view.tables import runs_table

    rows = list_runs(Path(folder))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    whole = [row for row in rows if "error" not in row]
    if whole or not rows:
        Console().print(runs_table([_run_row(row) for row in whole]))
    for row in rows:
        if "error" in row:
            click.echo(f"{row['run']}: {row['error']}", err=True)


@click.command()
@click.argument("run")
@click.argument("candidate", type=int, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write the page as a picture."
)
def show(run: str, candidate: int | None, as_json: bool, svg: Path | None) -> None:
    """Show a run, or one CANDIDATE of it by its number.

    With --json a run's object holds every candidate too, without sources; a candidate's holds
    its source.

    \b
    Examples:
      llmatic-orch show runs/nasbench201-20260101-120000-ab12
      llmatic-orch show nasbench201-2026 17
    """
    from orchestrator.reading import candidate_dict, read_run, run_summary, test_score_of
    from orchestrator.view.tables import candidate_detail
    from orchestrator.view.tables import run_summary as summary_page

    path = find_run(run)
    read = read_run(path)
    with read.store:
        test_score = test_score_of(read.store.config)
        if candidate is not None:
            row = read.rows[candidate] if 0 <= candidate < len(read.rows) else None
            if row is None:
                raise click.BadParameter(
                    f"expected a candidate of {path}, 0 to {len(read.rows) - 1}, found {candidate}",
                    param_hint="CANDIDATE",
                )
            facts = candidate_dict(read, row, test_score)
            page = candidate_detail(
                {
                    **facts,
                    "number": facts["candidate"],
                    "prompt": facts["prompt_text"],
                    "descriptors": list((facts["descriptors"] or {}).values()),
                    "axes": read.descriptors,
                    "llm": read.store.config["llm"]["spec"],
                }
            )
        else:
            facts = run_summary(path, read, test_score)
            facts["all"] = [
                {k: v for k, v in candidate_dict(read, row, test_score).items() if k != "source"}
                for row in (read.rows if as_json else ())
            ]
            page = summary_page(
                _page(facts, read.descriptors, len(read.prompts)),
                networks=read.state.networks,
                prompt_archive=read.state.prompts,
            )
    if as_json:
        click.echo(json.dumps(facts))
        return
    Console().print(page)
    if svg is not None:
        _write_svg(page, svg, f"llmatic-orch show {run}")


@click.command()
@click.argument("run")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write into a folder that holds files already.")
def export(run: str, folder: Path, force: bool) -> None:
    """Write the sources of a run's elites to FOLDER, with an index.

    Each elite becomes one file; index.json says for each what it scored, index.md the same for
    a reader. Test accuracy is given where the benchmark has it; it selected nothing.

    \b
    Example:
      llmatic-orch export nasbench201-2026 elites/
    """
    from orchestrator.export import export_run

    written = export_run(find_run(run), folder, force=force)
    click.echo(f"{written} elites in {folder}, listed in {folder / 'index.md'}")


def _write_svg(page: RenderableType, path: Path, title: str) -> None:
    from orchestrator.errors import OrchestratorError
    from orchestrator.view.svg import export_svg

    try:
        export_svg(page, path, title=title)
    except OSError as error:
        raise OrchestratorError(
            f"expected to write {path}, found: {error}; free space or choose another file"
        ) from error


def _run_row(row: dict[str, Any]) -> dict[str, Any]:
    best = row["best"]
    return {
        **row,
        "plugin": _title(row),
        "best": best["fitness"] if best else None,
        "when": row["created"],
    }


def _title(facts: dict[str, Any]) -> str:
    from orchestrator.search import plugin_title

    return plugin_title({"plugin": {"name": facts["plugin"], "options": facts["options"]}})


def _page(facts: dict[str, Any], descriptors: tuple[Any, ...], prompts: int) -> dict[str, Any]:
    best = facts["best"]
    elites = sorted(facts["network_archive"]["elites"], key=lambda elite: -elite["fitness"])
    return {
        **facts,
        "plugin": _title(facts),
        "when": facts["created"],
        "best": {**best, "number": best["candidate"]} if best else None,
        "descriptors": descriptors,
        "prompt_count": prompts,
        "elites": [
            {
                **elite,
                "number": elite["candidate"],
                "descriptors": list(elite["descriptors"].values()),
            }
            for elite in elites
        ],
    }
