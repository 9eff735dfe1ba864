"""A progress bar for downloads; plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from plugins.contract import Progress as Tell

#: Seconds between two lines about one download, where there is no bar.
_LINE_SECONDS = 5.0


@contextmanager
def bytes_progress(console: Console | None = None) -> Iterator[Tell]:
    """Gives the callback that a download tells its bytes to. Writes to stderr by default."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: float, total: float | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield tell


def _lines(console: Console) -> Tell:
    """One line when something begins or ends, and every few seconds between."""
    said: dict[str, float] = {}

    def tell(what: str, done: float, total: float | None) -> None:
        now = time.monotonic()
        complete = total is not None and done >= total
        if what in said and not complete and now - said[what] < _LINE_SECONDS:
            return
        if said.get(what) == float("inf"):
            return
        said[what] = float("inf") if complete else now
        amount = f": {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
        console.print(f"{what}{amount}", highlight=False)

    return tell
