"""The live view on a pseudo terminal: it paints, follows resizes, and gives the screen back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.view import live
from orchestrator.view.live import LiveView
from tests.orchestrator.view.made_up_run import MadeUpRun, run_after

ROOT = Path(__file__).parents[3]
ENTER, LEAVE, CURSOR_BACK = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


class Terminal:
    """A pseudo terminal that remembers all that was written to it."""

    def __init__(self, width=100, height=30):
        self.master, slave = pty.openpty()
        self.file = os.fdopen(slave, "w", encoding="utf-8")
        self.resize(width, height)
        self._chunks: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def resize(self, width, height):
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self.file.fileno(), termios.TIOCSWINSZ, size)

    def _read(self):
        with contextlib.suppress(OSError):
            while chunk := os.read(self.master, 65536):
                self._chunks.append(chunk)

    def console(self):
        return Console(file=self.file, force_terminal=True, color_system="truecolor")

    def text(self):
        """All that has been written, once it has come through."""
        termios.tcdrain(self.file.fileno())
        last = -1
        while last != (last := sum(map(len, self._chunks))):
            time.sleep(0.02)
        return b"".join(self._chunks).decode()

    def close(self):
        with contextlib.suppress(OSError):
            self.file.close()
        # The reader ends when nobody holds the terminal; only then may its number be used again.
        self._thread.join(10)
        os.close(self.master)


@pytest.fixture
def terminal(monkeypatch):
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal()
    yield terminal
    terminal.close()


def test_the_screen_is_taken_painted_and_given_back(terminal):
    run = MadeUpRun()
    view = LiveView(terminal.console())
    view.start(run.progress)
    view.committed(run.step())
    view.stop({"finished": "generations"})
    text = terminal.text()
    assert text.count(ENTER) == text.count(LEAVE) == text.count(CURSOR_BACK) == 1
    painted, _, left = text.partition(LEAVE)
    assert "Networks" in painted
    assert "the budget of generations is spent" in left
    assert "networks: 1/100 cells" in left or "networks: 0/100 cells" in left
    assert "\x1b[?1049h" not in left


def test_only_what_changed_is_painted_again(terminal, monkeypatch):
    monkeypatch.setattr(live, "FRAME", 0.0)
    progress = run_after(50)
    progress.slots = []
    view = LiveView(terminal.console())
    view.start(progress)
    whole = len(terminal.text())
    view.refresh()
    assert len(terminal.text()) == whole
    progress.elapsed += 1
    view.refresh()
    painted = terminal.text()[whole:]
    assert "elapsed" in painted
    assert "Networks" not in painted
    assert len(painted) < whole / 10
    view.stop({})


def test_frames_come_no_faster_than_they_should(terminal):
    progress = run_after(50)
    view = LiveView(terminal.console())
    view.start(progress)
    whole = len(terminal.text())
    for _ in range(20):
        progress.elapsed += 1
        view.refresh()
    assert len(terminal.text()) == whole
    time.sleep(live.FRAME)
    view.refresh()
    assert len(terminal.text()) > whole
    view.stop({})


def test_a_resized_terminal_is_painted_anew_in_its_new_size(terminal, monkeypatch):
    monkeypatch.setattr(live, "FRAME", 0.0)
    view = LiveView(terminal.console())
    view.start(run_after(50))
    before = len(terminal.text())
    terminal.resize(60, 20)
    view.refresh()
    painted = terminal.text()[before:]
    assert "\x1b[2J" in painted
    assert "\x1b[20;1H" in painted
    assert "\x1b[21;1H" not in painted
    view.stop({})


def test_what_others_print_is_shown_as_a_message_and_kept_for_the_end(terminal, monkeypatch):
    monkeypatch.setattr(live, "FRAME", 0.0)
    view = LiveView(terminal.console())
    view.start(run_after(5))
    print("a warning of some library\x1b[2J")
    print("50 %\r100 %", file=sys.stderr)
    view.refresh()
    view.stop({})
    painted, _, left = terminal.text().partition(LEAVE)
    assert "100 %" in painted
    assert r"a warning of some library\x1b[2J" in left
    assert "100 %" in left
    assert "50 %" not in left


def test_stopping_twice_or_before_the_start_does_no_harm(terminal):
    view = LiveView(terminal.console())
    view.refresh()
    view.stop({})
    assert terminal.text() == ""
    view.start(run_after(1))
    view.stop({})
    view.stop({})
    assert terminal.text().count(LEAVE) == 1


def test_a_terminal_that_goes_away_does_not_end_the_search(terminal, monkeypatch):
    monkeypatch.setattr(live, "FRAME", 0.0)
    run = MadeUpRun()
    view = LiveView(terminal.console())
    view.start(run.progress)
    monkeypatch.setattr(view, "_file", open(os.devnull))  # noqa: SIM115 - not writable
    for _ in range(5):
        view.committed(run.step())
        view.refresh()
    monkeypatch.undo()
    view.stop({})


SCRIPT = textwrap.dedent(
    """
    import sys, time
    from rich.console import Console
    from orchestrator.view import choose_view
    from tests.orchestrator.view.made_up_run import MadeUpRun

    run = MadeUpRun()
    view = choose_view(Console())
    view.start(run.progress)
    for _ in range(10):
        view.committed(run.step())
    {body}
    """
)


def in_terminal(terminal, body):
    """A process of its own that runs a view on the terminal."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        stdin=terminal.file,
        stdout=terminal.file,
        stderr=terminal.file,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
    )


def test_the_screen_is_given_back_when_the_program_ends_in_an_error(terminal):
    process = in_terminal(terminal, "raise ValueError('a bug')")
    assert process.wait(120) == 1
    text = terminal.text()
    assert text.count(ENTER) == text.count(LEAVE) == 1
    assert CURSOR_BACK in text


def test_the_screen_is_given_back_while_the_program_is_suspended(terminal):
    process = in_terminal(terminal, "while True: time.sleep(0.05); view.refresh()")
    try:
        wait_for(lambda: "Networks" in terminal.text())
        process.send_signal(signal.SIGTSTP)
        wait_for(lambda: terminal.text().endswith(LEAVE))
        before = len(terminal.text())
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: "Networks" in terminal.text()[before:])
        assert ENTER in terminal.text()[before:]
    finally:
        process.kill()
        process.wait()


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
