"""A tiny benchmark whose networks run in the real sandbox."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.candidate import Result
from orchestrator.judging import evaluate
from plugins.classification import ImageFolder
from sandbox.limits import Limits
from tests.plugins.classification.made_up import dataset, write_folders
from tests.plugins.classification.test_prepared import silent

if TYPE_CHECKING:
    import docker

Judge = Callable[..., Result]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    """Images of 8x8 pixels in six classes, told apart by their brightness."""
    root = tmp_path_factory.mktemp("images")
    write_folders(root, dataset(train=240, test=60, classes=6))
    cache = str(tmp_path_factory.mktemp("cache"))
    made = ImageFolder(
        data=str(root), image_size=8, cache=cache, epochs=60, learning_rate=0.02, batch_size=16
    )
    made.prepare(silent)
    return made


@pytest.fixture(scope="module")
def judge(
    plugin: ImageFolder, docker_client: docker.DockerClient, guest_image: str
) -> Iterator[Judge]:
    """Runs a source through the real sandbox, and has the plugin judge it."""
    from sandbox.docker_executor import DockerExecutor
    from sandbox.volumes import remove_volumes

    limits = Limits(memory_mib=1024, wall_seconds=20, tmpfs_mib=16)
    run_id = f"test-{uuid.uuid4().hex[:8]}"
    executor = DockerExecutor(guest_image, limits, 2, run_id, client=docker_client)

    def one(source: str, using: Any = plugin) -> Result:
        return evaluate(using, executor.submit(using.job(source)).result(timeout=120))

    yield one
    executor.close()
    remove_volumes(docker_client, plugin.job("").data[0].content)
