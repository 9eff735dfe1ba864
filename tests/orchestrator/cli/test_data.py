"""``data``: volumes are named and removed."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import docker
import pytest
from click.testing import CliRunner

from orchestrator.cli.data import data
from sandbox.job import DataFolder
from sandbox.volumes import Volumes, volume_name, volumes

pytestmark = pytest.mark.docker


def test_a_volume_is_listed_where_there_is_one(
    tmp_path: Path, docker_client: docker.DockerClient, guest_image: str
) -> None:
    (tmp_path / "file").write_text("x")
    folder = DataFolder("x", tmp_path, hashlib.sha256(uuid.uuid4().bytes).hexdigest())
    Volumes(docker_client, guest_image, "test-data").mounts((folder,))
    try:
        listed = CliRunner().invoke(data, ["list"])
        assert listed.exit_code == 0
        assert volume_name(folder) in listed.output.split()
    finally:
        docker_client.volumes.get(volume_name(folder)).remove()
    assert volume_name(folder) not in volumes(docker_client)
    assert volume_name(folder) not in CliRunner().invoke(data, ["list"]).output
