"""A terminal gets the live view; all else gets plain lines."""

from __future__ import annotations

import io
import os
import pty

import pytest
from rich.console import Console

from orchestrator.view import choose_view
from orchestrator.view.live import LiveView
from orchestrator.view.plain import PlainView


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    file = os.fdopen(slave, "w")
    yield file
    file.close()
    os.close(master)


def test_a_terminal_gets_the_live_view(terminal):
    assert isinstance(choose_view(Console(file=terminal, _environ={"TERM": "xterm"})), LiveView)


def test_a_dumb_terminal_gets_plain_lines(terminal):
    assert isinstance(choose_view(Console(file=terminal, _environ={"TERM": "dumb"})), PlainView)


def test_a_file_gets_plain_lines():
    assert isinstance(choose_view(Console(file=io.StringIO())), PlainView)


def test_a_file_that_is_forced_to_be_a_terminal_gets_plain_lines_all_the_same():
    console = Console(file=io.StringIO(), _environ={"FORCE_COLOR": "1", "TERM": "xterm"})
    assert console.is_terminal
    assert isinstance(choose_view(console), PlainView)
