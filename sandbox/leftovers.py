"""Removes containers that a dead run left behind, and no others.

Every container carries the id of its run and says which process made it. A process is named by
its machine (boot id), its process-id namespace, its number and its start time, since numbers are
used again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

import docker

from sandbox.engine import ENGINE_ERRORS, engine_gone

SANDBOX = "llmatic-orch"
RUN = "llmatic-orch.run"
OWNER = "llmatic-orch.owner"
#: Containers that are removed side by side.
REMOVERS = 8


def labels(run_id: str) -> dict[str, str]:
    """The labels of a container that this process makes for a run."""
    return {SANDBOX: "sandbox", RUN: run_id, OWNER: owner()}


def owner() -> str:
    """Name this process in a form that :func:`owner_is_dead` can judge later."""
    pid = os.getpid()
    return " ".join([*_world(), str(pid), _start_time(pid) or "?"])


def owner_is_dead(text: str) -> bool:
    """Whether the process of an owner label is known to be gone.

    A process of another machine, or of another process-id namespace of this one, cannot be seen
    from here: it counts as alive.
    """
    parts = text.split(" ")
    if len(parts) != 5 or not parts[3].isdigit():
        return False
    host, boot, namespace = _world()
    if parts[0] != host:
        return False
    if parts[1] != boot:
        return "?" not in (parts[1], boot)
    if parts[2] != namespace:
        return False
    return _start_time(int(parts[3])) != parts[4]


def remove_leftovers(client: docker.DockerClient, run_id: str | None = None) -> int:
    """Remove the containers whose owner is dead, and all of ``run_id``; returns how many.

    The lock of a run's folder has one owner, so whatever else carries its id is left over.

    Raises:
        SandboxUnavailable: the engine does not answer.
    """
    try:
        found = client.api.containers(all=True, filters={"label": f"{SANDBOX}=sandbox"})
    except ENGINE_ERRORS as error:
        raise engine_gone(error) from error
    left = [str(entry["Id"]) for entry in found if _is_left(entry.get("Labels") or {}, run_id)]
    return remove_all(client, left)


def remove_run(client: docker.DockerClient, run_id: str) -> int:
    """Remove every container of a run; returns how many. Raises what the SDK raises."""
    found = client.api.containers(all=True, filters={"label": f"{RUN}={run_id}"})
    return remove_all(client, [str(entry["Id"]) for entry in found])


def remove_all(client: docker.DockerClient, ids: list[str]) -> int:
    """Kill and remove containers, side by side. Those already gone are fine."""
    waiting, removed = list(ids), []

    def work() -> None:
        while waiting:
            with contextlib.suppress(IndexError):
                removed.append(remove(client, waiting.pop()))

    threads = [threading.Thread(target=work, name="sandbox-remove") for _ in ids[:REMOVERS]]
    started = []
    # No pool: at the end of the process, where this is called too, Python gives out none.
    with contextlib.suppress(RuntimeError):
        for thread in threads:
            thread.start()
            started.append(thread)
    work()
    for thread in started:
        thread.join()
    return sum(removed)


def remove(client: docker.DockerClient, identifier: str) -> bool:
    """Kill and remove one container; whether it was there and is gone now."""
    try:
        client.api.remove_container(identifier, force=True, v=True)
    except docker.errors.NotFound:
        return False
    except docker.errors.APIError as error:
        # 409: someone else is removing it right now.
        return error.status_code == 409
    except ENGINE_ERRORS:
        return False
    return True


def _is_left(container_labels: dict[str, Any], run_id: str | None) -> bool:
    if run_id is not None and container_labels.get(RUN) == run_id:
        return True
    return owner_is_dead(str(container_labels.get(OWNER, "")))


def _world() -> tuple[str, str, str]:
    host = socket.gethostname().replace(" ", "_") or "?"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return host, "?", "?"
    return host, boot, namespace


def _start_time(pid: int) -> str | None:
    """Clock ticks since boot at which a process started; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        if os.path.isdir("/proc/self"):
            return None
        return "?" if _exists(pid) else None
    return stat.rpartition(")")[2].split()[19]


def _exists(pid: int) -> bool:
    """Where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
