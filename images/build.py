"""Builds the guest image, and knows whether the one that an engine has is still the right one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from images import base as bases
from images.cache import exclusive
from images.context import Sources, content_hash, image_files, tar_stream
from images.engine import NO_ANSWER
from images.errors import ImageError
from images.progress import Event, Tell, silent
from images.wheelhouse import check_pins, fetch_wheels, needs_cuda

REPOSITORY = "llmatic-orch-guest"
#: Label: hash of all that went into the image.
CONTENT_LABEL = "llmatic-orch.content"
#: Labels: the base image's name, and its id when the image was built.
BASE_LABEL = "llmatic-orch.base"
BASE_ID_LABEL = "llmatic-orch.base-id"
STEP = "guest image"
#: A step of the build (compiling torch's byte code) may be silent this long, in seconds.
PATIENCE = 1800


class Freshness(StrEnum):
    """What an engine has of the guest image."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"


@dataclass(frozen=True)
class GuestImage:
    """The guest image as an engine has it.

    Attributes:
        tag: its name, ``llmatic-orch-guest:<device>``.
        freshness: whether it may be used; only ``fresh`` may.
        reason: one line: why it is stale or missing; empty if fresh.
        base: the base image it was built from, or empty.
        content: the hash it should carry, or empty where its base is unknown yet.
    """

    tag: str
    freshness: Freshness
    reason: str = ""
    base: str = ""
    content: str = ""


def guest_tag(device: str) -> str:
    """The guest image's name."""
    return f"{REPOSITORY}:{device}"


def guest_image_state(
    client: docker.DockerClient,
    device: str = "cpu",
    base: str | None = None,
    sources: Sources | None = None,
    tag: str | None = None,
) -> GuestImage:
    """Compare the engine's guest image with the files of this installation.

    Args:
        client: the engine.
        device: ``cpu`` or ``cuda``.
        base: the base image it must stand on; None takes the one it was built from.
        sources: where the image's files are; this installation's by default.
        tag: another name than :func:`guest_tag`'s.

    Raises:
        ImageError: the device is unknown or the engine does not answer.
    """
    tag = tag or guest_tag(device)
    files = image_files(device, sources)
    with engine_errors("looking at the guest image"):
        try:
            labels = client.images.get(tag).labels
        except ImageNotFound:
            return GuestImage(tag, Freshness.MISSING, "it was never built on this engine")
        if not labels.get(CONTENT_LABEL):
            return GuestImage(tag, Freshness.STALE, "it does not say what it was built from")
        built_from = labels.get(BASE_LABEL, "")
        name = base or built_from
        base_id = bases.image_id(client, name) if name else None
    if base_id is None and (base is None or base == built_from):
        # The base was removed since; the image that was made from it is as good as before.
        base_id = labels.get(BASE_ID_LABEL)
    if base_id is None:
        return GuestImage(tag, Freshness.STALE, f"its base image {name!r} is not here", name)
    content = content_hash(files, device, base_id)
    if labels.get(CONTENT_LABEL) == content:
        return GuestImage(tag, Freshness.FRESH, "", name, content)
    if base_id != labels.get(BASE_ID_LABEL):
        reason = f"it stands on {built_from or 'an unknown base'}, of another content than {name}"
    else:
        reason = "the guest's files changed since it was built"
    return GuestImage(tag, Freshness.STALE, reason, name, content)


