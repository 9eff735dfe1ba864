"""Text of the views: what a candidate wrote made harmless, numbers and durations made short."""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment

from sandbox.guest.printable import one_line

#: What stands for a value that there is not.
NOTHING = "–"

#: What stands for our own drawing characters where the terminal knows ASCII alone.
_ASCII = str.maketrans(
    {
        "–": "-",
        "…": "~",
        "·": "-",
        "≤": "<",
        "×": "x",
        "→": ">",
        "↑": "^",
        "◆": "*",
        "★": "*",
        "█": "#",
        "▇": "#",
        "░": ".",
        "▒": "=",
        "▓": "%",
        "▀": "#",
        "▄": "#",
        "━": "=",
        "╸": "-",
        "─": "-",
        "│": "|",
        "╭": "+",
        "╮": "+",
        "╰": "+",
        "╯": "+",
        **dict(zip("▁▂▃▄▅▆▇", "_.-~=+#", strict=True)),
        **dict.fromkeys("▏▎▍▌▋▊▉", "-"),
    }
)


def harmless(text: object, limit: int = 300) -> str:
    """One line of anything a candidate or a plugin wrote, without power over the terminal.

    Control characters, escape sequences, direction overrides and lone surrogates become
    visible escapes; so do combining marks, whose width terminals disagree about. Markup is no
    matter here, since no view parses any.
    """
    return _harmless(str(text), limit)


@lru_cache(maxsize=512)
def _harmless(text: str, limit: int) -> str:
    # Cut before anything else is done: a candidate may hand over megabytes.
    line = one_line(unicodedata.normalize("NFC", text[: 4 * limit]), limit)
    if not line.isascii():
        line = "".join(
            f"\\u{ord(character):04x}" if unicodedata.category(character)[0] == "M" else character
            for character in line
        )
    # Escapes are longer than what they stand for.
    return line if len(line) <= limit else line[: limit - 1] + "…"


def clip(text: str, width: int) -> str:
    """Text in at most ``width`` columns, marked where it was cut."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…"


def to_ascii(segments: list[Segment]) -> list[Segment]:
    """Segments in ASCII and of the same width, for a terminal that knows nothing else."""
    return [
        segment
        if segment.control or segment.text.isascii()
        else Segment(ascii_text(segment.text), segment.style)
        for segment in segments
    ]


def ascii_text(text: str) -> str:
    """Text in ASCII and of the same width: nearest look for our own characters, else ``?``."""
    return "".join(
        character if character.isascii() else "?" * cell_len(character)
        for character in text.translate(_ASCII)
    )


def duration(seconds: float | None) -> str:
    """``0:07:40``; with days in front where there are any."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    minutes, second = divmod(int(max(seconds, 0)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour}:{minute:02}:{second:02}"
    return f"{days} d {clock}" if days else clock


def short_seconds(seconds: float) -> str:
    """``1.2 s``, ``48 s``, ``3 min``: as much as a glance takes in."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def number(value: float | None, digits: int = 2) -> str:
    """A fitness or the like, or a dash."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.{digits}f}"


def short(value: float | None) -> str:
    """Three significant digits with a metric suffix: ``0.25``, ``12.3``, ``220M``, ``5G``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    size = abs(value)
    for factor, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999.6 k would round to 1000 k.
        if size >= 0.9995 * factor:
            return f"{value / factor:.3g}{suffix}"
    return f"{value:.3g}"


def count(value: int) -> str:
    """An integer with thin groups of thousands: ``1,234``."""
    return f"{value:,}"
