"""What came of a job: the outcome kinds, and the outcome itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class OutcomeKind(StrEnum):
    """Every way a job can end. All but ``ok`` and ``sandbox_error`` are the candidate's fault."""

    OK = "ok"
    REJECTED = "rejected"
    SYNTAX_ERROR = "syntax_error"
    IMPORT_ERROR = "import_error"
    BUILD_ERROR = "build_error"
    FORWARD_ERROR = "forward_error"
    WRONG_SHAPE = "wrong_shape"
    NOT_REPRESENTABLE = "not_representable"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    OUTPUT_FLOOD = "output_flood"
    CRASHED = "crashed"
    PROTOCOL_VIOLATION = "protocol_violation"
    SANDBOX_ERROR = "sandbox_error"

    @property
    def candidates_fault(self) -> bool:
        """Whether the candidate, and so its prompt, is charged with this outcome."""
        return self not in (OutcomeKind.OK, OutcomeKind.SANDBOX_ERROR)


@dataclass(frozen=True)
class Outcome:
    """What came of one job.

    Attributes:
        kind: how it ended.
        reason: one line that a person and an LLM can act on; empty for ``ok``. Holds no control
            characters: what a candidate wrote is made printable before it gets here.
        report: what the guest's task returned (JSON values), only where ``kind`` is ``ok``.
        stdout: the candidate's own standard output, capped, printable.
        stderr: its standard error, likewise.
        seconds: wall-clock timings by name: ``queued``, ``start`` (container created to
            supervisor ready), ``run`` (job sent to report), ``total``.
        attempts: how often the job was tried; above 1 only after a ``sandbox_error``.
    """

    kind: OutcomeKind
    reason: str = ""
    report: Mapping[str, Any] | None = None
    stdout: str = ""
    stderr: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    attempts: int = 1

    @property
    def ok(self) -> bool:
        """Whether the job's report can be evaluated."""
        return self.kind is OutcomeKind.OK
