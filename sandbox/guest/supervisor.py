"""The supervisor: process 1 of the container. Forks a child per job, and judges from outside.

It is the only trusted process here. It imports torch once, says that it is ready, and then reads
jobs from its standard input and writes what became of them to what was its standard output:
frames in both directions, see :mod:`sandbox.guest.frames`.

From the host: ``{"job": {"source", "entry", "modules", "params", "limits"}}``.
To the host: ``{"ready": {"protocol", "torch"}}`` once; then for each job any number of
``{"phase", "note"}`` and exactly one ``{"done": facts}``.
When the standard input ends, the host is gone, and so the supervisor ends.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from sandbox.guest import PROTOCOL, frames, kernel
from sandbox.guest.watch import Watch

#: Jobs get users from here on, a new one each.
FIRST_UID = 20000
#: The longest job that is taken from the host, which is trusted but may be mistaken.
JOB_BYTES = 64 * 2**20
CHUNK = 1 << 16


class HostGone(Exception):
    """The standard input ended."""


class Inbox:
    """Jobs from the host. ``poll`` notices its going while a job runs."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._reader = frames.FrameReader(JOB_BYTES)
        self._waiting: list[bytes] = []

    def poll(self) -> None:
        """Read once; only where the descriptor is readable.

        Raises:
            HostGone: it ended.
        """
        data = os.read(self.fd, CHUNK)
        if not data:
            raise HostGone
        self._waiting += self._reader.feed(data)

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Every job, in order, until the host is gone."""
        while True:
            while not self._waiting:
                try:
                    self.poll()
                except HostGone:
                    return
            message = frames.decode(self._waiting.pop(0))
            yield message["job"]


class Outbox:
    """Messages to the host."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, message: dict[str, Any]) -> None:
        """Write one message, whole."""
        data = memoryview(frames.encode(message, 2**32 - 1))
        while data:
            data = data[os.write(self._fd, data) :]


def main() -> None:
    """Serve the host until it is gone."""
    # The real standard streams become private; whatever prints by accident goes to stderr, which
    # the host shows only where the sandbox itself failed.
    inbox, outbox = Inbox(os.dup(0)), Outbox(os.dup(1))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    sys.dont_write_bytecode = True
    os.umask(0o077)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)

    import torch

    # What exists now is shared with every child as it is, and never looked at by its collector.
    gc.collect()
    gc.freeze()
    outbox.send({"ready": {"protocol": PROTOCOL, "torch": str(torch.__version__)}})
    for number, job in enumerate(inbox.jobs()):
        try:
            facts = Watch(job, FIRST_UID + number, inbox, outbox).run()
        except HostGone:
            break
        outbox.send({"done": facts})
    _end()


def _end() -> None:
    # Process 1 takes every process of the container with it; no interpreter clean-up needed.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os._exit(0)
