"""Brings a job's data to the engine: a volume for each content, filled through the engine's API.

A volume is named by the content that it holds, so that runs share it, and a content that changed
is another volume. No host folder is mounted: the engine may be on another machine. A marker is
written last; a volume without it was left half-filled, and is filled again.
"""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import Mount

from sandbox.engine import ENGINE_ERRORS, engine_gone
from sandbox.executor import SandboxUnavailable
from sandbox.job import DATA_ROOT, DataFolder
from sandbox.leftovers import SANDBOX, labels, remove

#: Label: the content that a volume holds, or is to hold.
CONTENT = "llmatic-orch.content"
MARKER = ".complete"
CHUNK = 1 << 20
_BLOCK = 512


class Volumes:
    """The volumes of one executor. Each content is looked at once, and filled where needed."""

    def __init__(self, client: docker.DockerClient, image: str, run_id: str) -> None:
        """Take the engine, the id of any image it has, and the run that containers belong to."""
        self._client, self._image, self._run_id = client, image, run_id
        self._ready: set[str] = set()
        self._lock = threading.Lock()

    def look_again(self) -> None:
        """Trust no volume any longer: someone may have removed one while this was open."""
        with self._lock:
            self._ready.clear()

    def mounts(self, data: tuple[DataFolder, ...]) -> list[Mount]:
        """What a container is to mount, read-only, for these folders; filled when this returns.

        Raises:
            SandboxUnavailable: a folder cannot be read, or the engine does not take it.
        """
        with self._lock:
            for folder in data:
                if folder.content not in self._ready:
                    self._bring(folder)
                    self._ready.add(folder.content)
        return [_mount(folder, read_only=True) for folder in data]

    def _bring(self, folder: DataFolder) -> None:
        try:
            sent = [_member(path.name, path.stat().st_size) for path in _paths(folder)]
        except OSError as error:
            raise SandboxUnavailable(
                f"expected the data {folder.name!r} in {folder.path}, found: {error.strerror}; "
                "start again, so that it is prepared anew"
            ) from error
        try:
            self._fill(folder, sent)
        except ImageNotFound:
            raise
        except APIError as error:
            raise SandboxUnavailable(
                f"expected the Docker engine to take the data {folder.name!r}, found: "
                f"{error.explanation or error}; free its disk (`docker system df`), then try again"
            ) from error
        except ENGINE_ERRORS as error:
            raise engine_gone(error) from error

    def _fill(self, folder: DataFolder, sent: list[tarfile.TarInfo]) -> None:
        """Fill the volume, where its marker is missing."""
        api = self._client.api
        name = volume_name(folder)
        api.create_volume(name, labels={SANDBOX: "data", CONTENT: folder.content})
        # Never started: it is only a way to the volume.
        host = api.create_host_config(network_mode="none", mounts=[_mount(folder, read_only=False)])
        identifier: str = api.create_container(
            self._image, host_config=host, labels=labels(self._run_id), network_disabled=True
        )["Id"]
        target = container_path(folder)
        try:
            if self._marker(identifier, target) == folder.content:
                return
            api.put_archive(identifier, target, _tar(folder.path, sent))
            api.put_archive(identifier, target, _marker_tar(folder.content))
        finally:
            remove(self._client, identifier)

    def _marker(self, identifier: str, target: str) -> str:
        """The content that the volume holds whole, or an empty string."""
        try:
            stream, _ = self._client.api.get_archive(identifier, f"{target}/{MARKER}")
            whole = io.BytesIO(b"".join(stream))
        except NotFound:
            return ""
        with tarfile.open(fileobj=whole) as archive:
            member = archive.extractfile(MARKER)
            return member.read(200).decode("ascii", "replace") if member else ""


def container_path(folder: DataFolder) -> str:
    """Where a container finds a data folder."""
    return f"{DATA_ROOT}/{folder.name}"


def volume_name(folder: DataFolder) -> str:
    """The engine's name of the volume."""
    return _name(folder.content)


def volumes(client: docker.DockerClient, content: str = "") -> list[str]:
    """Names of all data volumes that an engine has, or of the one of a content.

    Raises:
        SandboxUnavailable: the engine does not answer.
    """
    try:
        found = client.api.volumes(filters={"name": _name(content)})["Volumes"] or []
    except ENGINE_ERRORS as error:
        raise engine_gone(error) from error
    # The engine's filter takes names that hold the text anywhere.
    return sorted(v["Name"] for v in found if v["Name"].startswith(_name(content)))


def remove_volumes(client: docker.DockerClient, content: str = "") -> tuple[int, int]:
    """Remove the data volumes that no container uses; how many went, how many are in use.

    Raises:
        SandboxUnavailable: the engine does not answer.
    """
    gone = used = 0
    try:
        for name in volumes(client, content):
            try:
                client.api.remove_volume(name)
                gone += 1
            except NotFound:
                continue
            except APIError as error:
                if error.status_code != 409:
                    raise
                used += 1
    except ENGINE_ERRORS as error:
        raise engine_gone(error) from error
    return gone, used


def _name(content: str) -> str:
    return f"llmatic-orch-data-{content[:40]}"


def _mount(folder: DataFolder, read_only: bool) -> Mount:
    return Mount(
        container_path(folder),
        volume_name(folder),
        type="volume",
        read_only=read_only,
        no_copy=True,
    )


def _paths(folder: DataFolder) -> list[Path]:
    return sorted(path for path in folder.path.iterdir() if path.is_file())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o444
    return member


def _tar(folder: Path, members: list[tarfile.TarInfo]) -> Iterator[bytes]:
    """A tar stream, piece by piece: the data may be larger than the memory."""
    for member in members:
        path = folder / member.name
        yield member.tobuf(tarfile.GNU_FORMAT)
        left = member.size
        with path.open("rb") as stream:
            while left:
                chunk = stream.read(min(CHUNK, left))
                if not chunk:
                    raise SandboxUnavailable(
                        f"expected {member.size} bytes in {path}, found fewer while it was sent; "
                        "remove that folder, then try again"
                    )
                left -= len(chunk)
                yield chunk
        yield b"\0" * (-member.size % _BLOCK)
    yield b"\0" * (2 * _BLOCK)


def _marker_tar(content: str) -> bytes:
    data = content.encode("ascii")
    padding = b"\0" * (-len(data) % _BLOCK + 2 * _BLOCK)
    return _member(MARKER, len(data)).tobuf(tarfile.GNU_FORMAT) + data + padding
