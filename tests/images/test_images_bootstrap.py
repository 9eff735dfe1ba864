"""A base image is bootstrapped where it can be; elsewhere a person is told what to do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import docker
import pytest

from images import bootstrap
from images.base import OFFICIAL, ensure_base, pull
from images.errors import ImageError
from images.progress import Event, silent


def test_without_root_the_way_over_another_machine_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "is_root", lambda: False)
    client = docker.DockerClient(base_url="tcp://127.0.0.1:1", version="1.41")
    with pytest.raises(ImageError) as caught:
        bootstrap.bootstrap_base(client, "base:1", silent)
    assert f"docker save {OFFICIAL}" in str(caught.value)
    assert "docker load" in str(caught.value)
    assert "--base IMAGE" in str(caught.value)


def test_a_tree_with_a_mount_in_it_is_unmounted_before_it_is_removed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "precious").write_text("keep me")
    (root / "proc").mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "--bind", str(outside), str(root / "proc")], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs root")
    bootstrap.remove_tree(root)
    assert not root.exists()
    assert (outside / "precious").read_text() == "keep me"


def test_what_a_killed_bootstrap_left_is_removed_and_a_running_ones_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "SCRATCH", tmp_path)
    dead = tmp_path / f"{bootstrap.PREFIX}999999999-abc"
    alive = tmp_path / f"{bootstrap.PREFIX}{os.getpid()}-abc"
    dead.mkdir()
    alive.mkdir()
    with bootstrap._scratch() as root:
        assert sorted(tmp_path.iterdir()) == sorted([alive, root])
    assert list(tmp_path.iterdir()) == [alive]


@pytest.mark.docker
def test_a_base_that_the_engine_has_is_used_without_asking_anybody(
    docker_client: docker.DockerClient, guest_image: str
) -> None:
    events: list[Event] = []
    name, found = ensure_base(docker_client, events.append, guest_image)
    assert (name, found) == (guest_image, docker_client.images.get(guest_image).id)
    assert events == []


@pytest.mark.docker
def test_a_registry_that_does_not_answer_is_said_in_a_few_words(
    docker_client: docker.DockerClient,
) -> None:
    problem = pull(docker_client, "localhost:1/nobody/here:1", silent)
    assert problem
    assert "localhost:1" in problem
    assert len(problem) <= 160
