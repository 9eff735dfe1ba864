"""Finds the Docker engine, and says exactly what is wrong where none answers."""

from __future__ import annotations

import os

import docker
import requests
import urllib3
from docker.errors import DockerException

from images.errors import ImageError

#: What no answer can look like, from the SDK and the HTTP library under it.
NO_ANSWER = (
    DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)


def connect(timeout: float = 60) -> docker.DockerClient:
    """A client of the engine that answers: ``DOCKER_HOST`` if set, else the local socket.

    Raises:
        ImageError: none answers.
    """
    try:
        client = docker.from_env(timeout=timeout)
        client.ping()
    except NO_ANSWER as error:
        raise ImageError(no_engine_message(error)) from error
    return client


def no_engine_message(error: Exception) -> str:
    """What to tell a person whose engine does not answer."""
    host = os.environ.get("DOCKER_HOST")
    if host:
        return (
            f"expected a Docker engine at DOCKER_HOST={host}, found {_short(error)}; "
            "start that engine, correct DOCKER_HOST, or unset it to use the local one"
        )
    if "Permission denied" in str(error) or isinstance(error, PermissionError):
        return (
            "expected to be allowed to use the local Docker engine, found permission denied on "
            "its socket; run `sudo usermod -aG docker $USER`, then log in again"
        )
    return (
        f"expected a running Docker engine, found {_short(error)}; start it "
        "(`sudo systemctl start docker`), point DOCKER_HOST at one, or, as root on Debian, run "
        "`python -m images.bringup`, which installs and starts one"
    )


def _short(error: Exception) -> str:
    text = str(error)
    for known in ("No such file or directory", "Connection refused", "Name or service not known"):
        if known in text:
            return f"no answer ({known.lower()})"
    return f"no answer ({text.splitlines()[0][:200] if text else type(error).__name__})"
