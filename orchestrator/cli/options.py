"""Options and helpers that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from orchestrator.sandbox_setup import SandboxOptions, default_slots
from plugins.contract import Progress as Tell
from sandbox.limits import Limits

#: Where runs go unless a person says otherwise.
RUNS = Path("runs")

Command = Callable[..., Any]


def sandbox_options(command: Command) -> Command:
    """Add the sandbox's options; the command gets them as one ``sandbox: SandboxOptions``."""
    limits = Limits()

    @functools.wraps(command)
    def wrapped(
        memory: int,
        cpus: float,
        pids: int,
        timeout: float,
        slots: int | None,
        runtime: str | None,
        device: str,
        image: str | None,
        **others: Any,
    ) -> Any:
        options = SandboxOptions(
            limits=Limits(memory_mib=memory, cpus=cpus, pids=pids, wall_seconds=timeout),
            slots=slots or default_slots(),
            runtime=runtime,
            device=device,
            image=image,
        )
        return command(sandbox=options, **others)

    positive = click.IntRange(min=1)
    for option in (
        click.option("--image", metavar="IMAGE", help="Guest image to use as it is."),
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda"]),
            default="cpu",
            show_default=True,
            help="What candidates run on; cuda is refused until GPUs can be leased.",
        ),
        click.option(
            "--runtime",
            metavar="NAME",
            help="Container runtime of the engine (runsc for gVisor).  [default: the engine's]",
        ),
        click.option(
            "--slots", type=positive, help="Sandboxes side by side.  [default: one per core]"
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=limits.wall_seconds,
            show_default=True,
            help="Seconds a candidate may take.",
        ),
        click.option(
            "--pids",
            type=positive,
            default=limits.pids,
            show_default=True,
            help="Processes and threads per sandbox.",
        ),
        click.option(
            "--cpus",
            type=click.FloatRange(min=0, min_open=True),
            default=limits.cpus,
            show_default=True,
            help="Cores per sandbox.",
        ),
        click.option(
            "--memory",
            type=positive,
            default=limits.memory_mib,
            show_default=True,
            help="MiB of memory per sandbox; there is no swap.",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped


@contextmanager
def progress_bar() -> Iterator[Tell]:
    """Shows long preparations on standard error: a bar on a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        last: dict[str, int] = {}

        def line(what: str, done: float, total: float | None) -> None:
            # A line at the start, and then one for every tenth that is done.
            step = int(10 * done / total) if total else 0
            if last.get(what) != step:
                last[what] = step
                share = f" {10 * step}%" if total else ""
                click.echo(f"{what}{share}", err=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def draw(what: str, done: float, total: float | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield draw


def find_run(name: str) -> Path:
    """The folder that a person means by a run: a path, a name under ``runs/``, or its start.

    Raises:
        StoreError: there is none, or several.
    """
    from orchestrator.store import StoreError

    path = Path(name)
    if name and path.exists():
        return path
    if name and (RUNS / name).exists():
        return RUNS / name
    runs = sorted(RUNS.iterdir()) if RUNS.is_dir() else []
    matches = [run for run in runs if name and run.name.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    found = f"several: {', '.join(m.name for m in matches)}" if matches else "none"
    raise StoreError(
        f"expected one run named {name!r}, found {found}; llmatic-orch runs lists the runs here"
    )
