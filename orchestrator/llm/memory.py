"""What this machine can still give: memory for a model, cores for its threads."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

#: Where a container's memory limit and use stand, for control groups version 2 and 1.
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int:
    """Bytes that a new allocation can count on: the machine's, or less in a limited container."""
    available = int(psutil.virtual_memory().available)
    for limit, used in _CGROUPS:
        try:
            room = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):
            continue
        available = min(available, max(room, 0))
    return available


def usable_cores() -> int:
    """Physical cores that this process may run on; hyperthreads only slow llama.cpp down."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, psutil.cpu_count(logical=False) or 1))
