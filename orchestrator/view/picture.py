"""An archive as a picture made of characters: colour is fitness, dark is empty, axes are named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

from orchestrator.archives import Archive
from orchestrator.view.colours import BOLD, DIM, EMPTY, LEVELS, RGB, ink, paint, viridis
from orchestrator.view.raster import Raster
from orchestrator.view.words import clip, harmless, short, to_ascii
from plugins.contract import Descriptor

#: Narrower or lower than this, a picture shows nothing.
MIN_WIDTH, MIN_HEIGHT = 12, 4

_SHADES = "░▒▓█"
_ASCII_SHADES = ":-=+*#%@"


class Ink(Enum):
    """What the terminal can draw with."""

    HALF_BLOCKS = "two coloured pixels in one character"
    BACKGROUNDS = "one coloured pixel in one character"
    SHADES = "block characters of different density, no colour"
    ASCII = "letters, no colour"


@dataclass(frozen=True)
class Axis:
    """An axis: its name, its unit, and the values at both ends."""

    label: str
    low: float
    high: float
    unit: str = ""

    @property
    def title(self) -> str:
        """Name and unit; the unit is left out where it is the name."""
        label, unit = harmless(self.label, 40), harmless(self.unit, 20)
        return f"{label} ({unit})" if unit and unit not in label else label


@dataclass(frozen=True)
class Scale:
    """What colours stand for. Below ``low`` is drawn as ``low``."""

    low: float
    high: float
    clipped: bool

    def level(self, fitness: float) -> int:
        """The colour of a fitness, 0..``LEVELS - 1``."""
        if self.high <= self.low:
            return LEVELS - 1
        share = min(max((fitness - self.low) / (self.high - self.low), 0.0), 1.0)
        return round(share * (LEVELS - 1))


def scale_of(values: Sequence[float], fenced: bool = True) -> Scale | None:
    """A scale over all values but outliers at the low end.

    One bad elite would make all others look the same, so nothing counts that is below the lower
    quartile by more than 1.5 interquartile ranges (Tukey's fence), unless not ``fenced``.
    """
    if not values:
        return None
    low, quartile, third, high = np.percentile(values, (0, 25, 75, 100)).tolist()
    fence = quartile - 1.5 * (third - quartile)
    inside = min(value for value in values if value >= fence) if fenced else low
    return Scale(inside, high, inside > low)


def network_axes(descriptors: Sequence[Descriptor]) -> tuple[Axis, Axis]:
    """The axes of a network archive."""
    first, second = (Axis(d.label, d.low, d.high, d.unit) for d in descriptors)
    return first, second


def prompt_axes(prompts: int) -> tuple[Axis, Axis]:
    """The axes of a prompt archive of so many mutation prompts."""
    return Axis("prompt", 0, max(prompts - 1, 1)), Axis("temperature", 0.0, 1.0)


class ArchivePicture:
    """A renderable picture of an archive; it fills the width and height that it is given.

    Keep one per archive: it remembers the tessellation's raster, and the lines of the last picture.

    Args:
        archive: what to draw; read again at every rendering.
        axes: the x and the y axis.
        height: rows, where the surroundings give none; half the width by default, at most 30.
        ink: what to draw with; by default what the console can.
        fenced: leave outliers at the low end out of the scale, see :func:`scale_of`.
    """

    def __init__(
        self,
        archive: Archive,
        axes: tuple[Axis, Axis],
        *,
        height: int | None = None,
        ink: Ink | None = None,
        fenced: bool = True,
    ) -> None:
        self.archive = archive
        self.axes = axes
        self._height = height
        self._ink = ink
        self._fenced = fenced
        self._raster = Raster(archive.centroids)
        self._key: object = None
        self._rows: list[list[Segment]] = []

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(MIN_WIDTH, options.max_width), options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        height = options.height or self._height or min(max(width // 2, MIN_HEIGHT), 30)
        for row in self.rows(width, height, ink_of(console, options, self._ink)):
            yield from row
            yield Segment.line()

    def rows(self, width: int, height: int, ink: Ink) -> list[list[Segment]]:
        """The picture in exactly ``height`` rows of at most ``width`` columns."""
        elites = self.archive.elites()
        key = (width, height, ink, tuple((e.cell, e.fitness) for e in elites))
        if key != self._key:
            rows = self._draw(width, height, ink)
            self._rows = [to_ascii(row) for row in rows] if ink in _PLAIN else rows
            self._key = key
        return self._rows

    def _draw(self, width: int, height: int, ink: Ink) -> list[list[Segment]]:
        if width < MIN_WIDTH or height < MIN_HEIGHT:
            note = clip("no room for a picture", width)
            return [[Segment(note, DIM)], *([] for _ in range(height - 1))]
        elites = self.archive.elites()
        scale = scale_of([elite.fitness for elite in elites], self._fenced)
        x, y = self.axes
        low, high = short(y.low), short(y.high)
        gutter = max(len(low), len(high)) + 1
        columns, lines = width - gutter, height - 2
        levels = np.full(len(self.archive.centroids), -1, dtype=np.intp)
        for elite in elites:
            if scale is not None:
                levels[elite.cell] = scale.level(elite.fitness)
        best = self.archive.best()
        pixels = self._pixels(columns, lines, ink, levels, best.cell if best else None)
        rows = [_legend(y, scale, width, ink)]
        for index, drawn in enumerate(pixels):
            tick = high if index == 0 else low if index == lines - 1 else ""
            rows.append([Segment(tick.rjust(gutter - 1) + " ", DIM), *drawn])
        rows.append([Segment(" " * gutter), *_x_axis(x, columns)])
        return rows

    def _pixels(
        self, columns: int, lines: int, ink: Ink, levels: np.ndarray, best: int | None
    ) -> list[list[Segment]]:
        per_line = 2 if ink is Ink.HALF_BLOCKS else 1
        cells = self._raster.cells(columns, lines * per_line)
        marked: tuple[int, int] | None = None
        if best is not None:
            column, row = self._raster.middle(best)
            marked = (row // per_line, column)
        if ink in (Ink.SHADES, Ink.ASCII):
            return _shaded(cells, levels, ink, marked)
        shades = self._raster.shades()
        colours: list[RGB] = [
            viridis(level) if level >= 0 else EMPTY[int(shade) % len(EMPTY)]
            for level, shade in zip(levels.tolist(), shades.tolist(), strict=True)
        ]
        return _coloured(cells.tolist(), colours, per_line, marked)


#: Inks that go with a terminal of ASCII alone.
_PLAIN = (Ink.ASCII, Ink.BACKGROUNDS)


def ink_of(console: Console, options: ConsoleOptions, wanted: Ink | None = None) -> Ink:
    """What a console can draw with; ``wanted`` where it is given and the encoding allows it."""
    coloured = console.color_system in ("256", "truecolor") and not console.no_color
    if options.ascii_only:
        return Ink.BACKGROUNDS if coloured else Ink.ASCII
    if wanted is not None:
        return wanted
    return Ink.HALF_BLOCKS if coloured else Ink.SHADES


def _coloured(
    cells: list[list[int]], colours: list[RGB], per_line: int, marked: tuple[int, int] | None
) -> list[list[Segment]]:
    rows = []
    for index in range(len(cells) // per_line):
        top = cells[index * per_line]
        bottom = cells[index * per_line + per_line - 1]
        row: list[Segment] = []
        start = 0
        breaks = {marked[1], marked[1] + 1} if marked and marked[0] == index else set()
        for column in range(1, len(top) + 1):
            if (
                column < len(top)
                and column not in breaks
                and top[column] == top[start]
                and bottom[column] == bottom[start]
            ):
                continue
            above, below = colours[top[start]], colours[bottom[start]]
            if breaks and start == marked[1]:  # type: ignore[index]
                row.append(Segment("◆", paint(ink(above), above) + BOLD))
            elif above == below:
                row.append(Segment(" " * (column - start), paint(None, above)))
            else:
                row.append(Segment("▀" * (column - start), paint(above, below)))
            start = column
        rows.append(row)
    return rows


def _shaded(
    cells: np.ndarray, levels: np.ndarray, ink: Ink, marked: tuple[int, int] | None
) -> list[list[Segment]]:
    ramp = _SHADES if ink is Ink.SHADES else _ASCII_SHADES
    letters = [
        ramp[min(level * len(ramp) // LEVELS, len(ramp) - 1)] if level >= 0 else " "
        for level in levels.tolist()
    ]
    rows = []
    for index, row in enumerate(cells.tolist()):
        text = "".join(letters[cell] for cell in row)
        if marked and marked[0] == index:
            text = text[: marked[1]] + "◆" + text[marked[1] + 1 :]
        rows.append([Segment(text)])
    return rows


def _legend(y: Axis, scale: Scale | None, width: int, ink: Ink) -> list[Segment]:
    """The row above: what the y axis is, and what colours stand for."""
    title = f"{y.title} ↑"
    if scale is None:
        return [Segment(clip(f"{title}   all cells empty", width), DIM)]
    digits = 0 if scale.high == int(scale.high) and scale.low == int(scale.low) else 1
    low = f"{'≤' if scale.clipped and ink is not Ink.ASCII else ''}{scale.low:.{digits}f} "
    high = f" {scale.high:.{digits}f} ◆ best"
    room = width - len(title) - len(low) - len(high) - 2
    if room < 4:
        return [Segment(clip(title, width), DIM)]
    bar = min(room, 16)
    steps = [round(i * (LEVELS - 1) / (bar - 1)) for i in range(bar)]
    if ink in (Ink.SHADES, Ink.ASCII):
        ramp = _SHADES if ink is Ink.SHADES else _ASCII_SHADES
        drawn = [Segment("".join(ramp[step * len(ramp) // LEVELS] for step in steps))]
    else:
        drawn = [Segment(" ", paint(None, viridis(step))) for step in steps]
    space = " " * (width - len(title) - len(low) - len(high) - bar)
    return [Segment(f"{title}{space}{low}", DIM), *drawn, Segment(high, DIM)]


def _x_axis(x: Axis, columns: int) -> list[Segment]:
    low, high = short(x.low), short(x.high)
    title = clip(f"{x.title} →", columns - len(low) - len(high) - 2)
    inner = columns - len(low) - len(high)
    return [Segment(clip(f"{low}{title.center(max(inner, 0))}{high}", columns), DIM)]


def network_picture(
    archive: Archive, descriptors: Sequence[Descriptor], *, height: int | None = None
) -> ArchivePicture:
    """A network archive as something that ``console.print`` draws."""
    return ArchivePicture(archive, network_axes(descriptors), height=height)


def prompt_picture(archive: Archive, prompts: int, *, height: int | None = None) -> ArchivePicture:
    """A prompt archive of so many mutation prompts, likewise; small counts need no fence."""
    return ArchivePicture(archive, prompt_axes(prompts), height=height, fenced=False)


def describe(archive: Archive) -> str:
    """``47/100 cells, QD-score 3,950``: what stands beside a picture."""
    score = archive.qd_score
    shown = f"{score:,.0f}" if math.isfinite(score) else "–"
    return f"{len(archive)}/{len(archive.centroids)} cells, QD-score {shown}"


__all__ = [
    "ArchivePicture",
    "Axis",
    "Ink",
    "Scale",
    "describe",
    "ink_of",
    "network_axes",
    "network_picture",
    "prompt_axes",
    "prompt_picture",
    "scale_of",
]
