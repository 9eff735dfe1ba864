"""``image build`` and ``image status``: what they print and how they end."""

from __future__ import annotations

import docker
import pytest
from click.testing import CliRunner

from images.errors import ImageError
from orchestrator.cli.image import image


@pytest.mark.docker
def test_image_status_says_fresh_and_ends_with_0(guest_image: str) -> None:
    result = CliRunner().invoke(image, ["status"])
    assert result.exit_code == 0
    assert result.output.startswith(f"{guest_image}: fresh\nbase: ")


@pytest.mark.docker
def test_image_status_of_a_missing_image_ends_with_1(
    docker_client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("images.build.REPOSITORY", "llmatic-orch-nobody-built-this")
    result = CliRunner().invoke(image, ["status"])
    assert result.exit_code == 1
    assert "missing" in result.output
    assert "llmatic-orch image build --device cpu" in result.output


@pytest.mark.docker
def test_building_what_is_fresh_if_stale_does_nothing(guest_image: str) -> None:
    result = CliRunner().invoke(image, ["build", "--if-stale"])
    assert result.exit_code == 0
    assert result.output == f"{guest_image} is ready\n"


def test_without_an_engine_both_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    for command in ("build", "status"):
        result = CliRunner().invoke(image, [command])
        assert isinstance(result.exception, ImageError)
        assert "DOCKER_HOST=tcp://127.0.0.1:1" in str(result.exception)


def test_an_unknown_device_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(image, ["build", "--device", "tpu"])
    assert result.exit_code == 2
    assert "'cpu', 'cuda'" in result.output
