"""Colours of the views: one perceptually uniform scale, and a colour for each kind of fact.

The scale is viridis (van der Walt and Smith 2015), which a colour-blind eye reads as well. The
others are close to those of Okabe and Ito (2008), which every kind of colour vision tells apart.
"""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color
from rich.style import Style

from sandbox.outcome import OutcomeKind

RGB = tuple[int, int, int]

#: viridis at 0, 0.1 ... 1.
_VIRIDIS: tuple[RGB, ...] = (
    (68, 1, 84),
    (72, 36, 117),
    (65, 68, 135),
    (53, 95, 141),
    (42, 120, 142),
    (33, 145, 140),
    (34, 168, 132),
    (68, 191, 112),
    (122, 209, 81),
    (189, 223, 38),
    (253, 231, 37),
)

#: Empty cells: nearly black, in shades so that neighbouring cells can be told apart.
EMPTY: tuple[RGB, ...] = ((27, 29, 34), (35, 38, 44), (44, 47, 54), (53, 57, 64))

GREEN = "#00b184"
ORANGE = "#e69f00"
BLUE = "#56b4e9"
RED = "#e0601b"
PINK = "#cc79a7"

#: Steps of the scale. Few enough that styles are made once, more than an eye tells apart here.
LEVELS = 64

BEST = Style(color=Color.parse("#e0c000"), bold=True)
DIM = Style(dim=True)
BOLD = Style(bold=True)
LABEL = Style(color=Color.parse(BLUE))
WARNING = Style(color=Color.parse(ORANGE), bold=True)
FRAME = Style(color=Color.parse("#5f6b7a"))
TITLE = Style(color=Color.parse(BLUE), bold=True)


@lru_cache(maxsize=LEVELS + 1)
def viridis(level: int) -> RGB:
    """The scale's colour at a level, 0..``LEVELS - 1``."""
    place = level / (LEVELS - 1) * (len(_VIRIDIS) - 1)
    below = min(int(place), len(_VIRIDIS) - 2)
    share = place - below
    low, high = _VIRIDIS[below], _VIRIDIS[below + 1]
    return (
        round(low[0] + (high[0] - low[0]) * share),
        round(low[1] + (high[1] - low[1]) * share),
        round(low[2] + (high[2] - low[2]) * share),
    )


@lru_cache(maxsize=8192)
def paint(foreground: RGB | None, background: RGB) -> Style:
    """The style of a pixel, or of two in one character."""
    return Style(
        color=Color.from_rgb(*foreground) if foreground else None,
        bgcolor=Color.from_rgb(*background),
    )


def ink(background: RGB) -> RGB:
    """Black or white, whichever reads better on a colour."""
    red, green, blue = background
    return (0, 0, 0) if 0.3 * red + 0.59 * green + 0.11 * blue > 120 else (255, 255, 255)


@lru_cache(maxsize=32)
def outcome_style(kind: OutcomeKind) -> Style:
    """Green: ok; orange: the candidate's fault; red: ours."""
    if kind is OutcomeKind.OK:
        return Style(color=Color.parse(GREEN))
    return Style(color=Color.parse(ORANGE if kind.candidates_fault else RED))


@lru_cache(maxsize=32)
def styled(colour: str, bold: bool = False) -> Style:
    """A named colour as a style."""
    return Style(color=Color.parse(colour), bold=bold or None)
