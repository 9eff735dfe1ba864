"""The base image: anybody's own, the official Python one, or one bootstrapped from Debian."""

from __future__ import annotations

import docker
from docker.errors import APIError, ImageNotFound

from images.engine import NO_ANSWER
from images.errors import ImageError
from images.progress import Event, Tell

#: What is pulled where a registry answers.
OFFICIAL = "python:3.11-slim-bookworm"
#: What is made where none does.
BOOTSTRAPPED = "llmatic-orch-base:bookworm"
#: A registry that sends nothing for so long, in seconds, does not answer.
PULL_SILENCE = 30
STEP = "base image"


def image_id(client: docker.DockerClient, name: str) -> str | None:
    """The id of an image that the engine has, or None."""
    try:
        return str(client.images.get(name).id)
    except ImageNotFound:
        return None


def ensure_base(
    client: docker.DockerClient, tell: Tell, name: str | None = None
) -> tuple[str, str]:
    """The base image's name and id; had, pulled, or bootstrapped, in this order.

    Args:
        client: the engine.
        tell: hears about every step.
        name: a base image of one's own: an image with Python 3.11 as ``python3``.

    Raises:
        ImageError: it is not to be had; says what a person can do.
    """
    try:
        for candidate in [name] if name else [OFFICIAL, BOOTSTRAPPED]:
            if (found := image_id(client, candidate)) is not None:
                return candidate, found
        wanted = name or OFFICIAL
        problem = pull(client, wanted, tell) if wanted != BOOTSTRAPPED else "it is made here"
        if problem is None and (found := image_id(client, wanted)) is not None:
            return wanted, found
    except NO_ANSWER as error:
        raise ImageError(f"the Docker engine did not say which images it has: {error}") from error
    if name and name != BOOTSTRAPPED:
        raise ImageError(
            f"expected the base image {name!r} on the engine or at its registry; found neither "
            f"({problem}); check the name, or `docker load` it first"
        )
    from images.bootstrap import bootstrap_base

    tell(Event(STEP, f"no registry answers ({problem}): bootstrapping one from Debian packages"))
    bootstrap_base(client, BOOTSTRAPPED, tell)
    return BOOTSTRAPPED, str(client.images.get(BOOTSTRAPPED).id)


def pull(client: docker.DockerClient, name: str, tell: Tell) -> str | None:
    """Pull an image; returns None, or in a few words why it could not be had."""
    tell(Event(STEP, f"pulling {name}"))
    repository, _, tag = name.rpartition(":")
    if not repository or "/" in tag:
        repository, tag = name, "latest"
    before = client.api.timeout
    client.api.timeout = PULL_SILENCE
    try:
        for message in client.api.pull(repository, tag=tag, stream=True, decode=True):
            if "error" in message:
                return str(message["error"])[:160]
            if message.get("status") in ("Downloading", "Extracting", "Pull complete"):
                tell(Event(STEP, f"pulling {name}: {message['status'].lower()}"))
    except APIError as error:
        return str(error.explanation or error)[:160]
    except NO_ANSWER:
        return f"no answer within {PULL_SILENCE} s"
    finally:
        client.api.timeout = before
    return None
