"""Checks whether this machine has what a search needs: one small function a check."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from images.errors import ImageError

if TYPE_CHECKING:
    import docker


class State(StrEnum):
    """What a check found."""

    FOUND = "found"
    #: Needed, and not here.
    MISSING = "missing"
    #: Useful, and not here.
    ABSENT = "absent"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked for.
        state: what was found.
        detail: one line more about it.
        remedy: what to do where it is not found; empty otherwise.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""


def run_checks(device: str = "cpu") -> Iterator[Check]:
    """Every check, one after the other, each as soon as it is done. A check never raises."""
    from images.engine import connect

    try:
        client = connect(timeout=10)
    except ImageError as error:
        found, _, remedy = str(error).partition("; ")
        yield Check("engine", State.MISSING, found, remedy)
        yield Check("guest image", State.MISSING, "cannot look without an engine", "see above")
    else:
        yield guarded("engine", lambda: check_engine(client))
        yield guarded("guest image", lambda: check_image(client, device))
        yield guarded("gVisor runtime", lambda: check_gvisor(client))
        yield guarded("GPU toolkit", lambda: check_gpu(client, device == "cuda"))
    for name in sorted(entry_points(group="llmatic_orch.plugins").names):
        yield guarded(f"plugin {name}", lambda name=name: check_plugin(name))  # type: ignore[misc]
    yield guarded("llama.cpp", check_llamacpp)
    yield from check_weights()


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Run a check; what it raises becomes its line, so that the others are still shown."""
    try:
        return check()
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        return Check(name, State.MISSING, f"the check failed: {said}", "correct what it names")


def check_engine(client: docker.DockerClient) -> Check:
    """The engine answers, and can enforce the limits of a sandbox."""
    info = client.info()
    detail = (
        f"Docker {info.get('ServerVersion', '?')}, {info.get('NCPU', '?')} CPUs, "
        f"{info.get('MemTotal', 0) / 2**30:.0f} GiB, cgroup v{info.get('CgroupVersion', '1')}"
    )
    lacking = [
        name
        for name, key in (("memory", "MemoryLimit"), ("CPU", "CpuCfsQuota"), ("pids", "PidsLimit"))
        if not info.get(key)
    ]
    if lacking:
        return Check(
            "engine",
            State.MISSING,
            f"{detail}; it cannot limit {', '.join(lacking)}",
            "mount the cgroup controllers (Debian: apt-get install cgroupfs-mount; rootless: "
            "delegate them to the user), then restart the engine",
        )
    return Check("engine", State.FOUND, detail)


def check_image(client: docker.DockerClient, device: str) -> Check:
    """The guest image is the one that this installation's files make."""
    from images.build import Freshness, guest_image_state

    state = guest_image_state(client, device)
    if state.freshness is Freshness.FRESH:
        return Check("guest image", State.FOUND, f"{state.tag}, fresh, on {state.base}")
    return Check(
        "guest image",
        State.MISSING,
        f"{state.tag} is {state.freshness}: {state.reason}",
        f"llmatic-orch image build --device {device}",
    )


def check_gvisor(client: docker.DockerClient) -> Check:
    """The engine knows the runtime that ``--runtime runsc`` asks for."""
    info = client.info()
    runtimes = sorted(info.get("Runtimes") or {})
    if "runsc" in runtimes:
        return Check("gVisor runtime", State.FOUND, "runsc")
    return Check(
        "gVisor runtime",
        State.ABSENT,
        f"runtimes: {', '.join(runtimes)} (default {info.get('DefaultRuntime', '?')})",
        "for a second wall around candidates: install gVisor, `runsc install`, restart the engine",
    )


def check_gpu(client: docker.DockerClient, required: bool) -> Check:
    """The host has NVIDIA GPUs, and the engine can hand them to containers."""
    missing = State.MISSING if required else State.ABSENT
    tool = shutil.which("nvidia-smi")
    names: list[str] = []
    if tool:
        done = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        names = done.stdout.strip().splitlines() if done.returncode == 0 else []
    if not names:
        remedy = "install NVIDIA's driver, or use --device cpu" if required else ""
        return Check("GPU toolkit", missing, "no NVIDIA GPU on this host (cpu needs none)", remedy)
    gpus = f"{len(names)} x {names[0]}"
    info = client.info()
    wired = (
        "nvidia" in (info.get("Runtimes") or {})
        or shutil.which("nvidia-container-runtime-hook")
        or (info.get("CDISpecDirs") and shutil.which("nvidia-ctk"))
    )
    if wired:
        return Check("GPU toolkit", State.FOUND, f"{gpus}, and the engine can hand them on")
    return Check(
        "GPU toolkit",
        missing,
        f"{gpus}, but the engine has no NVIDIA container toolkit",
        "install nvidia-container-toolkit, `nvidia-ctk runtime configure --runtime=docker`, "
        "restart the engine",
    )


def check_plugin(name: str) -> Check:
    """A plugin can be imported, and has its benchmark data or can get it."""
    label = f"plugin {name}"
    entry = next(iter(entry_points(group="llmatic_orch.plugins", name=name)))
    try:
        plugin = entry.load()
        plugin = plugin() if isinstance(plugin, type) else plugin
    except Exception as error:
        said = (str(error) or "no message").splitlines()[0]
        return Check(
            label,
            State.MISSING,
            f"{type(error).__name__}: {said}",
            "correct or reinstall the distribution it comes from (`llmatic-orch plugins` names it)",
        )
    # Not part of the contract: a plugin whose data may be absent can say so without fetching it.
    look = getattr(plugin, "data_status", None)
    if look is None:
        return Check(label, State.FOUND, "loads; brings its data up when a search begins")
    ready, detail, remedy = look()
    return Check(label, State.FOUND if ready else State.MISSING, detail, "" if ready else remedy)


def check_llamacpp() -> Check:
    """The runtime for GGUF weights is installed."""
    if importlib.util.find_spec("xllamacpp"):
        return Check("llama.cpp", State.FOUND, "xllamacpp is installed")
    return Check("llama.cpp", State.MISSING, "xllamacpp is absent", "pip install xllamacpp")


def check_weights() -> Iterator[Check]:
    """The models known by name: any one will do, and ``search`` fetches it at first use."""
    try:
        weights = importlib.import_module("orchestrator.llm.weights")
        known = importlib.import_module("orchestrator.llm.known")
        names = [model.name for model in known.known_models()]
        paths = {name: weights.find(name) for name in names}
    except Exception as error:
        yield Check(
            "LLM weights", State.MISSING, f"{type(error).__name__}: {error}", "reinstall the tool"
        )
        return
    for name, path in paths.items():
        if path is not None:
            yield Check(f"weights {name}", State.FOUND, str(path))
        else:
            yield Check(
                f"weights {name}",
                State.ABSENT,
                "not on this machine yet; a search fetches them at first use",
                f"llmatic-orch llm fetch {name}",
            )
