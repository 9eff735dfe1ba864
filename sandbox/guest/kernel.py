"""What the supervisor asks of the Linux kernel: who runs, kill them all, who ran out of memory."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

#: Where a container finds its own count of processes killed for memory: cgroup v2, then v1.
OOM_FILES = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Set one property of this process, see the manual page of prctl.

    Raises:
        OSError: the kernel refused.
    """
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def oom_kills() -> int:
    """How many processes of this container the kernel has killed for memory; 0 if unknown."""
    for path in OOM_FILES:
        try:
            with open(path, encoding="ascii") as file:
                for line in file:
                    name, _, count = line.partition(" ")
                    if name == "oom_kill":
                        return int(count)
        except (OSError, ValueError):
            continue
    return 0


def processes_of(uid: int) -> list[int]:
    """Process ids, zombies left out, of a user in this container."""
    found: list[int] = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/status", encoding="utf-8", errors="replace") as file:
                status = file.read()
        except OSError:
            continue
        if f"\nUid:\t{uid}\t" in status and "\nState:\tZ" not in status:
            found.append(int(entry))
    return found


def kill_user(uid: int) -> None:
    """Kill every process of a user, at once.

    ``kill(-1)`` holds the kernel's process table, so a fork bomb cannot outrun it as it outruns
    one kill at a time; and taking the user's id for that one call limits it to that user's
    processes. The caller is process 1, which ``kill(-1)`` spares. It needs no new process, which
    a fork bomb might have left no room for. The saved and the real user id stay root's, so that the
    user can neither signal nor trace the supervisor meanwhile.
    """
    os.seteuid(uid)
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.seteuid(0)
