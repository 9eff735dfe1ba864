"""Parses a candidate's source: at a bounded cost, without a word on the terminal, never raising."""

from __future__ import annotations

import ast
import threading
import warnings

#: Sources longer than this (characters) are not parsed.
MAX_CHARACTERS = 100_000

# ``catch_warnings`` changes the whole process's filters: two threads in it at once would leave
# them changed.
_FILTERS = threading.Lock()


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None where Python has none or it is too costly to ask. Executes nothing.

    Nesting needs no limit of ours: in brackets the tokenizer stops at 200, and the parser at a
    depth of its own.
    """
    if len(source) > MAX_CHARACTERS:
        return None
    try:
        with _FILTERS, warnings.catch_warnings():
            # A candidate's "\d" is not worth a line on a person's terminal.
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, SystemError):
        return None
