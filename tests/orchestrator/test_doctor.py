"""The doctor says what is here and what is not, with a remedy, whatever is broken."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import docker
import pytest
from click.testing import CliRunner

from orchestrator import doctor as doctors
from orchestrator.cli.doctor import doctor
from orchestrator.doctor import Check, State, check_plugin, guarded, run_checks


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")


@pytest.mark.docker
def test_on_a_machine_that_is_set_up_engine_and_image_are_found(guest_image: str) -> None:
    checks = {check.name: check for check in run_checks()}
    assert checks["engine"].state is State.FOUND
    assert checks["guest image"].state is State.FOUND
    assert guest_image in checks["guest image"].detail
    assert checks["plugin nasbench201"].state is State.FOUND
    assert any(name.startswith("weights ") for name in checks)


@pytest.mark.docker
def test_a_missing_image_names_the_command_that_builds_it(
    docker_client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("images.build.REPOSITORY", "llmatic-orch-nobody-built-this")
    check = doctors.check_image(docker_client, "cpu")
    assert check.state is State.MISSING
    assert check.remedy == "llmatic-orch image build --device cpu"


@pytest.mark.docker
def test_cuda_without_a_gpu_is_missing_and_on_cpu_it_is_only_absent(
    docker_client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert doctors.check_gpu(docker_client, required=True).state is State.MISSING
    assert doctors.check_gpu(docker_client, required=False).state is State.ABSENT


def test_without_an_engine_every_other_check_still_runs_and_the_exit_status_is_1(
    no_engine: None,
) -> None:
    result = CliRunner().invoke(doctor, [])
    assert result.exit_code == 1
    assert "engine: expected a Docker engine at DOCKER_HOST=tcp://127.0.0.1:1" in result.output
    assert "-> start that engine" in result.output
    assert "plugin nasbench201" in result.output
    assert "llama.cpp" in result.output


def test_json_is_one_object_a_check(no_engine: None) -> None:
    result = CliRunner().invoke(doctor, ["--json"])
    checks = [json.loads(line) for line in result.output.splitlines()]
    assert all(set(check) == {"name", "state", "detail", "remedy"} for check in checks)
    assert all(check["remedy"] for check in checks if check["state"] == "missing")
    assert result.exit_code == 1


def test_a_check_that_raises_becomes_its_line() -> None:
    def broken() -> Check:
        raise RuntimeError("the disk is made of cheese\nand more")

    check = guarded("disk", broken)
    assert check.state is State.MISSING
    assert check.detail.endswith("the disk is made of cheese")


def entry(target: str) -> EntryPoint:
    return EntryPoint("sample", target, "llmatic_orch.plugins")


def test_a_plugin_that_cannot_be_imported_is_named_with_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctors, "entry_points", lambda **_: (entry("no_such_module:X"),))
    check = check_plugin("sample")
    assert check.state is State.MISSING
    assert "ModuleNotFoundError" in check.detail
    assert check.remedy


@pytest.mark.parametrize("ready", [True, False])
def test_a_plugin_says_itself_whether_its_data_is_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ready: bool
) -> None:
    (tmp_path / "plugin_of_a_test.py").write_text(
        "class Sample:\n"
        f"    def data_status(self):\n        return {ready}, '5,000 images', 'fetch them'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "plugin_of_a_test", raising=False)
    monkeypatch.setattr(doctors, "entry_points", lambda **_: (entry("plugin_of_a_test:Sample"),))
    check = check_plugin("sample")
    assert check.state is (State.FOUND if ready else State.MISSING)
    assert check.detail == "5,000 images"
    assert check.remedy == ("" if ready else "fetch them")
