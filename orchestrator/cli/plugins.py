"""``llmatic-orch plugins``: which benchmarks are installed, and whether one keeps its promises."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestrator.cli.options import progress_bar, sandbox_options
from orchestrator.cli.plugin_options import PluginArgumentCommand
from orchestrator.sandbox_setup import SandboxOptions, open_sandbox
from plugins.check import Check, Verdict
from plugins.registry import GROUP, Installed, check_options, installed, plugin_class
from sandbox.job import Job
from sandbox.outcome import Outcome


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List the benchmarks that are installed: name, where from, summary or import error."""
    if ctx.invoked_subcommand is not None:
        return
    found = installed()
    if as_json:
        click.echo(json.dumps([asdict(plugin) for plugin in found], indent=2))
        return
    if not found:
        click.echo(f"expected at least one entry point of the group {GROUP}, found none")
        return
    Console().print(_listing(found))


@plugins.command(cls=PluginArgumentCommand)
@click.argument("name")
@click.option("--no-sandbox", is_flag=True, help="Leave out all that needs the sandbox.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@sandbox_options
@click.pass_context
def check(
    ctx: click.Context,
    name: str,
    no_sandbox: bool,
    as_json: bool,
    sandbox: SandboxOptions,
    **options: Any,
) -> None:
    """Run a plugin through what the search relies on: a table of promises, held or broken.

    The exit status is 0 if no promise is broken. The plugin's own options are taken too.
    """
    cls = plugin_class(name)
    values = check_options(cls, options)
    verdicts: list[Verdict] = []
    console = Console()
    with _runner(sandbox, not no_sandbox) as run_job, progress_bar() as tell:
        for verdict in Check(cls, run_job, values, tell).run():
            verdicts.append(verdict)
            if not as_json:
                console.print(_line(verdict), highlight=False)
    broken = sum(verdict.held is False for verdict in verdicts)
    untried = sum(verdict.held is None for verdict in verdicts)
    if as_json:
        click.echo(json.dumps([asdict(verdict) for verdict in verdicts], indent=2))
    else:
        held = len(verdicts) - broken - untried
        console.print(f"{name}: {held} held, {broken} broken, {untried} not tried", highlight=False)
    ctx.exit(1 if broken else 0)


def _listing(found: list[Installed]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("name", "from", "what it is"):
        table.add_column(title, overflow="fold")
    for plugin in found:
        what = (
            escape(plugin.summary)
            if plugin.usable
            else f"[red]cannot be used:[/] {escape(plugin.error)}"
        )
        origin = f"{plugin.distribution} {plugin.version}".strip() or plugin.target
        table.add_row(escape(plugin.name), escape(origin), what)
    return table


_MARKS = {True: "[green]held   [/]", False: "[red]BROKEN [/]", None: "[yellow]untried[/]"}


def _line(verdict: Verdict) -> str:
    detail = f"\n          {escape(verdict.detail)}" if verdict.detail else ""
    return f"{_MARKS[verdict.held]} {escape(verdict.promise)}{detail}"


@contextmanager
def _runner(options: SandboxOptions, wanted: bool) -> Iterator[Callable[[Job], Outcome] | None]:
    """What runs a job in the sandbox, or None where the sandbox is left out."""
    if not wanted:
        yield None
        return
    from images.progress import view

    with contextlib.ExitStack() as stack:
        with view() as tell:
            executor = stack.enter_context(open_sandbox(options, None, tell))
        yield lambda job: executor.submit(job, "check").result()
