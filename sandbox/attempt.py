"""One attempt at a job: a fresh container, the job in, the facts out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.classify import Facts
from sandbox.container import Container, ContainerGone
from sandbox.engine import ENGINE_ERRORS
from sandbox.guest import PROTOCOL, frames
from sandbox.guest.printable import one_line, printable
from sandbox.guest.supervisor import JOB_BYTES
from sandbox.job import Job
from sandbox.limits import Limits

#: How much longer than the job's limit the host waits for the supervisor's word. The supervisor
#: keeps the limit; this is for one that cannot.
GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Attempt:
    """What came of an attempt: facts, both captured streams, seconds by name."""

    facts: Facts
    stdout: str = ""
    stderr: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


def job_frame(job: Job, limits: Limits) -> bytes:
    """A job as the supervisor takes it.

    Raises:
        FrameError: its parameters are no JSON values, or it is too long.
    """
    body = {
        "source": job.source,
        "entry": job.code.entry,
        "modules": dict(job.code.modules),
        "params": dict(job.params),
        "limits": {
            "wall_seconds": limits.wall_seconds,
            "output_bytes": limits.output_bytes,
            "report_bytes": limits.report_bytes,
            "tmpfs_mib": limits.tmpfs_mib,
        },
    }
    return frames.encode({"job": body}, JOB_BYTES)


def run_attempt(
    container: Container, frame: bytes, limits: Limits, tell: Callable[[str], None]
) -> Attempt:
    """Start a container, hand it a job, wait for its facts.

    Args:
        container: created, not started. Left attached; the caller hangs up and removes it.
        frame: from :func:`job_frame`.
        limits: those the container was made with.
        tell: hears each phase, printable.

    Raises:
        docker.errors.DockerException, requests.RequestException, OSError: the engine refused
            to start it, or is gone.
    """
    begin = time.monotonic()
    seconds: dict[str, float] = {}
    container.start()
    try:
        message = container.receive(begin + limits.ready_seconds)
        seconds["start"] = time.monotonic() - begin
    except TimeoutError:
        return _trouble(
            limits,
            f"the container was not ready after {limits.ready_seconds:g} s{_errors(container)}; "
            "free the machine, or raise the limit",
            seconds,
        )
    except ContainerGone as error:
        return _gone(container, limits, error, False, seconds)
    ready = message.get("ready")
    protocol = ready.get("protocol") if isinstance(ready, dict) else None
    if protocol != PROTOCOL:
        return _trouble(
            limits,
            f"expected a guest image that speaks protocol {PROTOCOL}, found {protocol}; "
            "build it anew with `llmatic-orch image build`",
            seconds,
        )
    sent = time.monotonic()
    tell("running")
    until = sent + limits.wall_seconds + GRACE_SECONDS
    try:
        container.send(frame, GRACE_SECONDS)
        while "done" not in (message := container.receive(until)):
            phase, note = str(message.get("phase", "")), str(message.get("note", ""))
            tell(one_line(f"{phase} {note}".strip(), 100))
    except TimeoutError:
        return _trouble(
            limits,
            f"the supervisor did not answer {GRACE_SECONDS:g} s after the job's deadline",
            seconds,
        )
    except ContainerGone as error:
        seconds["run"] = time.monotonic() - sent
        return _gone(container, limits, error, True, seconds)
    seconds["run"] = time.monotonic() - sent
    done = message["done"]
    return Attempt(
        _facts(limits, done),
        printable(str(done["stdout"])),
        printable(str(done["stderr"])),
        seconds,
    )


def _facts(limits: Limits, done: dict[str, Any]) -> Facts:
    return Facts(
        **_limits(limits),
        candidate_ran=done["candidate_ran"],
        stopped_for=done["stopped_for"],
        state=done["state"],
        detail=done["detail"],
        exit_code=done["exit_code"],
        signal=done["signal"],
        oom_kills=done["oom_kills"],
        unclean=done["unclean"],
        phase=done["phase"],
        said=done["said"],
    )


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "wall_seconds": limits.wall_seconds,
        "memory_mib": limits.memory_mib,
        "output_bytes": limits.output_bytes,
        "report_bytes": limits.report_bytes,
    }


def _trouble(limits: Limits, text: str, seconds: dict[str, float]) -> Attempt:
    return Attempt(Facts(trouble=text, **_limits(limits)), seconds=seconds)


def _gone(
    container: Container, limits: Limits, error: Exception, sent: bool, seconds: dict[str, float]
) -> Attempt:
    """The line ended: ask the engine what became of the container."""
    when = "while the job ran" if sent else "before it was ready"
    try:
        state = container.state()
    except ENGINE_ERRORS as engine_error:
        text = f"the container was lost {when} ({error}; {engine_error})"
        return _trouble(limits, text, seconds)
    died = bool(state.get("OOMKilled")) and not state.get("Running")
    text = f"the container ended {when} with status {state.get('ExitCode')} ({error})"
    if died:
        text = (
            f"the container was killed for memory {when}: {limits.memory_mib} MiB are too little; "
            "raise the limit"
        )
    return Attempt(
        Facts(
            trouble=text + _errors(container), memory_died=died, job_sent=sent, **_limits(limits)
        ),
        seconds=seconds,
    )


def _errors(container: Container) -> str:
    last = container.errors.splitlines()
    return f"; it said: {last[-1]}" if last else ""
