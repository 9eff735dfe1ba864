"""The live view of a run as an SVG file: for a README, a report, or a look from afar."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from orchestrator.progress import Committed, RunProgress, View
from orchestrator.view.dashboard import Dashboard

#: Seconds between two pictures. Drawing one takes some 0.1 s.
INTERVAL = 20.0


def export_svg(
    shown: RunProgress | RenderableType,
    path: Path | str,
    *,
    width: int = 150,
    height: int = 46,
    title: str = "llmatic-orch search",
) -> None:
    """Write a picture of a run, as a terminal of this size would show it.

    The file is replaced as a whole: whoever reads it never sees half of one.

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
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(_sharpened(console.export_svg(title=title)), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


#: A text of upper half blocks alone, and a font that rich would have loaded from the network.
_HALF_BLOCKS = re.compile(
    r'<text class="([^"]+)" x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>▀+</text>'
)
_FONT_FACE = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)

# Of rich's SVG: the height of a line, and how far above a text's base line its background begins.
_LINE, _RISE = 24.4, 18.5


def _sharpened(svg: str) -> str:
    """Half blocks as exact rectangles, since no font's meet without a seam; and no font fetched."""

    def rectangle(match: re.Match[str]) -> str:
        style, x, y, width = match.groups()
        top = float(y) - _RISE
        return (
            f'<rect class="{style}" x="{x}" y="{top:.1f}" width="{width}" height="{_LINE / 2}" '
            'shape-rendering="crispEdges"/>'
        )

    return _FONT_FACE.sub("", _HALF_BLOCKS.sub(rectangle, svg))


class PictureView:
    """A view around another one that keeps a picture of the run in a file as well.

    Args:
        inner: the view that a person looks at.
        path: the SVG file, written every 20 s and at the end. A file that can't be written does not
            end the search.
    """

    def __init__(self, inner: View, path: Path) -> None:
        self._inner = inner
        self._path = path
        self._progress: RunProgress | None = None
        self._next = 0.0

    def start(self, progress: RunProgress) -> None:
        """The search begins."""
        self._progress = progress
        self._next = time.monotonic() + INTERVAL
        self._inner.start(progress)

    def committed(self, candidate: Committed) -> None:
        """A candidate was committed."""
        self._inner.committed(candidate)

    def refresh(self) -> None:
        """Something may have changed."""
        self._inner.refresh()
        if time.monotonic() >= self._next:
            self._draw()

    def stop(self, summary: Mapping[str, Any]) -> None:
        """The search ended."""
        try:
            self._draw()
        finally:
            self._inner.stop(dict(summary))

    def _draw(self) -> None:
        self._next = time.monotonic() + INTERVAL
        if self._progress is not None:
            with contextlib.suppress(OSError):
                export_svg(self._progress, self._path)
