"""The Docker engine: reaches it, and refuses what it cannot enforce."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from sandbox.executor import SandboxUnavailable

#: What no answer of the engine can look like, from the SDK and the HTTP library under it.
ENGINE_ERRORS = (DockerException, requests.exceptions.RequestException, OSError)

RESUME = "a run goes on with `llmatic-orch resume RUN`"


def connect() -> docker.DockerClient:
    """A client of the engine that answers: ``DOCKER_HOST`` if set, else the local socket.

    Raises:
        SandboxUnavailable: none answers.
    """
    try:
        client = docker.from_env()
        client.ping()
    except ENGINE_ERRORS as error:
        raise engine_gone(error) from error
    return client


def engine_gone(error: BaseException) -> SandboxUnavailable:
    """The error for an engine that does not answer."""
    host = os.environ.get("DOCKER_HOST")
    where = f"at DOCKER_HOST={host}" if host else "on this machine"
    remedy = "start that engine or correct DOCKER_HOST" if host else "`systemctl start docker`"
    return SandboxUnavailable(
        f"expected a Docker engine {where}, found no answer ({_short(error)}); {remedy}, then try "
        f"again: {RESUME}"
    )


def image_missing(image: str) -> SandboxUnavailable:
    """The error for a guest image that is not there."""
    return SandboxUnavailable(
        f"expected the guest image {image}, found none of that name in the engine; build it with "
        f"`llmatic-orch image build`; {RESUME}"
    )


def image_id(client: docker.DockerClient, image: str) -> str:
    """The id of an image, so that every container of an executor is made of the same one.

    Raises:
        SandboxUnavailable: the engine has no such image, or does not answer.
    """
    try:
        return str(client.images.get(image).id)
    except ImageNotFound as error:
        raise image_missing(image) from error
    except ENGINE_ERRORS as error:
        raise engine_gone(error) from error


def check_enforceable(info: Mapping[str, Any], runtime: str | None) -> None:
    """Refuse an engine that would silently ignore one of the limits.

    Args:
        info: what the engine says of itself (``docker info``).
        runtime: the runtime asked for, or None for the engine's default.

    Raises:
        SandboxUnavailable: names every limit that the engine cannot enforce.
    """
    lacking = [
        f"{limit} ({remedy})"
        for key, limit, remedy in (
            ("MemoryLimit", "a memory limit", "enable the memory cgroup controller"),
            ("SwapLimit", "a memory limit without swap", "boot with swapaccount=1, or swapoff -a"),
            ("CpuCfsQuota", "a CPU limit", "enable the cpu cgroup controller"),
            ("PidsLimit", "a limit of processes", "enable the pids cgroup controller"),
        )
        if not info.get(key)
    ]
    security = " ".join(str(option) for option in info.get("SecurityOptions") or [])
    if "seccomp" not in security:
        lacking.append("a seccomp filter (use an engine built with seccomp)")
    if lacking:
        raise SandboxUnavailable(
            "expected a Docker engine that enforces every limit of the sandbox, found one without "
            + "; ".join(lacking)
        )
    runtimes = sorted(info.get("Runtimes") or {})
    if runtime is not None and runtime not in runtimes:
        raise SandboxUnavailable(
            f"expected the runtime {runtime!r} in the Docker engine, found {', '.join(runtimes)}; "
            "install it and name it in /etc/docker/daemon.json, or leave --runtime out"
        )


def _short(error: BaseException) -> str:
    text = str(error)
    for known in ("No such file or directory", "Connection refused", "Permission denied"):
        if known in text:
            return known.lower()
    return text.splitlines()[0][:200] if text else type(error).__name__
