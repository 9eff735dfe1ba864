"""``llmatic-orch evaluate``: networks from files through the sandbox, without a search."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import progress_bar, sandbox_options
from orchestrator.cli.plugin_options import PluginCommand, split_options
from orchestrator.sandbox_setup import SandboxOptions, open_sandbox
from sandbox.guest.printable import one_line

if TYPE_CHECKING:
    from orchestrator.candidate import Result
    from plugins.contract import Plugin
    from sandbox.outcome import Outcome


#: What is printed of a file that came to no outcome, beside its name and the reason.
_NOTHING = dict.fromkeys(
    ("file", "kind", "reason", "fitness", "descriptors", "flops", "architecture", "test")
)


@dataclass(frozen=True)
class _Read:
    """A file as far as it could be read: its source, or what is wrong with it."""

    name: str
    source: str | None
    problem: str = ""


@click.command(cls=PluginCommand)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--plugin", required=True, metavar="NAME", help="The benchmark to score by.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line per file.")
@sandbox_options
@click.pass_context
def evaluate(
    ctx: click.Context,
    files: tuple[str, ...],
    plugin: str,
    as_json: bool,
    sandbox: SandboxOptions,
    **values: Any,
) -> None:
    """Evaluate network sources in the sandbox, in the order given; no search, no LLM.

    The exit status is 0 if every file came to some outcome, whatever its kind.

    \b
    Examples:
      llmatic-orch evaluate cell.py --plugin nasbench201
      llmatic-orch evaluate cells/*.py --plugin nasbench201 --dataset cifar100 --json
    """
    from plugins import registry

    plugin_options, _ = split_options(registry.plugin_class(plugin), values)
    benchmark = registry.load(plugin, **plugin_options)
    with progress_bar() as tell:
        benchmark.prepare(tell)
    read = [_read(name) for name in files]
    failed = False
    from images.progress import view

    with contextlib.ExitStack() as stack:
        with view() as tell_image:
            executor = stack.enter_context(open_sandbox(sandbox, None, tell_image))
        futures: list[Future[Outcome] | None] = [
            None
            if file.source is None
            else executor.submit(benchmark.job(file.source), Path(file.name).name)
            for file in read
        ]
        for file, future in zip(read, futures, strict=True):
            failed |= not _show(file, future, benchmark, as_json)
    ctx.exit(1 if failed else 0)


def _read(name: str) -> _Read:
    try:
        return _Read(name, Path(name).read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        problem = f"expected UTF-8 text, found byte {error.object[error.start]:#04x}"
        return _Read(name, None, f"{problem} at offset {error.start}; save it as UTF-8")
    except OSError as error:
        return _Read(
            name, None, f"expected a readable source file, found: {error.strerror}; check the path"
        )


def _show(file: _Read, future: Future[Outcome] | None, plugin: Plugin, as_json: bool) -> bool:
    """Print a file's result; returns whether it came to an outcome of its own."""
    from orchestrator.search import evaluate as judge
    from sandbox.outcome import OutcomeKind

    if future is None:
        if as_json:
            click.echo(json.dumps(_NOTHING | {"file": file.name, "reason": file.problem}))
        click.echo(f"{file.name}: {file.problem}", err=True)
        return False
    result = judge(plugin, future.result())
    if as_json:
        click.echo(json.dumps(as_dict(file.name, result, plugin)))
    else:
        click.echo(_line(file.name, result, plugin))
    return result.outcome.kind is not OutcomeKind.SANDBOX_ERROR


def as_dict(name: str, result: Result, plugin: Plugin) -> dict[str, Any]:
    """One file's result as JSON values; what the plugin tells of it stands beside the rest."""
    outcome, evaluation = result.outcome, result.evaluation
    details = dict(evaluation.details) if evaluation else {}
    return {
        "file": name,
        "kind": outcome.kind.value,
        "reason": outcome.reason,
        "fitness": evaluation.fitness if evaluation else None,
        "descriptors": {
            descriptor.name: value
            for descriptor, value in zip(
                plugin.descriptors, evaluation.descriptors if evaluation else (), strict=False
            )
        }
        if evaluation
        else None,
        "flops": details.pop("flops", None),
        "architecture": details.pop("architecture", None),
        "test": plugin.test_score(evaluation, outcome.report or {}) if evaluation else None,
        **details,
        "seconds": dict(outcome.seconds),
        "attempts": outcome.attempts,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
    }


def _line(name: str, result: Result, plugin: Plugin) -> str:
    outcome, evaluation = result.outcome, result.evaluation
    if evaluation is None:
        return f"{name}: {outcome.kind}: {one_line(outcome.reason)}"
    shown = ", ".join(
        f"{descriptor.label} {value:,.4g}"
        for descriptor, value in zip(plugin.descriptors, evaluation.descriptors, strict=True)
    )
    test = plugin.test_score(evaluation, outcome.report or {})
    parts = [f"fitness {evaluation.fitness:.4f}"]
    if test is not None:
        parts.append(f"test {test:.4f}")
    parts.append(shown)
    if evaluation.identity:
        parts.append(one_line(evaluation.identity))
    notes = [one_line(str(note)) for note in evaluation.details.get("normalised") or []]
    return f"{name}: ok: " + ", ".join(parts) + "".join(f"\n    note: {note}" for note in notes)
