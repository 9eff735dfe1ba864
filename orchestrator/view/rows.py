"""Rows of styled text, and panels made of them: what the live view is composed of.

Rich's own layouts measure and wrap everything at every refresh, which costs more than all the
rest of the orchestrator. Here a row is cut to its width where it is made, and remembers the bytes
it becomes, so that a refresh costs next to nothing while little changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from orchestrator.view.colours import DIM, FRAME, TITLE
from orchestrator.view.words import clip, to_ascii

#: A piece of a row: plain, or with its style.
Part = str | tuple[str, Style | None]


class Pen:
    """How a console wants its bytes: colours, no colours, ASCII alone."""

    def __init__(self, console: Console) -> None:
        name = console.color_system
        self._system = ColorSystem[_SYSTEMS[name]] if name else None
        self._no_color = console.no_color
        self._ascii = console.options.ascii_only
        self.key = (name, console.no_color, console.options.ascii_only)

    def draw(self, segments: list[Segment]) -> str:
        """Segments as text with escape codes."""
        if self._ascii:
            segments = to_ascii(segments)
        return "".join(self._one(text, style) for text, style, _ in segments)

    def _one(self, text: str, style: Style | None) -> str:
        if style is None:
            return text
        if self._no_color:
            style = style.without_color
        return style.render(text, color_system=self._system)


_SYSTEMS = {
    "standard": "STANDARD",
    "256": "EIGHT_BIT",
    "truecolor": "TRUECOLOR",
    "windows": "WINDOWS",
}


class Row:
    """A piece of a screen line, of fixed width."""

    __slots__ = ("_drawn", "_pen", "segments", "width")

    def __init__(self, segments: list[Segment], width: int) -> None:
        self.segments = Segment.adjust_line_length(segments, width)
        self.width = width
        self._pen: object = None
        self._drawn = ""

    def drawn(self, pen: Pen) -> str:
        """The row as text with escape codes; made once."""
        if self._pen != pen.key:
            self._drawn = pen.draw(self.segments)
            self._pen = pen.key
        return self._drawn


#: Screen lines, each of one or more rows side by side.
Block = list[list[Row]]


def row(parts: Iterable[Part], width: int, right: Iterable[Part] = ()) -> Row:
    """A row of these parts; ``right`` stands at its right end, and goes first where room is short.

    The last part that does not fit is cut, and marked so.
    """
    right_segments = _segments(right, width)
    used = sum(cell_len(segment.text) for segment in right_segments)
    room = width - used - (1 if right_segments else 0)
    left = _segments(parts, max(room, 0))
    if not right_segments:
        return Row(left, width)
    return Row([*Segment.adjust_line_length(left, width - used), *right_segments], width)


def _segments(parts: Iterable[Part], room: int) -> list[Segment]:
    segments: list[Segment] = []
    for part in parts:
        text, style = (part, None) if isinstance(part, str) else part
        if room <= 0:
            break
        text = clip(text, room)
        room -= cell_len(text)
        segments.append(Segment(text, style))
    return segments


def block(rows: Sequence[Row], width: int, height: int) -> Block:
    """Exactly ``height`` lines: what is missing is empty, what is too much is left out."""
    lines = [[r] for r in rows[:height]]
    return lines + [[row((), width)] for _ in range(height - len(lines))]


def panel(title: str, rows: Sequence[Row], width: int, height: int, note: str = "") -> Block:
    """Rows in a frame. Rows are ``width - 4`` wide; there is room for ``height - 2`` of them."""
    inner = width - 4
    head = clip(title, width - 6)
    note = clip(note, width - cell_len(head) - 10) if width - cell_len(head) - 10 > 5 else ""
    line = width - cell_len(head) - 5 - (cell_len(note) + 3 if note else 0)
    top = [Segment("╭─ ", FRAME), Segment(head, TITLE), Segment(f" {'─' * line}", FRAME)]
    if note:
        top += [Segment(f" {note} ", DIM), Segment("─", FRAME)]
    top.append(Segment("╮", FRAME))
    lines: Block = [[Row(top, width)]]
    left, right = Row([Segment("│ ", FRAME)], 2), Row([Segment(" │", FRAME)], 2)
    for inside in block(rows, inner, height - 2):
        lines.append([left, *inside, right])
    lines.append([Row([Segment(f"╰{'─' * (width - 2)}╯", FRAME)], width)])
    return lines


def beside(*blocks: Block) -> Block:
    """Blocks of the same height side by side."""
    return [[r for parts in lines for r in parts] for lines in zip(*blocks, strict=True)]


def bar(share: float, width: int, style: Style, done: Style | None = None) -> list[Part]:
    """A progress bar, ``share`` being 0..1; ``done`` is its style when it is full."""
    share = min(max(share, 0.0), 1.0)
    halves = int(share * 2 * width)
    full, half = divmod(halves, 2)
    if full >= width:
        return [("━" * width, done or style)]
    return [
        ("━" * full + ("╸" if half else ""), style),
        ("─" * (width - full - half), FRAME),
    ]


_EIGHTHS = " ▏▎▍▌▋▊▉█"


def solid_bar(share: float, width: int) -> str:
    """A bar of a chart, exact to an eighth of a column, padded; anything above 0 shows."""
    eighths = round(min(max(share, 0.0), 1.0) * 8 * width)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)
