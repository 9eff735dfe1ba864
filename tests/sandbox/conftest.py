"""What the tests of the real sandbox share: an executor, and sources for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.limits import Limits
from sandbox.outcome import Outcome
from tests.sandbox.cases import LIMITS, Open, Run, check_job

if TYPE_CHECKING:
    import docker

    from sandbox.docker_executor import DockerExecutor


@pytest.fixture
def open_executor(docker_client: docker.DockerClient, guest_image: str) -> Iterator[Open]:
    """Opens executors, and closes what is still open at the end."""
    from sandbox.docker_executor import DockerExecutor

    opened: list[DockerExecutor] = []

    def open_one(limits: Limits = LIMITS, **options: Any) -> DockerExecutor:
        defaults: dict[str, Any] = {
            "image": guest_image,
            "slots": 2,
            "run_id": f"test-{uuid.uuid4().hex[:8]}",
            "client": docker_client,
        }
        executor = DockerExecutor(limits=limits, **{**defaults, **options})
        opened.append(executor)
        return executor

    yield open_one
    for executor in opened:
        executor.close()


@pytest.fixture(scope="module")
def run(docker_client: docker.DockerClient, guest_image: str) -> Iterator[Run]:
    """Runs one source through the real sandbox; the outcome."""
    from sandbox.docker_executor import DockerExecutor

    executors: dict[Limits, DockerExecutor] = {}

    def run_one(source: str, limits: Limits = LIMITS) -> Outcome:
        if limits not in executors:
            run_id = f"test-{uuid.uuid4().hex[:8]}"
            executors[limits] = DockerExecutor(guest_image, limits, 1, run_id, client=docker_client)
        return executors[limits].submit(check_job(source)).result(timeout=120)

    yield run_one
    for executor in executors.values():
        executor.close()
