"""What long steps say while they run, and the two ways to show it: a live line, or plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


@dataclass(frozen=True)
class Event:
    """One thing that happened in a step.

    Attributes:
        step: the step's name, as a person reads it (``"guest image"``).
        note: what is being done now; one line.
        fraction: how much of the step is done, 0..1, or None where nobody knows.
    """

    step: str
    note: str = ""
    fraction: float | None = None


#: Whoever runs a step tells this; it must be cheap and must not raise.
Tell = Callable[[Event], None]


def silent(event: Event) -> None:
    """Show nothing."""


class PlainView:
    """A line for every note, with the seconds since its step began. For logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._step = ""
        self._since = time.monotonic()
        self._last = ""

    def __call__(self, event: Event) -> None:
        """Print the event, unless it says what the last one said."""
        if event.step != self._step:
            self._step, self._since = event.step, time.monotonic()
        line = f"{event.step}: {event.note}" if event.note else event.step
        if line == self._last:
            return
        self._last = line
        print(f"[{time.monotonic() - self._since:6.1f} s] {line}", file=self._stream, flush=True)


class LiveView:
    """One live line a step, with a bar where the step knows how far it is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Redraw the event's step; the steps before it are done."""
        if event.step not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, total=1.0, completed=1.0)
                self._progress.stop_task(task)
            self._tasks[event.step] = self._progress.add_task(event.step, total=None, note="")
        note = event.note if len(event.note) <= 60 else event.note[:59] + "…"
        if event.fraction is None:
            self._progress.update(self._tasks[event.step], note=note)
        else:
            self._progress.update(
                self._tasks[event.step],
                note=note,
                total=1.0,
                completed=event.fraction,
            )


@contextmanager
def view() -> Iterator[Tell]:
    """The live view on a terminal, plain lines elsewhere. Both write to standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainView()
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        yield LiveView(progress)
