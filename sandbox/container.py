"""One single-use container: its configuration, and the line to the supervisor in it."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import docker
from docker.types import LogConfig, Mount, Ulimit

from sandbox.guest import frames
from sandbox.guest.printable import decoded
from sandbox.leftovers import labels
from sandbox.limits import Limits

#: All that the supervisor needs of root: to become the candidate's user, and to kill its processes.
CAPABILITIES = ["SETUID", "SETGID", "KILL"]
#: The candidate's working directory, as the guest knows it.
WORK = "/candidate"
#: Room in a frame of the supervisor's beside the report: facts, and both captured streams, which
#: JSON may need six bytes a character for.
SLACK = 2**20
STDERR_BYTES = 4096


class ContainerGone(Exception):
    """The line to the supervisor ended: the container, or the engine, is gone."""


@dataclass(frozen=True)
class Recipe:
    """What every container of an executor is made from; worked out once.

    Attributes:
        image: image id.
        limits: of the container.
        run_id: for the label.
        runtime: the engine's runtime by name, or None for its default.
    """

    image: str
    limits: Limits
    run_id: str
    runtime: str | None = None

    def config(self, api: docker.APIClient, mounts: Sequence[Mount] = ()) -> dict[str, Any]:
        """The body of the engine's request to create such a container, with these mounts."""
        limits = self.limits
        memory = limits.memory_mib * 2**20
        tmpfs = f"rw,nosuid,nodev,noexec,size={limits.tmpfs_mib}m,nr_inodes=16384,mode=1777"
        threads = str(max(1, math.ceil(limits.cpus)))
        host: dict[str, Any] = api.create_host_config(
            network_mode="none",
            read_only=True,
            mem_limit=memory,
            # The same for memory and swap together: none of it is swap.
            memswap_limit=memory,
            nano_cpus=int(limits.cpus * 1e9),
            pids_limit=limits.pids,
            tmpfs={"/tmp": tmpfs, WORK: tmpfs},
            mounts=list(mounts),
            shm_size=limits.shm_mib * 2**20,
            cap_drop=["ALL"],
            cap_add=CAPABILITIES,
            security_opt=["no-new-privileges"],
            ipc_mode="private",
            log_config=LogConfig(type=LogConfig.types.NONE),
            ulimits=[
                Ulimit(name="core", soft=0, hard=0),
                Ulimit(name="nofile", soft=1024, hard=1024),
            ],
            runtime=self.runtime,
        )
        body: dict[str, Any] = api.create_container_config(
            self.image,
            None,
            stdin_open=True,
            user="0:0",
            working_dir="/",
            network_disabled=True,
            environment={
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
                "OPENBLAS_NUM_THREADS": threads,
            },
            labels=labels(self.run_id),
            host_config=host,
        )
        return body


class Demultiplexer:
    """Takes the engine's attach stream apart, however its bytes are split on their way.

    Each part is a header of eight bytes (stream number, three zeros, length) and the data.
    """

    _HEADER = struct.Struct(">BxxxL")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream, self._left = 0, 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes in; yields ``(stream, bytes)``, 1 for stdout, 2 for stderr."""
        self._buffer += data
        while self._buffer:
            if self._left == 0:
                if len(self._buffer) < self._HEADER.size:
                    return
                self._stream, self._left = self._HEADER.unpack_from(self._buffer)
                del self._buffer[: self._HEADER.size]
                continue
            part = bytes(self._buffer[: self._left])
            del self._buffer[: self._left]
            self._left -= len(part)
            yield self._stream, part


class Container:
    """A container from its creation to the end of its line. Removed by whoever made it.

    The line is attached before the start, so nothing that the supervisor says is missed.
    """

    def __init__(self, api: docker.APIClient, config: dict[str, Any], report_bytes: int) -> None:
        """Create the container; it does not run yet. Raises what the SDK raises."""
        self._api = api
        self.id: str = api.create_container_from_config(config)["Id"]
        self._line: Any = None
        self._raw: Any = None
        self._demultiplexer = Demultiplexer()
        self._reader = frames.FrameReader(report_bytes + SLACK)
        self._messages: list[dict[str, Any]] = []
        self._errors = bytearray()

    def start(self) -> None:
        """Attach, and start. Raises what the SDK raises."""
        self._line = self._api.attach_socket(
            self.id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        )
        # For plain sockets the SDK hands out a reader whose socket is underneath.
        self._raw = getattr(self._line, "_sock", self._line)
        self._api.start(self.id)

    def send(self, frame: bytes, seconds: float) -> None:
        """Send a frame to the supervisor.

        Raises:
            ContainerGone: the line has ended.
            TimeoutError: it was not taken in time.
        """
        try:
            self._raw.settimeout(seconds)
            self._raw.sendall(frame)
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise ContainerGone(str(error)) from error

    def receive(self, until: float) -> dict[str, Any]:
        """The supervisor's next message.

        Args:
            until: ``time.monotonic()`` at which to give up.

        Raises:
            ContainerGone: the line has ended, or carries no frames.
            TimeoutError: there was none in time.
        """
        while not self._messages:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                self._raw.settimeout(left)
                data = self._raw.recv(1 << 16)
            except TimeoutError:
                raise
            except (OSError, ValueError) as error:
                raise ContainerGone(str(error)) from error
            if not data:
                raise ContainerGone("its output ended")
            try:
                self._take(data)
            except frames.FrameError as error:
                raise ContainerGone(f"what it wrote is no message: {error}") from error
        return self._messages.pop(0)

    def _take(self, data: bytes) -> None:
        for stream, part in self._demultiplexer.feed(data):
            if stream == 2:
                self._errors += part
                del self._errors[:-STDERR_BYTES]
                continue
            for payload in self._reader.feed(part):
                message = frames.decode(payload)
                if not isinstance(message, dict):
                    raise frames.FrameError("not an object")
                self._messages.append(message)

    @property
    def errors(self) -> str:
        """The last that the supervisor wrote to its stderr, printable."""
        return decoded(bytes(self._errors)).strip()

    def state(self) -> dict[str, Any]:
        """The engine's word on a container that ended: waits for its end, a few seconds.

        Raises what the SDK raises.
        """
        with contextlib.suppress(docker.errors.DockerException, OSError):
            self._api.wait(self.id, timeout=5)
        state: dict[str, Any] = self._api.inspect_container(self.id)["State"]
        return state

    def hang_up(self) -> None:
        """End the line. The supervisor, if it still runs, ends with it."""
        if self._raw is None:
            return
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._raw.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._line.close()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._line._response.close()
