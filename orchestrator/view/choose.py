"""Which view an output gets: the live one on a terminal, plain lines elsewhere."""

from __future__ import annotations

from rich.console import Console

from orchestrator.progress import View


def choose_view(console: Console) -> View:
    """The live view if the console is a terminal that can draw it, else plain lines.

    A forced terminal (``FORCE_COLOR`` with a file behind it) gets plain lines too: what moves a
    cursor has no place in a file.
    """
    file = console.file
    if console.is_interactive and not console.is_dumb_terminal and file.isatty():
        from orchestrator.view.live import LiveView

        return LiveView(console)
    from orchestrator.view.plain import PlainView

    return PlainView(console)
