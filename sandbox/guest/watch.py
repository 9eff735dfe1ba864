"""Watches one child from its fork to the last trace of its user, and collects the facts.

Facts are what the supervisor saw, not what the child says: how it ended, what it had said by
then, whether it was stopped and for what. Whose fault that makes it is decided on the host, by
:mod:`sandbox.classify`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Mapping
from typing import Any, Protocol

from sandbox.guest import frames, kernel
from sandbox.guest.capture import Capture
from sandbox.guest.child import run_child

#: How often the count of processes killed for memory is looked at.
POLL_SECONDS = 0.25
#: How long a child whose helper was killed for memory may take to end on its own.
MEMORY_SECONDS = 1.0
#: How long a child may take to end after its report; honest ones end at once.
LINGER_SECONDS = 5.0
#: How long killed processes may take to be gone.
GONE_SECONDS = 10.0
#: At least this long between two phases that are passed on.
PHASE_SECONDS = 0.05
#: A child may say so many phases; honest ones say a few hundred.
MAX_PHASES = 100_000
#: Room in a child's frame beside its report.
SLACK = 4096
#: How deep a child's message may nest: less than the host takes, since facts are around it.
DEPTH = 48
CHUNK = 1 << 16
MESSAGES = frozenset({"report", "refusal", "failure", "unsendable"})


class InboxLike(Protocol):
    """The host's line, watched while a job runs."""

    fd: int

    def poll(self) -> None:
        """Read once; raises where the host is gone."""


class OutboxLike(Protocol):
    """The line to the host."""

    def send(self, message: dict[str, Any]) -> None:
        """Write one message."""


