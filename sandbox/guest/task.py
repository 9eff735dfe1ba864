"""What a task is: the trusted function that works on one candidate's source in the child.

A task is ``def run(source: str, params: dict, context: TaskContext) -> dict``. It returns the
report (JSON values). It says where it is with :meth:`TaskContext.phase`, since an exception is
classified by the phase in which the candidate raised it; and it refuses a candidate by raising
:class:`Refusal`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: Phases that a task may enter, and the outcome kind of an exception raised in each.
PHASES: Mapping[str, str] = {
    "syntax": "syntax_error",
    "import": "import_error",
    "build": "build_error",
    "forward": "forward_error",
}


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
        self._tell({"phase": name, "note": note})

    def load(self, source: str) -> dict[str, Any]:
        """Compile and execute a source; returns its namespace. Enters ``syntax``, ``import``."""
        self.phase("syntax")
        code = compile(source, "<candidate>", "exec", dont_inherit=True)
        self.phase("import")
        namespace: dict[str, Any] = {"__name__": "candidate", "__builtins__": __builtins__}
        exec(code, namespace)
        return namespace
