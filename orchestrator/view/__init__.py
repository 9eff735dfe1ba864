"""Views of a run: live, plain lines, tables, pictures."""

from orchestrator.view.choose import choose_view

__all__ = ["choose_view"]
