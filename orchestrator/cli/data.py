"""``llmatic-orch data``: the volumes in which an engine keeps what networks are trained on."""

from __future__ import annotations

import click


@click.group()
def data() -> None:
    """The training data that the Docker engine holds, a volume for each content.

    Runs share these volumes. One that was removed is filled again when it is needed.
    """


@data.command("list")
def list_() -> None:
    """Name the volumes, one a line."""
    from sandbox.engine import connect
    from sandbox.volumes import volumes

    for name in volumes(connect()):
        click.echo(name)


@data.command()
def remove() -> None:
    """Remove every volume that no sandbox uses now."""
    from sandbox.engine import connect
    from sandbox.volumes import remove_volumes

    gone, used = remove_volumes(connect())
    click.echo(f"{gone} removed" + (f", {used} in use" if used else ""))