class Watch:
    """One job: ``Watch(...).run()`` gives its facts, once everything of it is gone."""

    def __init__(
        self, job: Mapping[str, Any], uid: int, inbox: InboxLike, outbox: OutboxLike
    ) -> None:
        self._job, self._uid, self._inbox, self._outbox = job, uid, inbox, outbox
        limits = job["limits"]
        self._start = time.monotonic()
        self._deadline = self._start + float(limits["wall_seconds"])
        self._output_bytes = int(limits["output_bytes"])
        self._longest = int(limits["report_bytes"]) + SLACK
        self._reader = frames.FrameReader(self._longest)
        self._oom_before = kernel.oom_kills()
        self._out, self._err = Capture(), Capture()
        self._said: dict[str, Any] | None = None
        self._state = "none"
        self._detail = ""
        self._phase, self._candidate_ran = "start", False
        self._phases, self._phase_sent = 0, 0.0
        self._unsent: dict[str, Any] | None = None
        self._status: int | None = None
        self._stopped_for = ""
        self._spoken: float | None = None
        self._oom_seen: float | None = None

    def run(self) -> dict[str, Any]:
        """Fork, watch, clean up.

        Raises:
            HostGone: nobody is left to hear the facts.
        """
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._pid = os.fork()
        if self._pid == 0:
            run_child(self._job, self._uid, *(write for _, write in pipes))
        try:
            for read, write in pipes:
                os.close(write)
                os.set_blocking(read, False)
            self._report, self._out_fd, self._err_fd = (read for read, _ in pipes)
            with selectors.DefaultSelector() as selector:
                for fd in (self._report, self._out_fd, self._err_fd, wake, self._inbox.fd):
                    selector.register(fd, selectors.EVENT_READ)
                self._watch(selector, wake)
            return self._finish()
        finally:
            signal.set_wakeup_fd(-1)
            for fd in (wake, woken, *(read for read, _ in pipes)):
                os.close(fd)

    def _watch(self, selector: selectors.BaseSelector, wake: int) -> None:
        """Until the child has ended or has to be stopped."""
        while self._status is None and not self._stopped_for:
            now = time.monotonic()
            if now >= self._deadline:
                self._stopped_for = "deadline"
                return
            self._look_at_memory(now)
            self._look_at_lingering(now)
            self._tell_phase(now)
            poll = POLL_SECONDS if self._unsent is None else PHASE_SECONDS
            timeout = min(self._deadline - now, poll)
            for key, _ in selector.select(timeout):
                fd = key.fd
                # Whatever was written before the deadline but is read after it does not count.
                if time.monotonic() >= self._deadline:
                    break
                if fd == self._inbox.fd:
                    self._inbox.poll()
                elif fd == wake:
                    os.read(wake, CHUNK)
                elif not self._read(fd):
                    selector.unregister(fd)
            self._reap()

    def _look_at_memory(self, now: float) -> None:
        if kernel.oom_kills() == self._oom_before:
            return
        if self._oom_seen is None:
            self._oom_seen = now
        elif now - self._oom_seen > MEMORY_SECONDS:
            self._stopped_for = "memory"

    def _look_at_lingering(self, now: float) -> None:
        if self._spoken is not None and now - self._spoken > LINGER_SECONDS:
            self._stopped_for = "lingering"

    def _reap(self) -> None:
        """Collect every process that ended; as process 1 we inherit the orphans too."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._pid:
                    self._status = status

    def _read(self, fd: int) -> bool:
        """Take what a pipe holds, once; False when it has ended."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        if fd == self._report:
            self._hear(data)
        else:
            (self._out if fd == self._out_fd else self._err).feed(data)
            if self._out.total + self._err.total > self._output_bytes:
                self._stopped_for = self._stopped_for or "flood"
        return True

    def _hear(self, data: bytes) -> None:
        if self._state in ("malformed", "too_big", "duplicate"):
            return
        try:
            for payload in self._reader.feed(data):
                self._take(frames.decode(payload, DEPTH))
        except frames.FrameTooLong as error:
            self._violated("too_big", str(error))
        except frames.FrameError as error:
            self._violated("malformed", str(error))

    def _take(self, message: Any) -> None:
        """One message of the child's. What is no message of ours is a FrameError too."""
        if not isinstance(message, dict):
            raise frames.FrameError("a frame that is no message")
        if self._said is not None:
            self._violated("duplicate", "a second message after the report")
        elif message.keys() == {"phase", "note"}:
            self._enter(message["phase"], message["note"])
        elif len(message) == 1 and message.keys() <= MESSAGES:
            # As we shall write it, it may be longer than as it came: 1e15 is 1000000000000000.0.
            frames.encode(message, self._longest)
            self._said = message
            self._state = "valid"
            self._spoken = time.monotonic()
            if "unsendable" in message:
                self._violated("malformed", str(message["unsendable"])[:300])
        else:
            raise frames.FrameError("a frame that is no message")

    def _enter(self, phase: Any, note: Any) -> None:
        if not (isinstance(phase, str) and isinstance(note, str)):
            raise frames.FrameError("a phase that is no text")
        self._phases += 1
        if len(phase) > 32 or len(note) > 64 or self._phases > MAX_PHASES:
            raise frames.FrameError("more phases, or longer ones, than a task may say")
        self._phase = phase
        # Once and for all: after this no claim about an earlier phase is believed.
        self._candidate_ran = self._candidate_ran or phase not in ("start", "syntax")
        self._unsent = {"phase": phase, "note": note}

    def _tell_phase(self, now: float) -> None:
        """Pass the last phase on, now and then."""
        if self._unsent is not None and now - self._phase_sent >= PHASE_SECONDS:
            self._outbox.send(self._unsent)
            self._phase_sent, self._unsent = now, None

    def _violated(self, state: str, detail: str) -> None:
        self._state, self._detail = state, detail
        self._stopped_for = self._stopped_for or "violation"

    def _finish(self) -> dict[str, Any]:
        """Kill what is left of the user, take what the pipes still hold, and sum up."""
        ended = time.monotonic()
        left = [pid for pid in kernel.processes_of(self._uid) if pid != self._pid]
        unclean = not self._clear()
        # Every writer is dead: the pipes hold a bounded rest, and end.
        for fd in (self._out_fd, self._err_fd):
            while not unclean and self._read(fd):
                pass
        stopped = self._stopped_for in ("deadline", "memory", "lingering", "flood")
        while not unclean and not stopped and self._read(self._report):
            pass
        if self._reader.incomplete and self._state in ("none", "valid") and not stopped:
            # Not stopped for it: a child that died in mid-frame may have been an honest one.
            self._state, self._detail = "malformed", "the last frame is not complete"
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        return {
            "phase": self._phase,
            "candidate_ran": self._candidate_ran,
            "stopped_for": self._stopped_for,
            "state": self._state,
            "detail": self._detail,
            "said": self._said if self._state == "valid" else None,
            "exit_code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "oom_kills": kernel.oom_kills() - self._oom_before,
            "leftovers": len(left),
            "unclean": unclean,
            "seconds": ended - self._start,
            "stdout": self._out.text(),
            "stderr": self._err.text(),
        }

    def _clear(self) -> bool:
        """Whether no process of the user is left."""
        until = time.monotonic() + GONE_SECONDS
        while True:
            kernel.kill_user(self._uid)
            if self._status is None:
                # It may not have become that user yet.
                os.kill(self._pid, signal.SIGKILL)
            self._reap()
            if self._status is not None and not kernel.processes_of(self._uid):
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.002)
