"""What the whole suite shares: the engine, the guest image, the data folder, the small model."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import docker

# A suite that runs in the background is started with Ctrl-C ignored, and all that it starts would
# ignore it too; tests that send one could then only fail.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def docker_client() -> docker.DockerClient:
    """The engine. Its absence is a failure: a suite that skips the sandbox has tested nothing."""
    from images.engine import connect
    from images.errors import ImageError

    try:
        return connect()
    except ImageError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def guest_image(docker_client: docker.DockerClient) -> str:
    """The tag of a fresh guest image, rebuilt first where the guest's files have changed."""
    from images.build import ensure_guest_image
    from images.errors import ImageError
    from images.progress import PlainView

    try:
        return ensure_guest_image(docker_client, "cpu", tell=PlainView(sys.__stderr__))
    except ImageError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; a test that needs it skips without."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data in {SHARED}, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def gguf_small() -> Path:
    """The weights of the small model, fetched once."""
    from orchestrator.llm.protocol import LLMError
    from orchestrator.llm.weights import fetch

    try:
        return fetch("qwen2.5-coder-0.5b")
    except LLMError as error:
        pytest.fail(str(error), pytrace=False)
