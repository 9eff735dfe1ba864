"""``llmatic-orch doctor``: what this machine has of what a search needs, and what to do."""

from __future__ import annotations

import dataclasses
import json

import click

from images.context import DEVICES

_MARKS = {"found": ("✓", "green"), "missing": ("✗", "red"), "absent": ("-", "yellow")}


@click.command()
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a check, a line each.")
@click.pass_context
def doctor(context: click.Context, device: str, as_json: bool) -> None:
    """Check engine, guest image, runtimes, plugins and weights; a line each, with its remedy.

    Exit status 1 if something that a search needs is missing.
    """
    from orchestrator.doctor import State, run_checks

    missing = False
    for check in run_checks(device):
        missing |= check.state is State.MISSING
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(check)))
            continue
        mark, colour = _MARKS[check.state]
        click.echo(
            click.style(f"{mark} {check.state:<7}", fg=colour) + f"  {check.name}: {check.detail}"
        )
        if check.remedy:
            click.echo(f"             -> {check.remedy}")
    context.exit(1 if missing else 0)
