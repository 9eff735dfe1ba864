"""``llmatic-orch image``: build the guest image, and see whether the engine's is still right."""

from __future__ import annotations

from pathlib import Path

import click

from images.context import DEVICES


@click.group()
def image() -> None:
    """Build the guest image, in which candidates run, or look at its state."""


@image.command()
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True)
@click.option(
    "--base",
    metavar="IMAGE",
    help="A base image with Python 3.11.  [default: the official slim one, or a bootstrapped one]",
)
@click.option(
    "--wheelhouse/--no-wheelhouse",
    default=True,
    show_default=True,
    help="Fetch wheels with this host's pip and build without network; or run pip in the build.",
)
@click.option(
    "--wheelhouse-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where wheels are kept between builds.  [default: the user's cache folder]",
)
@click.option("--if-stale", is_flag=True, help="Do nothing if the image is fresh.")
def build(
    device: str, base: str | None, wheelhouse: bool, wheelhouse_dir: Path | None, if_stale: bool
) -> None:
    """Build the guest image. A second try resumes: finished steps and fetched wheels are kept."""
    from images.build import build_guest_image, ensure_guest_image
    from images.engine import connect
    from images.progress import view

    client = connect()
    make = ensure_guest_image if if_stale else build_guest_image
    with view() as tell:
        tag = make(client, device, base, wheelhouse, tell, wheelhouse_dir)
    click.echo(f"{tag} is ready")


@image.command()
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True)
@click.pass_context
def status(context: click.Context, device: str) -> None:
    """Say whether the guest image is fresh, stale or missing. Exit status 1 unless fresh."""
    from images.build import Freshness, guest_image_state
    from images.engine import connect

    state = guest_image_state(connect(), device)
    click.echo(f"{state.tag}: {state.freshness}" + (f" ({state.reason})" if state.reason else ""))
    if state.base:
        click.echo(f"base: {state.base}")
    if state.freshness is not Freshness.FRESH:
        click.echo(f"build it: llmatic-orch image build --device {device}")
        context.exit(1)
