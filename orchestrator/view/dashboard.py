"""The full view of a run for a screen of any size: which panels, where, how large."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from orchestrator.progress import RunProgress
from orchestrator.view import panels
from orchestrator.view.picture import (
    ArchivePicture,
    Ink,
    ink_of,
    network_picture,
    prompt_picture,
)
from orchestrator.view.rows import Block, Row, beside, block, panel
from orchestrator.view.words import count, to_ascii

#: From this size on, the view has columns; below TINY it has no pictures and no frames.
MEDIUM = (100, 30)
LARGE = (150, 45)
TINY = (60, 18)

_MIN_PICTURE = 8
_SIDE = 60


class _Pictured:
    """A picture whose rows stay the same objects while nothing in it changes."""

    def __init__(self, picture: ArchivePicture) -> None:
        self.picture = picture
        self._source: list[list[Segment]] | None = None
        self._rows: list[Row] = []

    def rows(self, width: int, height: int, ink: Ink) -> list[Row]:
        source = self.picture.rows(width, height, ink)
        if source is not self._source:
            self._rows = [Row(segments, width) for segments in source]
            self._source = source
        return self._rows


class Dashboard:
    """A renderable of a run's progress that fills the width and height it is given.

    Args:
        progress: read again at every rendering.
        ink: what pictures are drawn with; by default what the console can.
    """

    def __init__(self, progress: RunProgress, ink: Ink | None = None) -> None:
        self.progress = progress
        self.said = ""
        self._wanted_ink = ink
        self._ink = Ink.ASCII
        self._networks = _Pictured(network_picture(progress.networks, progress.descriptors))
        self._prompts = _Pictured(prompt_picture(progress.prompt_archive, len(progress.prompts)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or options.size.height
        for line in self.lines(console, width, height):
            segments = [segment for part in line for segment in part.segments]
            yield from to_ascii(segments) if options.ascii_only else segments
            yield Segment.line()

    def lines(self, console: Console, width: int, height: int) -> Block:
        """Exactly ``height`` lines of exactly ``width`` columns."""
        self._ink = ink_of(console, console.options, self._wanted_ink)
        if width < TINY[0] or height < TINY[1]:
            lines = self._tiny(width, height)
        elif width < MEDIUM[0] or height < MEDIUM[1]:
            lines = self._small(width, height)
        elif width < LARGE[0] or height < LARGE[1]:
            lines = self._medium(width, height)
        else:
            lines = self._large(width, height)
        return lines[:height]

    def _footer(self, width: int) -> list[Row]:
        return [panels.footer(self.progress, width, self.said)]

    def _tiny(self, width: int, height: int) -> Block:
        p = self.progress
        rows = [
            panels.header(p, width, with_model=False),
            panels.model_line(p, width),
            *panels.budget(p, width),
            *panels.best(p, width, 3),
            panels.outcomes_line(p, width),
            panels.slots_line(p, width),
        ]
        rows += panels.recent(p, width, max(height - len(rows) - 1, 0))
        return block(rows, width, max(height - 1, 0)) + [[r] for r in self._footer(width)]

    def _small(self, width: int, height: int) -> Block:
        p = self.progress
        left = width * 11 // 20
        right = width - left
        budget = panels.budget(p, left - 4)
        top = len(budget) + 2
        strips = [panels.slots_line(p, width), panels.outcomes_line(p, width)]
        room = height - 2 - top - len(strips)
        # The list gets a quarter of what is left, the pictures the rest, if that is enough.
        listed = max(3, room // 4)
        pictured = room - listed
        if pictured < _MIN_PICTURE:
            listed, pictured = room, 0
        lines = [
            [panels.header(p, width)],
            *beside(
                panel("Progress", budget, left, top, p.operator),
                panel("Best", panels.best(p, right - 4, top - 2), right, top),
            ),
        ]
        if pictured:
            lines += self._archives(width, pictured)
        lines += [[strip] for strip in strips]
        lines += block(panels.recent(p, width, listed), width, listed)
        return lines + [[r] for r in self._footer(width)]

    def _medium(self, width: int, height: int) -> Block:
        p = self.progress
        thirds = (width * 36 // 100, width * 36 // 100)
        widths = (*thirds, width - sum(thirds))
        budget = panels.budget(p, widths[0] - 4)
        top = max(len(budget), 5) + 2
        room = height - 2 - top
        pictured = round(room * 0.58)
        lower = room - pictured
        side = min(max(width * 36 // 100, 36), 48)
        slots = min(len(p.slots) or 1, max(lower - 7, 1))
        lines: Block = [
            [panels.header(p, width)],
            *beside(
                panel("Progress", budget, widths[0], top, p.operator),
                panel("Best", panels.best(p, widths[1] - 4, top - 2), widths[1], top),
                panel("LLM", panels.language_model(p, widths[2] - 4), widths[2], top),
            ),
            *self._archives(width, pictured),
            *beside(
                [
                    *self._sandbox(side, slots + 2),
                    *self._outcomes(side, lower - slots - 2),
                ],
                self._recent(width - side, lower),
            ),
        ]
        return lines + [[r] for r in self._footer(width)]

    def _large(self, width: int, height: int) -> Block:
        p = self.progress
        left = width - _SIDE
        room = height - 2
        pictured = min(round(room * 0.62), (left // 2 - 10) // 2 + 6)
        main = [*self._archives(left, pictured), *self._recent(left, room - pictured)]
        inner = _SIDE - 4
        budget = panels.budget(p, inner)
        model = panels.language_model(p, inner)
        slots = min(len(p.slots) or 1, 8)
        rest = room - (len(budget) + 2) - (len(model) + 2) - (slots + 2)
        # Room for eight kinds of outcome and the best; prompts if they fit as well, and the
        # best's curve grows with what is still left.
        outcomes, best = 10, 9
        texts = len(p.prompts) + 2 if outcomes + best + len(p.prompts) + 2 <= rest else 0
        best = min(rest - outcomes - texts, 16)
        outcomes = rest - best - texts
        column: Block = [
            *panel("Progress", budget, _SIDE, len(budget) + 2, p.operator),
            *panel("Best", panels.best(p, inner, best - 2), _SIDE, best),
            *panel("LLM", model, _SIDE, len(model) + 2),
            *self._sandbox(_SIDE, slots + 2),
            *self._outcomes(_SIDE, outcomes),
        ]
        if texts:
            shown = panels.prompts(p, inner, texts - 2)
            column += panel("Prompts", shown, _SIDE, texts, "collective fitness")
        return [
            [panels.header(p, width)],
            *beside(main, column),
            *([r] for r in self._footer(width)),
        ]

    def _archives(self, width: int, height: int) -> Block:
        left = (width + 1) // 2
        return beside(
            self._archive("Networks", self._networks, left, height),
            self._archive("Prompts", self._prompts, width - left, height),
        )

    def _archive(self, title: str, pictured: _Pictured, width: int, height: int) -> Block:
        archive = pictured.picture.archive
        rows: Sequence[Row] = pictured.rows(width - 4, height - 2, self._ink)
        note = f"{len(archive)}/{len(archive.centroids)} cells"
        if width >= 50 and len(archive):
            note += f", QD-score {archive.qd_score:,.0f}"
        return panel(title, rows, width, height, note)

    def _sandbox(self, width: int, height: int) -> Block:
        return panel("Sandbox", panels.slots(self.progress, width - 4, height - 2), width, height)

    def _outcomes(self, width: int, height: int) -> Block:
        unique = f"{count(self.progress.unique_evaluations)} unique"
        rows = panels.outcomes(self.progress, width - 4, height - 2)
        return panel("Outcomes", rows, width, height, unique)

    def _recent(self, width: int, height: int) -> Block:
        rows = panels.recent(self.progress, width - 4, height - 2)
        return panel("Candidates", rows, width, height, "newest first")
