"""The seam between the search and whatever runs jobs: submit a job, get its outcome.

Local Docker slots come first (:mod:`sandbox.docker_executor`); a cluster engine can take the same
seam later, so nothing above it may assume one machine.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from sandbox.job import Job
from sandbox.outcome import Outcome


class SandboxUnavailable(Exception):
    """The sandbox cannot work at all: no engine, no image, an option that it cannot enforce.

    Says what was expected, what was found and what to do. The run stays resumable.
    """


@dataclass(frozen=True)
class SlotState:
    """What one slot is doing, for the live view.

    Attributes:
        slot: 0-based index.
        phase: ``idle``, ``starting`` (container not ready yet), or ``running``; a task may report
            finer phases while it runs (``import``, ``build``, ``train 3/50`` ...).
        tag: the tag the job was submitted with (the search uses ``"candidate 17"``), or empty.
        since: ``time.monotonic()`` at which the slot entered this phase.
    """

    slot: int
    phase: str
    tag: str
    since: float


class Executor(Protocol):
    """Runs jobs, a fixed number at a time."""

    @property
    def slots(self) -> list[SlotState]:
        """A snapshot of what every slot is doing."""
        ...

    def submit(self, job: Job, tag: str = "") -> Future[Outcome]:
        """Queue a job. Returns at once; jobs start in the order they were submitted.

        The future never raises for anything a candidate did. It raises
        :class:`SandboxUnavailable` when the sandbox as a whole is gone (the engine stopped, the
        image was removed), after retries.
        """
        ...

    def close(self) -> None:
        """Cancel what is queued, kill what runs, remove every container. Idempotent."""
        ...
