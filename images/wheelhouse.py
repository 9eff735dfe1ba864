"""Fetches the guest's wheels on the host, with the host's own pip settings.

This is the way that works behind a proxy or a private index: what pip reaches here is enough, and
the container is built without any network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from images.cache import cache_dir
from images.errors import ImageError
from images.progress import Event, Tell

#: The Python of every guest.
PYTHON = (3, 11)
#: pip does not stay in the image; a slim base may have none, so it comes with the wheels.
PIP = "pip==26.3"
#: The newest C library that a wheel may ask for: the one of the default base (bookworm).
GLIBC_MINOR = 36
STEP = "wheels"


def default_wheelhouse(device: str, machine: str) -> Path:
    """Where wheels are kept between builds."""
    return cache_dir() / "wheelhouse" / f"{device}-{machine}"


def read_pins(requirements: bytes) -> list[str]:
    """The pinned requirements of a file, without comments."""
    lines = (line.split("#")[0].strip() for line in requirements.decode().splitlines())
    return [line for line in lines if line]


def platforms(machine: str) -> list[str]:
    """Platform tags of wheels that run in the guest, the most specific first."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR, 4, -1)]
    tags += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1")]
    return [*tags, f"linux_{machine}"]


def guest_tags(machine: str) -> frozenset[Tag]:
    """Every wheel tag that the guest's Python accepts."""
    names = platforms(machine)
    return frozenset(cpython_tags(PYTHON, platforms=names)) | frozenset(
        compatible_tags(PYTHON, "cp311", names)
    )


def find_wheel(pin: str, folder: Path, device: str, tags: frozenset[Tag]) -> Path | None:
    """The best wheel for a pin in a folder: complete, right for the guest, right for the device."""
    requirement = Requirement(pin)
    found: list[tuple[bool, Version, Path]] = []
    for path in folder.glob("*.whl"):
        try:
            name, version, _, wheel_tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        if name != canonicalize_name(requirement.name) or not (wheel_tags & tags):
            continue
        # A zip's directory stands at its end: a file cut short has none.
        if requirement.specifier.contains(version, prereleases=True) and zipfile.is_zipfile(path):
            found.append(((version.local == "cpu") == (device == "cpu"), version, path))
    return max(found)[2] if found else None


def needs_cuda(wheel: Path) -> bool:
    """Whether a torch wheel loads NVIDIA's libraries (the build that some indexes call plain)."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".dist-info/METADATA"):
                metadata = archive.read(name).decode()
                return any(
                    line.startswith("Requires-Dist:") and ("nvidia" in line or "cuda-" in line)
                    for line in metadata.splitlines()
                    if "extra ==" not in line
                )
    return False


def fetch_wheels(
    pins: Sequence[str], device: str, machine: str, tell: Tell, folder: Path | None = None
) -> list[Path]:
    """A complete wheel for every pin, and for pip; those that are there already are kept.

    Args:
        pins: ``name==version`` each.
        device: ``cpu`` or ``cuda``.
        machine: ``x86_64`` or ``aarch64``: the engine's, not this host's.
        tell: hears about every wheel.
        folder: where wheels are kept; the user's cache folder by default.

    Raises:
        ImageError: pip could not get one, or the folder cannot be written.
    """
    folder = folder or default_wheelhouse(device, machine)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"expected a folder for wheels, found {error}; name another with --wheelhouse-dir"
        ) from error
    tags = guest_tags(machine)
    wheels = []
    wanted = [PIP, *pins]
    for index, pin in enumerate(wanted):
        wheel = find_wheel(pin, folder, device, tags)
        if wheel is None:
            tell(Event(STEP, f"{index + 1}/{len(wanted)} {pin}", index / len(wanted)))
            _fetch(pin, machine, folder)
            wheel = find_wheel(pin, folder, device, tags)
        if wheel is None:
            raise ImageError(
                f"expected a wheel of {pin} for Python 3.11 on {machine}; pip fetched something "
                f"else; put the right one into {folder}"
            )
        wheels.append(wheel)
    tell(Event(STEP, f"{len(wheels)} wheels in {folder}", 1.0))
    return wheels


def _fetch(pin: str, machine: str, folder: Path) -> None:
    """Download one pin; it enters the folder whole or not at all."""
    for left_over in folder.glob(".partial-*"):
        if not Path(f"/proc/{left_over.name.split('-')[1]}").exists():
            shutil.rmtree(left_over, ignore_errors=True)
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{os.getpid()}-", dir=folder))
    except OSError as error:
        raise ImageError(f"could not write into {folder}: {error}; free space there") from error
    try:
        target = ["--python-version", "3.11", "--implementation", "cp"]
        for platform in platforms(machine):
            target += ["--platform", platform]
        _pip("download", "--no-deps", *target, "--dest", str(partial), pin, pin=pin, folder=folder)
        for archive in [path for path in partial.iterdir() if path.suffix != ".whl"]:
            # No wheel is published: build one here. It serves the guest if it is pure Python,
            # which find_wheel checks by its tags.
            _pip(
                "wheel", "--no-deps", "--wheel-dir", str(partial), str(archive),
                pin=pin, folder=folder,
            )  # fmt: skip
        for wheel in partial.glob("*.whl"):
            wheel.replace(folder / wheel.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pip(*arguments: str, pin: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    text = done.stderr.strip() or done.stdout.strip()
    errors = [line for line in text.splitlines() if line.startswith("ERROR:")] or text.splitlines()
    if "No space left" in text:
        raise ImageError(f"no space left for {pin} in {folder}; free some, or use --wheelhouse-dir")
    raise ImageError(
        f"expected pip to fetch {pin} for the guest image; pip said: {' / '.join(errors[-3:])}; "
        "check this host's index, proxy and network (`pip config list`), "
        f"or put the wheel into {folder}; what is fetched already is kept"
    )


def check_pins(requirements: bytes, name: str) -> list[str]:
    """The pins of a requirements file, each of them checked to be one.

    Raises:
        ImageError: a line is no requirement, or pins no version.
    """
    pins = read_pins(requirements)
    for pin in pins:
        try:
            pinned = any(part.operator == "==" for part in Requirement(pin).specifier)
        except InvalidRequirement:
            pinned = False
        if not pinned:
            raise ImageError(f"expected NAME==VERSION in {name}, found {pin!r}; pin it")
    return pins
