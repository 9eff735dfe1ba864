"""What a task is: the trusted function that works on one candidate's source in the child.

A task is ``def run(source: str, params: dict, context: TaskContext) -> dict``. It returns the
report (JSON values). It says where it is with :meth:`TaskContext.phase`, since an exception is
classified by the phase in which the candidate raised it; and it refuses a candidate by raising
:class:`Refusal`.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

#: Phases that a task may enter, and the outcome kind of an exception raised in each. In any other
#: phase an exception makes the candidate ``crashed``.
PHASES: Mapping[str, str] = {
    "syntax": "syntax_error",
    "import": "import_error",
    "build": "build_error",
    "forward": "forward_error",
    "measure": "forward_error",
    "train": "forward_error",
    "predict": "forward_error",
}

#: The file name under which a candidate's source is compiled; tracebacks are searched for it.
CANDIDATE_FILE = "<candidate>"

#: The module that a candidate's source is executed as.
CANDIDATE_MODULE = "candidate"


class Refusal(Exception):
    """The task looked at the candidate and refuses it.

    ``kind`` is an outcome kind by name (``wrong_shape``, ``not_representable``, ``diverged``,
    ``build_error`` ...); ``reason`` is one line that a person and an LLM can act on.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class TaskContext:
    """What a task may use of the child it runs in."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self.current = "start"

    def phase(self, name: str, note: str = "") -> None:
        """Enter a phase; ``note`` is shown in the live view (``"3/50"``)."""
        self.current = name
        self._tell({"phase": name[:32], "note": note[:64]})

    def load(self, source: str) -> dict[str, Any]:
        """Compile and execute a source; returns its namespace. Enters ``syntax``, ``import``."""
        self.phase("syntax")
        code = compile(source, CANDIDATE_FILE, "exec", dont_inherit=True)
        self.phase("import")
        lines = source.splitlines(True)
        linecache.cache[CANDIDATE_FILE] = (len(source), None, lines, CANDIDATE_FILE)
        # A real module, since dataclasses and typing look a class's module up by its name.
        module = ModuleType(CANDIDATE_MODULE)
        sys.modules[CANDIDATE_MODULE] = module
        exec(code, module.__dict__)
        return module.__dict__
