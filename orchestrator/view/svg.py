"""The live view of a run as an SVG file, for a README or a report."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console, RenderableType

from orchestrator.progress import RunProgress
from orchestrator.view.dashboard import Dashboard


def export_svg(
    shown: RunProgress | RenderableType,
    path: Path | str,
    *,
    width: int = 150,
    height: int = 46,
    title: str = "llmatic-orch search",
) -> None:
    """Write a picture of a run, as a terminal of this size would show it.

    Args:
        shown: a run's progress, or anything that rich can print.
        path: the file to write.
        width: columns.
        height: rows; what is no progress is as high as it is.
        title: the window's title.

    Raises:
        OSError: the file can't be written.
    """
    console = Console(
        record=True,
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
    )
    console.print(Dashboard(shown) if isinstance(shown, RunProgress) else shown, end="")
    Path(path).write_text(console.export_svg(title=title), encoding="utf-8")
