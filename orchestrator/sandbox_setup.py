"""Opens the sandbox as a command asks for it: the engine, a fresh guest image, the slots."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from images.progress import Tell, silent
from sandbox.executor import Executor, SandboxUnavailable
from sandbox.job import Job
from sandbox.limits import Limits
from sandbox.outcome import Outcome


def default_slots() -> int:
    """As many sandboxes side by side as there are cores for them, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, cores or 1)


@dataclass(frozen=True)
class SandboxOptions:
    """How jobs are run.

    Attributes:
        limits: of each container.
        slots: containers side by side.
        runtime: the engine's runtime by name (``runsc``), or None for its default.
        device: ``cpu`` or ``cuda``; which guest image.
        image: an image to use as it is, or None for this installation's own, kept fresh.
    """

    limits: Limits = field(default_factory=Limits)
    slots: int = field(default_factory=default_slots)
    runtime: str | None = None
    device: str = "cpu"
    image: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values, as stored with a run."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SandboxOptions:
        """Back from JSON; what an older version did not know keeps its default."""
        known = {f.name for f in fields(Limits)}
        limits = {k: v for k, v in dict(values.get("limits", {})).items() if k in known}
        own = {f.name for f in fields(cls)} - {"limits"}
        return cls(limits=Limits(**limits), **{k: v for k, v in values.items() if k in own})


@contextmanager
def open_sandbox(
    options: SandboxOptions, run_id: str | None = None, tell: Tell = silent
) -> Iterator[Executor]:
    """A working executor; closed, with every container gone, at the end.

    Args:
        options: how jobs are run.
        run_id: names the containers of a run, so that its next session removes what a crash
            left behind; None for work that is no run.
        tell: hears about an image that has to be built.

    Raises:
        ImageError: there is no engine, or the image cannot be built.
        SandboxUnavailable: the engine cannot do what the options ask for.
    """
    from images.build import ensure_guest_image
    from images.engine import connect
    from sandbox.docker_executor import DockerExecutor

    if options.device != "cpu":
        # No GPU is handed to a container yet: to go on would be to train on the CPU unsaid.
        raise SandboxUnavailable(
            f"expected --device cpu, found {options.device}: candidates cannot be given a GPU yet, "
            "and would run on the CPU; leave --device out"
        )
    client = connect()
    image = options.image or ensure_guest_image(client, options.device, tell=tell)
    executor = DockerExecutor(
        image,
        options.limits,
        options.slots,
        run_id or f"adhoc-{uuid.uuid4().hex[:12]}",
        runtime=options.runtime,
        client=client,
    )
    try:
        yield executor
    finally:
        executor.close()


@contextmanager
def sandbox_runner() -> Iterator[Callable[[Job], Outcome]]:
    """A function that runs one job after another under the default options."""
    with open_sandbox(SandboxOptions(slots=1)) as executor:
        yield lambda job: executor.submit(job).result()
