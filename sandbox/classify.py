"""Says what a job's facts amount to: one pure function from facts to an outcome kind.

:func:`classify` is the only place where fault is decided. The supervisor and the host collect
:class:`Facts`; nobody else may conclude anything from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.guest.printable import one_line
from sandbox.guest.task import PHASES
from sandbox.outcome import OutcomeKind

#: The kinds that a task may refuse a candidate with. All others are observed, never claimed.
CLAIMABLE = frozenset(
    {
        OutcomeKind.SYNTAX_ERROR,
        OutcomeKind.IMPORT_ERROR,
        OutcomeKind.BUILD_ERROR,
        OutcomeKind.FORWARD_ERROR,
        OutcomeKind.WRONG_SHAPE,
        OutcomeKind.NOT_REPRESENTABLE,
        OutcomeKind.DIVERGED,
        OutcomeKind.OUT_OF_MEMORY,
    }
)

#: What an allocation that failed says: CPython, torch's CPU allocator, torch's CUDA allocator.
MEMORY_TYPES = frozenset({"MemoryError", "OutOfMemoryError"})
MEMORY_TEXTS = ("can't allocate memory", "cannot allocate memory", "not enough memory")

SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV"}
SIGNALS |= {1: "SIGHUP", 2: "SIGINT", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 25: "SIGXFSZ"}


@dataclass(frozen=True)
class Facts:
    """What was seen of one job.

    Seen by the host:

    Attributes:
        trouble: what the container or the engine did that they should not, one line with what to
            do; empty where they worked.
        memory_died: the engine says that the container as a whole was killed for memory.
        job_sent: the job had been handed over before the trouble.
        wall_seconds, memory_mib, output_bytes, report_bytes: the limits, for the reasons.

    Seen by the supervisor, from outside the child:

    Attributes:
        candidate_ran: the source may have been executed by then. Once true it stays so.
        stopped_for: why the supervisor stopped the child: ``deadline``, ``flood``, ``memory``,
            ``lingering``, ``violation``; empty if the child ended on its own.
        state: of what the child said: ``none``, ``valid`` (exactly one final message),
            ``malformed``, ``too_big``, ``duplicate``.
        detail: what was malformed.
        exit_code, signal: how the child ended; None for what does not apply.
        oom_kills: processes that the kernel killed for memory while the job ran.
        unclean: processes of the candidate could not be killed.

    Said by the child, and worth as much:

    Attributes:
        phase: the last phase it entered.
        said: its final message (``report``, ``refusal`` or ``failure``), where ``state`` is
            ``valid``.
    """

    trouble: str = ""
    memory_died: bool = False
    job_sent: bool = True
    wall_seconds: float = 60.0
    memory_mib: int = 2048
    output_bytes: int = 2**20
    report_bytes: int = 4 * 2**20
    candidate_ran: bool = False
    stopped_for: str = ""
    state: str = "none"
    detail: str = ""
    exit_code: int | None = None
    signal: int | None = None
    oom_kills: int = 0
    unclean: bool = False
    phase: str = "start"
    said: dict[str, Any] | None = None


def classify(facts: Facts) -> tuple[OutcomeKind, str]:
    """The kind of outcome, and its reason in one line; total and pure.

    The order of the rules is the argument:

    1. **The container first.** Where the container or the engine failed, nothing of the child is
       known, so it is a ``sandbox_error``, ours: with one exception. If the engine says that the
       container was killed for memory while a job ran, the candidate used that memory; charging
       ourselves would run the bomb again, attempt after attempt.
    2. **What the kernel and the supervisor did comes before what the child said.** A process
       that was stopped has often said something too; what counts is why it had to be stopped.
       Memory comes before the deadline and the crash, because it causes both: a killed process
       ends by SIGKILL, and one whose worker was killed waits for it for ever. The supervisor
       stops a child for one cause, the first, so flood and deadline do not compete.
    3. **A deadline beats a report.** The supervisor reads nothing after it; a report that
       arrived before it from a child that then hung past it does not count either, since an
       honest child ends with its report.
    4. **How it spoke comes before what it said.** A malformed, overlong or second message was
       not written by our code, which writes one well-formed message and ends. (Half a message
       of a child that died by a signal is a death, not a lie.)
    5. **A death without a message is a crash**, whatever the status: only code of the candidate
       ends the process by itself, with 0 as well as with 139. A fast death by a signal is a
       crash, never a time-out.
    6. **A message counts only from a child that then ended with status 0**, since that is what
       our code does next. A report followed by any other end is a forgery.
    7. **A claim is bounded.** A child may claim the kinds in ``CLAIMABLE`` and nothing else:
       above all not ``sandbox_error``, which would make its crime free of charge and repeat it.
       For the same reason an exception in our own code is believed to be ours only while the
       candidate's source cannot have been executed yet, which the supervisor knows by itself.
       After that, an exception outside a named phase is a ``crashed``: the candidate was in the
       process, and what it does to our code there is its own doing.
    """
    if facts.trouble:
        if facts.memory_died and facts.job_sent:
            return _out_of_memory(facts)
        return OutcomeKind.SANDBOX_ERROR, one_line(facts.trouble, 600)
    if facts.unclean:
        return (
            OutcomeKind.SANDBOX_ERROR,
            "processes of the candidate could not be killed; the container was removed",
        )
    stopped = _stopped(facts)
    if stopped is not None:
        return stopped
    if facts.signal and not facts.stopped_for and facts.state in ("none", "malformed"):
        name = SIGNALS.get(facts.signal, f"signal {facts.signal}")
        return OutcomeKind.CRASHED, f"the process was killed by {name}{_where(facts)}"
    spoke = _spoke(facts)
    if spoke is not None:
        return spoke
    if facts.state != "valid" or facts.said is None:
        return (
            OutcomeKind.CRASHED,
            f"the process ended with status {facts.exit_code} before its report{_where(facts)}; "
            "do not call os._exit",
        )
    if facts.exit_code != 0:
        end = f"signal {facts.signal}" if facts.signal else f"status {facts.exit_code}"
        return OutcomeKind.PROTOCOL_VIOLATION, f"a report, then an end with {end}"
    return _said(facts, facts.said)


def _stopped(facts: Facts) -> tuple[OutcomeKind, str] | None:
    killed_for_memory = facts.oom_kills > 0 and (facts.signal is not None or facts.exit_code != 0)
    if facts.stopped_for == "memory" or killed_for_memory:
        return _out_of_memory(facts)
    if facts.stopped_for == "deadline":
        return (
            OutcomeKind.TIMED_OUT,
            f"not done after {facts.wall_seconds:g} s{_where(facts)}; stopped",
        )
    if facts.stopped_for == "flood":
        return (
            OutcomeKind.OUTPUT_FLOOD,
            f"more than {facts.output_bytes} bytes of output{_where(facts)}; print less",
        )
    if facts.stopped_for == "lingering":
        return OutcomeKind.PROTOCOL_VIOLATION, "a report, and then no end of the process"
    return None


def _spoke(facts: Facts) -> tuple[OutcomeKind, str] | None:
    if facts.state == "malformed":
        found = f": {facts.detail}" if facts.detail else ""
        return OutcomeKind.PROTOCOL_VIOLATION, one_line(f"a report that is no message{found}")
    if facts.state == "too_big":
        return (
            OutcomeKind.PROTOCOL_VIOLATION,
            f"a report longer than the {facts.report_bytes} bytes that are read",
        )
    if facts.state == "duplicate":
        return OutcomeKind.PROTOCOL_VIOLATION, "more than one report"
    if facts.stopped_for == "violation":
        return OutcomeKind.PROTOCOL_VIOLATION, "a message that no task writes"
    return None


def _said(facts: Facts, said: dict[str, Any]) -> tuple[OutcomeKind, str]:
    if isinstance(said.get("report"), dict):
        return OutcomeKind.OK, ""
    refusal = said.get("refusal")
    if isinstance(refusal, dict):
        kind, reason = refusal.get("kind"), refusal.get("reason")
        if isinstance(kind, str) and kind in CLAIMABLE and isinstance(reason, str):
            return OutcomeKind(kind), one_line(reason, 600) or f"refused in {_phase(facts)}"
        return OutcomeKind.PROTOCOL_VIOLATION, "a refusal that no task may give"
    failure = said.get("failure")
    if isinstance(failure, dict):
        return _failed(facts, failure)
    return OutcomeKind.PROTOCOL_VIOLATION, "a report that is no object"


def _failed(facts: Facts, failure: dict[str, Any]) -> tuple[OutcomeKind, str]:
    name, message, line = failure.get("type"), failure.get("message"), failure.get("line")
    if not (isinstance(name, str) and isinstance(message, str)):
        return OutcomeKind.PROTOCOL_VIOLATION, "a failure that no task writes"
    at = f"line {line}" if isinstance(line, int) else ""
    phase = facts.phase.partition(" ")[0]
    if phase == "syntax":
        where = f" {at}" if at else ""
    else:
        where = f" in {_phase(facts)}" + (f" ({at})" if at else "")
    reason = one_line(f"{name}{where}" + (f": {message}" if message else ""), 600)
    if phase == "syntax":
        # Here a MemoryError is the parser's word for an expression nested too deeply.
        return OutcomeKind.SYNTAX_ERROR, reason
    if not facts.candidate_ran:
        return OutcomeKind.SANDBOX_ERROR, one_line(
            f"the task failed before the candidate: {reason}"
        )
    if name in MEMORY_TYPES or any(text in message.lower() for text in MEMORY_TEXTS):
        return OutcomeKind.OUT_OF_MEMORY, reason
    return OutcomeKind(PHASES.get(phase, OutcomeKind.CRASHED)), reason


def _out_of_memory(facts: Facts) -> tuple[OutcomeKind, str]:
    return (
        OutcomeKind.OUT_OF_MEMORY,
        f"needs more than the {facts.memory_mib} MiB of memory there are{_where(facts)}",
    )


def _phase(facts: Facts) -> str:
    return one_line(facts.phase, 40)


def _where(facts: Facts) -> str:
    return f" in {_phase(facts)}" if facts.candidate_ran or facts.phase == "syntax" else ""


def rejection(source: str, limit: int) -> str:
    """Why a source is ``rejected`` before anything runs; empty if it is not.

    Args:
        source: the candidate.
        limit: bytes of UTF-8 that are taken.
    """
    if not source.strip():
        return "expected source code, found nothing"
    if "\0" in source:
        return f"expected text, found a NUL character in line {_line_of(source, 0)}"
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError as error:
        line = source.count("\n", 0, error.start) + 1
        return f"expected text, found a lone surrogate in line {line}: not encodable as UTF-8"
    if size > limit:
        return f"expected at most {limit} bytes of source, found {size}; write a shorter one"
    return ""


def _line_of(source: str, code_point: int) -> int:
    return source.count("\n", 0, source.index(chr(code_point))) + 1
