"""The limits under which one candidate runs. Each is an option of the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Resource limits of one container and of the job in it.

    Attributes:
        memory_mib: memory of the container, in MiB; swap is off.
        cpus: CPU time per wall-clock time, in cores.
        pids: processes and threads in the container.
        wall_seconds: from the job's arrival in the guest to its report.
        ready_seconds: from container start until the supervisor says it is ready (ours: a
            container that takes longer is a ``sandbox_error``).
        tmpfs_mib: size of each writable tmpfs (``/tmp`` and the candidate's working directory).
        shm_mib: size of ``/dev/shm``.
        source_bytes: longest source that is taken; longer ones are ``rejected``.
        output_bytes: bytes of stdout and stderr together that a candidate may write before it is
            stopped as ``output_flood``.
        report_bytes: longest report that is read; a longer one is a ``protocol_violation``.
    """

    memory_mib: int = 2048
    cpus: float = 1.0
    pids: int = 64
    wall_seconds: float = 60.0
    ready_seconds: float = 60.0
    tmpfs_mib: int = 64
    shm_mib: int = 64
    source_bytes: int = 256 * 1024
    output_bytes: int = 1024 * 1024
    report_bytes: int = 4 * 1024 * 1024
