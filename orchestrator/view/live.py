"""The live view: the dashboard on the terminal's alternate screen, repainted where it changed."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console

from orchestrator.progress import Committed, RunProgress
from orchestrator.view.dashboard import Dashboard
from orchestrator.view.rows import Pen
from orchestrator.view.summary import final_summary
from orchestrator.view.words import harmless

#: Seconds between two frames.
FRAME = 0.2
#: Seconds after which everything is painted again, should something else have written there.
REPAINT = 5.0

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
# A terminal that knows synchronised output shows a frame at once; others ignore this.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"


class LiveView:
    """Shows a running search on a whole terminal; leaves a summary in its scrollback.

    The alternate screen is left on ``stop``, and at the interpreter's exit whatever happened. What
    others write to ``sys.stdout`` and ``sys.stderr`` meanwhile is kept back: its last line is
    shown, and the last 200 lines are printed when the view ends.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._file: TextIO = console.file  # type: ignore[assignment]
        self._dashboard: Dashboard | None = None
        self._kept = _Kept()
        self._painted: list[str] = []
        self._size = (0, 0)
        self._next = 0.0
        self._repaint = 0.0
        self._shown = False
        self._redirected = contextlib.ExitStack()
        self._suspend: Any = None
        self._writing = False
        self._suspend_due = False

    def start(self, progress: RunProgress) -> None:
        """Take the screen over."""
        self._dashboard = Dashboard(progress)
        self._redirected.enter_context(contextlib.redirect_stdout(self._kept))
        self._redirected.enter_context(contextlib.redirect_stderr(self._kept))
        atexit.register(self._leave)
        with contextlib.suppress(ValueError, AttributeError):
            # Only a main thread may, and only where there is such a signal.
            self._suspend = signal.signal(signal.SIGTSTP, self._suspended)
        self._write(_ENTER)
        self._shown = True
        self._paint()

    def committed(self, candidate: Committed) -> None:
        """Nothing of its own: the next frame shows it."""

    def refresh(self) -> None:
        """Paint the next frame, if it is due."""
        if self._shown and time.monotonic() >= self._next:
            self._paint()

    def stop(self, summary: Mapping[str, Any]) -> None:
        """Give the screen back, and print what came of the run."""
        self._leave()
        atexit.unregister(self._leave)
        for line in self._kept.lines:
            self._console.print(line, markup=False, highlight=False, emoji=False)
        self._kept.lines.clear()
        if self._dashboard is not None:
            self._console.print(final_summary(self._dashboard.progress, summary))

    def _paint(self) -> None:
        assert self._dashboard is not None
        now = time.monotonic()
        self._next = now + FRAME
        width, height = self._terminal_size()
        self._dashboard.said = self._kept.latest
        pen = Pen(self._console)
        lines = [
            "".join(part.drawn(pen) for part in line)
            for line in self._dashboard.lines(self._console, width, height)
        ]
        out = []
        if (width, height) != self._size or now >= self._repaint:
            if (width, height) != self._size:
                out.append("\x1b[0m\x1b[2J")
            self._size = (width, height)
            self._painted = []
            self._repaint = now + REPAINT
        for index, line in enumerate(lines):
            if index >= len(self._painted) or self._painted[index] != line:
                out.append(f"\x1b[{index + 1};1H{line}")
        self._painted = lines
        if out:
            self._write(f"{_BEGIN}{''.join(out)}{_END}")

    def _terminal_size(self) -> tuple[int, int]:
        # Rich asks the standard streams, and the environment before them, which a resize leaves as
        # it was.
        try:
            width, height = os.get_terminal_size(self._file.fileno())
        except (OSError, ValueError, AttributeError):
            width = height = 0
        return (width or self._console.width, height or self._console.height)

    def _leave(self) -> None:
        if self._shown:
            self._shown = False
            self._redirected.close()
            if self._suspend is not None:
                with contextlib.suppress(ValueError):
                    signal.signal(signal.SIGTSTP, self._suspend)
            self._write(_LEAVE)

    def _suspended(self, _signal: int, _frame: object) -> None:
        """Ctrl-Z: give the shell its screen, and take it back when the run goes on."""
        if self._writing:
            # In the middle of a frame: the rest of it must not land on the shell's screen.
            self._suspend_due = True
            return
        self._suspend_due = False
        if self._shown:
            self._write(_LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        if self._shown:
            self._write(_ENTER)
            self._size = (0, 0)

    def _write(self, text: str) -> None:
        # A terminal that went away must not end a search: the run goes on without a view.
        self._writing = True
        try:
            with contextlib.suppress(OSError, ValueError):
                self._file.write(text)
                self._file.flush()
        finally:
            self._writing = False
        if self._suspend_due:
            self._suspended(signal.SIGTSTP, None)


class _Kept(io.TextIOBase):
    """A stream that keeps the latest lines written to it, made harmless."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=200)
        self.latest = ""
        self._open = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *done, self._open = (self._open + text).split("\n")
        for line in done:
            # A progress bar redraws its line with carriage returns: the last state counts.
            shown = harmless(line.rstrip("\r").rpartition("\r")[2], 500)
            if shown:
                self.lines.append(shown)
                self.latest = shown
        # A line that never ends must not grow without end.
        self._open = self._open[-2000:]
        return len(text)
