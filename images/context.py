"""What goes into the guest image: its files, their hash, and the tar stream an engine is sent."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import Path

from images.errors import ImageError

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Sources:
    """Where the image's files are read from: folders of a checkout, or of an installed wheel.

    Attributes:
        images: holds ``Dockerfile`` and ``requirements/<device>.txt``.
        guest: the package ``sandbox.guest``.
    """

    images: Traversable
    guest: Traversable

    @classmethod
    def installed(cls) -> Sources:
        """The sources beside the code that is running."""
        return cls(files("images"), files("sandbox.guest"))


def image_files(device: str, sources: Sources | None = None) -> dict[str, bytes]:
    """The build context but for the wheels: path in the context -> content.

    Raises:
        ImageError: the device is unknown, or a file of the package is absent.
    """
    if device not in DEVICES:
        raise ImageError(f"expected a device out of {', '.join(DEVICES)}; found {device!r}")
    sources = sources or Sources.installed()
    requirements = f"requirements/{device}.txt"
    try:
        found = {
            "Dockerfile": (sources.images / "Dockerfile").read_bytes(),
            requirements: (sources.images / "requirements" / f"{device}.txt").read_bytes(),
            # Empty in the guest: the host's side of the package has no business there.
            "guest/__init__.py": b"",
        }
        found.update(_tree(sources.guest, "guest/guest"))
    except OSError as error:
        raise ImageError(
            f"expected the guest image's files in the installed package; found {error}; "
            "reinstall llmatic-orch"
        ) from error
    return found


def _tree(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.startswith((".", "__pycache__")) or entry.name.endswith(".pyc"):
            continue
        if entry.is_dir():
            yield from _tree(entry, f"{prefix}/{entry.name}")
        else:
            yield f"{prefix}/{entry.name}", entry.read_bytes()


def content_hash(image: Mapping[str, bytes], device: str, base_id: str) -> str:
    """SHA-256, in hex, of all that decides what the image will hold."""
    digest = hashlib.sha256(f"{device}\0{base_id}\0".encode())
    for name in sorted(image):
        # Lengths first, so that no two different sets of files read the same.
        digest.update(f"{len(name.encode())} {name} {len(image[name])}\0".encode())
        digest.update(image[name])
    return digest.hexdigest()


def tar_stream(image: Mapping[str, bytes], wheels: Sequence[Path]) -> Iterator[bytes]:
    """The context as a tar stream, root-owned and writable by its owner alone.

    It is streamed because the wheels of ``cuda`` are gigabytes, which neither memory nor a
    temporary folder may have room for.

    Raises:
        ImageError: a wheel could not be read.
    """
    reader, writer = os.pipe()
    failure: list[OSError] = []

    def write() -> None:
        try:
            with (
                os.fdopen(writer, "wb") as sink,
                tarfile.open(fileobj=sink, mode="w|", bufsize=1 << 20) as archive,
            ):
                for folder in _folders(image):
                    archive.addfile(_member(folder, 0o755, tarfile.DIRTYPE))
                for name, data in image.items():
                    archive.addfile(_member(name, 0o644, size=len(data)), io.BytesIO(data))
                for wheel in wheels:
                    with wheel.open("rb") as stream:
                        size = wheel.stat().st_size
                        archive.addfile(_member(f"wheels/{wheel.name}", 0o644, size=size), stream)
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=write, name="build-context", daemon=True)
    thread.start()
    # Closing the reader first makes a writer that nobody reads fail instead of waiting.
    try:
        with os.fdopen(reader, "rb") as source:
            while chunk := source.read(1 << 20):
                yield chunk
    finally:
        thread.join(timeout=10)
    if failure:
        raise ImageError(f"could not send the build context: {failure[0]}") from failure[0]


def _folders(image: Mapping[str, bytes]) -> list[str]:
    names = {"wheels"}
    for name in image:
        names.update(str(parent) for parent in Path(name).parents if str(parent) != ".")
    return sorted(names)


def _member(name: str, mode: int, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.type, member.size = mode, kind, size
    return member
