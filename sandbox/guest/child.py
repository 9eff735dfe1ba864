"""The child: drops every privilege for good, and only then runs a task on a candidate's source.

Nothing that happens here after the source has been executed can be trusted; all that the child
says is a claim. What counts is what the supervisor sees from outside.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn

from sandbox.guest import frames, kernel
from sandbox.guest.loader import load_entry
from sandbox.guest.printable import one_line
from sandbox.guest.task import CANDIDATE_FILE, Refusal, TaskContext

#: The only descriptor a child keeps beside the standard three: its pipe to the supervisor.
REPORT_FD = 3
WORK = "/candidate"
OPEN_FILES = 512
#: The header's own limit; what is too long for the job is for the supervisor to refuse.
ANY_LENGTH = 2**32 - 1


def run_child(job: Mapping[str, Any], uid: int, report: int, out: int, err: int) -> NoReturn:
    """Become a child and end with it; called right after the fork.

    Args:
        job: the job as the host sent it.
        uid: the user (and group) to become, used by nobody else in this container.
        report: the write end of the pipe that takes messages.
        out: of the one that becomes the standard output.
        err: of the one that becomes the standard error.
    """
    status = 1
    try:
        _arrange_descriptors(report, out, err)
        try:
            _isolate(uid, int(job["limits"]["tmpfs_mib"]))
            _work(job)
        except BaseException as error:
            _send(_failure(error))
        status = 0
    finally:
        # No clean-up of the interpreter: it would run what the candidate left behind.
        os._exit(status)


def _arrange_descriptors(report: int, out: int, err: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    # First out of the way of the targets, then onto them.
    sources = [os.dup(fd) for fd in (null, out, err, report)]
    high = [os.dup2(fd, 64 + index) for index, fd in enumerate(sources)]
    for target, fd in enumerate(high):
        os.dup2(fd, target, inheritable=target != REPORT_FD)
    os.closerange(REPORT_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _isolate(uid: int, tmpfs_mib: int) -> None:
    """Drop to a user of one's own, with limits of one's own. There is no way back."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    # Within the container's share the supervisor goes first, whatever the candidate starts.
    os.nice(10)
    # When memory runs out, the kernel takes the candidate and not the supervisor.
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    largest = tmpfs_mib * 2**20
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, largest),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    home = f"{WORK}/{uid}"
    os.mkdir(home, 0o700)
    os.chdir(home)
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    os.environ.update(HOME=home, TMPDIR=home, USER="candidate", LOGNAME="candidate")


def _work(job: Mapping[str, Any]) -> None:
    context = TaskContext(_send)
    try:
        task = load_entry(job["entry"], job["modules"])
        report = task(job["source"], job["params"], context)
        message = {"report": report}
    except Refusal as refusal:
        message = {
            "refusal": {"kind": str(refusal.kind), "reason": one_line(str(refusal.reason), 1000)}
        }
    sys.stdout.flush()
    try:
        _send(message)
    except frames.FrameError as error:
        _send({"unsendable": one_line(str(error))})


def _send(message: dict[str, Any]) -> None:
    data = memoryview(frames.encode(message, ANY_LENGTH))
    while data:
        data = data[os.write(REPORT_FD, data) :]


def _failure(error: BaseException) -> dict[str, Any]:
    try:
        traceback.print_exception(error, limit=-20)
        sys.stderr.flush()
        sys.stdout.flush()
    except BaseException:
        pass  # An exception of the candidate's own that cannot even be printed.
    line = _candidate_line(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename == CANDIDATE_FILE:
        line = error.lineno
        message = str(error.msg)
        if error.text:
            message += f': "{error.text.strip()}"'
    else:
        try:
            message = str(error)
        except BaseException:
            message = "(its message cannot be shown)"
    return {
        "failure": {
            "type": one_line(type(error).__name__, 80),
            "message": one_line(message, 1000),
            "line": line if isinstance(line, int) else None,
        }
    }


def _candidate_line(trace: TracebackType | None) -> int | None:
    """The line in the candidate's source that was being executed, innermost."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == CANDIDATE_FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