def ensure_guest_image(
    client: docker.DockerClient,
    device: str = "cpu",
    base: str | None = None,
    wheelhouse: bool = True,
    tell: Tell = silent,
    wheelhouse_dir: Path | None = None,
    sources: Sources | None = None,
    tag: str | None = None,
) -> str:
    """The name of a guest image that is fresh: built now where it was missing or stale.

    Raises:
        ImageError: it cannot be built.
    """
    state = guest_image_state(client, device, base, sources, tag)
    if state.freshness is Freshness.FRESH:
        return state.tag
    with exclusive(f"image-{device}", tell):
        # Whoever held the lock may have built it meanwhile.
        state = guest_image_state(client, device, base, sources, tag)
        if state.freshness is Freshness.FRESH:
            return state.tag
        tell(Event(STEP, f"{state.freshness}: {state.reason}"))
        # A base of a person's own stays the base; ours are chosen anew, as one may be gone.
        own = state.base if state.base not in (bases.OFFICIAL, bases.BOOTSTRAPPED) else ""
        return build_guest_image(
            client, device, base or own or None, wheelhouse, tell,
            wheelhouse_dir, sources, state.tag,
        )  # fmt: skip


def build_guest_image(
    client: docker.DockerClient,
    device: str = "cpu",
    base: str | None = None,
    wheelhouse: bool = True,
    tell: Tell = silent,
    wheelhouse_dir: Path | None = None,
    sources: Sources | None = None,
    tag: str | None = None,
) -> str:
    """Build the guest image, whatever the engine has, and return its tag.

    Args:
        client: the engine.
        device: ``cpu`` or ``cuda``.
        base: the base image; None takes the default one (see :mod:`images.base`).
        wheelhouse: fetch the wheels on this host and build without network; else the container
            runs pip over the network.
        tell: hears about every step.
        wheelhouse_dir: where wheels are kept; the user's cache folder by default.
        sources: where the image's files are; this installation's by default.
        tag: another name than :func:`guest_tag`'s.

    Raises:
        ImageError: a wheel, the base or the engine is not to be had, or a build step failed.
    """
    tag = tag or guest_tag(device)
    files = image_files(device, sources)
    name, base_id = bases.ensure_base(client, tell, base)
    labels = {
        CONTENT_LABEL: content_hash(files, device, base_id),
        BASE_LABEL: name,
        BASE_ID_LABEL: base_id,
    }
    with engine_errors("asking the engine for its architecture"):
        machine = str(client.version().get("Arch", ""))
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    requirements = f"requirements/{device}.txt"
    pins = check_pins(files[requirements], requirements) if wheelhouse else []
    wheels = fetch_wheels(pins, device, machine, tell, wheelhouse_dir)
    if wheelhouse and device == "cpu":
        wheels, files = _with_cuda_libraries(wheels, files, machine, tell, wheelhouse_dir, sources)
    previous = _current_id(client, tag)
    _run_build(
        client,
        tar_stream(files, wheels),
        tell,
        tag=tag,
        labels=labels,
        network_mode="none" if wheelhouse else None,
        buildargs={
            "BASE_IMAGE": name,
            "DEVICE": device,
            "PIP_OPTIONS": "--no-deps --no-index --find-links /build/wheels" if wheelhouse else "",
        },
    )
    if previous and previous != _current_id(client, tag):
        _forget(client, previous)
    return tag


def _with_cuda_libraries(
    wheels: list[Path],
    files: dict[str, bytes],
    machine: str,
    tell: Tell,
    folder: Path | None,
    sources: Sources | None,
) -> tuple[list[Path], dict[str, bytes]]:
    """Where pip's sources have no CPU-only torch, add the libraries that the other one loads."""
    torch = [wheel for wheel in wheels if wheel.name.startswith("torch-")]
    if not any(needs_cuda(wheel) for wheel in torch):
        return wheels, files
    tell(
        Event(
            "wheels",
            "pip found no CPU-only torch: taking the CUDA one with its libraries (3 GB); "
            "add PyTorch's CPU index to pip's settings to spare them",
        )
    )
    cuda = check_pins(image_files("cuda", sources)["requirements/cuda.txt"], "cuda.txt")
    known = set(check_pins(files["requirements/cpu.txt"], "cpu.txt"))
    extra = [pin for pin in cuda if pin not in known and not pin.startswith("torch==")]
    wheels = wheels + fetch_wheels(extra, "cpu", machine, tell, folder)[1:]
    text = files["requirements/cpu.txt"] + "".join(f"{pin}\n" for pin in extra).encode()
    return wheels, {**files, "requirements/cpu.txt": text}


def _run_build(
    client: docker.DockerClient, context: Iterator[bytes], tell: Tell, **options: Any
) -> None:
    """Send the context, follow the steps, raise with the step that failed."""
    tell(Event(STEP, "sending the build context"))
    lines: list[str] = []
    step = ""
    with engine_errors("building the guest image"), patient(client):
        stream = client.api.build(
            fileobj=context, custom_context=True, rm=True, forcerm=True, decode=True, **options
        )
        for message in stream:
            if "error" in message:
                network = options.get("network_mode") != "none"
                raise ImageError(_build_failure(step, str(message["error"]), lines, network))
            # Docker colours what a step writes to stderr.
            text = re.sub(r"\x1b\[[0-9;]*m", "", str(message.get("stream", ""))).strip()
            if not text:
                continue
            lines.append(text)
            if found := re.match(r"Step (\d+)/(\d+) : (.*)", text):
                step = text.splitlines()[0]
                number, of = int(found[1]), int(found[2])
                tell(Event(STEP, step[:100], (number - 1) / of))
    # A stream that merely stops, since the engine did, says nothing.
    with engine_errors("building the guest image"):
        labels = client.images.get(options["tag"]).labels
    if labels.get(CONTENT_LABEL) != options["labels"][CONTENT_LABEL]:
        raise ImageError(f"the engine ended the build in step {step[:100]!r}; try again")
    tell(Event(STEP, f"{options['tag']} is built", 1.0))


def _build_failure(step: str, error: str, lines: list[str], network: bool) -> str:
    """What to tell a person: the step in short, what it printed last, what to do."""
    noise = ("Step ", "---> ", "Removing intermediate", "Sending build context")
    said = [line for line in lines if not line.startswith(noise)][-12:]
    everything = "\n".join([error, *said])
    step = f"{step[:100]}…" if len(step) > 100 else step
    if "no space left on device" in everything.lower():
        return (
            f"building the guest image ran out of disk at {step!r}; free space on the engine's "
            "disk (`docker system prune` removes what nothing uses), then try again"
        )
    if "exec format error" in error:
        return f"the base image is for another processor than the engine's ({error}); name another"
    # The command that failed is the step again, at full length; its status is what is new.
    if " returned a non-zero code: " in error:
        error = f"it returned a non-zero code: {error.rpartition(': ')[2]}"
    remedy = "correct what it names and try again; finished steps and fetched wheels are kept"
    if network:
        remedy += "; if the container has no network, leave out --no-wheelhouse"
    return "\n".join(
        [f"expected the guest image to build; step {step!r} failed: {error}", *said, remedy]
    )


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn what an engine, or its absence, can raise into one clear error."""
    try:
        yield
    except APIError as error:
        text = str(error.explanation or error)
        if "no space left" in text.lower():
            text += "; free space on the engine's disk (`docker system prune`), then try again"
        raise ImageError(f"the Docker engine refused while {doing}: {text}") from error
    except NO_ANSWER as error:
        raise ImageError(
            f"the Docker engine stopped answering while {doing} ({type(error).__name__}: "
            f"{str(error)[:200]}); see that it runs (`docker info`), then try again"
        ) from error


@contextmanager
def patient(client: docker.DockerClient) -> Iterator[None]:
    """Let a client wait long for the next line of a build."""
    before = client.api.timeout
    client.api.timeout = PATIENCE
    try:
        yield
    finally:
        client.api.timeout = before


def _current_id(client: docker.DockerClient, tag: str) -> str | None:
    with engine_errors("looking at the guest image"):
        return bases.image_id(client, tag)


def _forget(client: docker.DockerClient, image: str) -> None:
    """Remove the image that lost its tag; one that a container still uses stays."""
    try:
        if not client.images.get(image).tags:
            client.images.remove(image)
    except NO_ANSWER:
        pass
