"""Data brought to a container, on a real engine."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from sandbox.executor import SandboxUnavailable
from sandbox.guest.tasks import check
from sandbox.job import DataFolder, GuestCode, Job
from sandbox.outcome import OutcomeKind
from sandbox.volumes import CONTENT, MARKER, Volumes, remove_volumes, volume_name
from tests.sandbox.cases import NET, Open

pytestmark = pytest.mark.docker

#: A task that reports what it finds, and what it can do to it.
LOOK = """
import os

def run(source, params, context):
    found = {}
    for name in sorted(os.listdir("/data/things")):
        if not name.startswith("."):
            with open(f"/data/things/{name}", "rb") as file:
                found[name] = file.read().decode()
    try:
        open("/data/things/new", "w")
        written = "yes"
    except OSError as error:
        written = os.strerror(error.errno)
    mode = oct(os.stat("/data/things/one").st_mode & 0o777)
    return {"found": found, "written": written, "mode": mode}
"""
CODE = GuestCode("look:run", {"look": LOOK})


@pytest.fixture
def folder(tmp_path: Path, docker_client: docker.DockerClient) -> Iterator[DataFolder]:
    """Two files and a folder of ours; the volume is removed again."""
    path = tmp_path / "things"
    (path / "inner").mkdir(parents=True)
    (path / "one").write_text("1")
    # Not a multiple of the tar block.
    (path / "two").write_text("2" * 700)
    made = DataFolder("things", path, hashlib.sha256(uuid.uuid4().bytes).hexdigest())
    yield made
    for volume in docker_client.volumes.list(filters={"label": f"{CONTENT}={made.content}"}):
        volume.remove(force=True)


def look(open_executor: Open, folder: DataFolder, **options: object) -> dict[str, object]:
    job = Job(NET, CODE, data=(folder,))
    outcome = open_executor(**options).submit(job).result(timeout=60)
    assert outcome.kind is OutcomeKind.OK, outcome.reason
    assert outcome.report is not None
    return dict(outcome.report)


def test_a_job_finds_its_files_and_cannot_change_them(
    folder: DataFolder, open_executor: Open
) -> None:
    assert look(open_executor, folder) == {
        "found": {"one": "1", "two": "2" * 700},
        "written": "Read-only file system",
        "mode": "0o444",
    }


def test_a_job_without_data_finds_none(open_executor: Open) -> None:
    outcome = open_executor().submit(Job(NET, CODE)).result(timeout=60)
    assert outcome.kind is not OutcomeKind.OK
    assert "/data/things" in outcome.reason


def test_what_an_engine_has_is_not_sent_again(
    folder: DataFolder, open_executor: Open, docker_client: docker.DockerClient
) -> None:
    before = look(open_executor, folder)
    # A second run, of a host that has lost the file's content since.
    (folder.path / "one").write_text("another")
    assert look(open_executor, folder) == before
    assert len(docker_client.volumes.list(filters={"label": f"{CONTENT}={folder.content}"})) == 1


def test_a_volume_that_was_left_half_filled_is_filled_again(
    folder: DataFolder,
    open_executor: Open,
    docker_client: docker.DockerClient,
    guest_image: str,
) -> None:
    whole = look(open_executor, folder)
    name = volume_name(folder)
    spoil = docker_client.containers.run(
        guest_image,
        entrypoint=["/opt/llmatic/venv/bin/python3", "-c"],
        command=[f"import os; os.remove('/v/{MARKER}'); open('/v/two', 'w').write('2')"],
        volumes={name: {"bind": "/v", "mode": "rw"}},
        remove=True,
    )
    assert spoil == b""
    assert look(open_executor, folder) == whole


def test_a_volume_that_went_while_a_run_was_open_is_brought_again(
    folder: DataFolder, open_executor: Open, docker_client: docker.DockerClient
) -> None:
    executor = open_executor(slots=1)
    job = Job(NET, CODE, data=(folder,))
    first = executor.submit(job).result(timeout=60)
    for _ in range(50):
        # The used container is removed behind the job's back.
        with contextlib.suppress(docker.errors.APIError):
            docker_client.volumes.get(volume_name(folder)).remove()
            break
        time.sleep(0.1)
    again = executor.submit(job).result(timeout=60)
    assert (first.attempts, again.attempts) == (1, 2)
    assert again.report == first.report


def test_filling_leaves_no_container_behind(
    folder: DataFolder, docker_client: docker.DockerClient, guest_image: str
) -> None:
    run_id = f"test-{uuid.uuid4().hex[:8]}"
    Volumes(docker_client, guest_image, run_id).mounts((folder,))
    left = docker_client.containers.list(all=True, filters={"label": f"llmatic-orch.run={run_id}"})
    assert left == []


def test_data_that_is_gone_from_the_host_is_said(
    folder: DataFolder, docker_client: docker.DockerClient, guest_image: str, tmp_path: Path
) -> None:
    gone = DataFolder("things", tmp_path / "gone", folder.content)
    with pytest.raises(SandboxUnavailable, match=r"gone, found: No such file.*prepared anew"):
        Volumes(docker_client, guest_image, "test-gone").mounts((gone,))


def test_volumes_can_be_removed_but_for_those_in_use(
    folder: DataFolder, docker_client: docker.DockerClient, guest_image: str
) -> None:
    (mount,) = Volumes(docker_client, guest_image, "test-used").mounts((folder,))
    holder = docker_client.containers.create(guest_image, mounts=[mount])
    try:
        assert remove_volumes(docker_client, folder.content) == (0, 1)
        assert docker_client.volumes.get(volume_name(folder))
    finally:
        holder.remove(force=True)
    assert remove_volumes(docker_client, folder.content) == (1, 0)
    with pytest.raises(docker.errors.NotFound):
        docker_client.volumes.get(volume_name(folder))


def test_time_given_on_purpose_is_added_to_the_limit(open_executor: Open) -> None:
    from sandbox.limits import Limits

    sleepy = "import time\ntime.sleep(3)\n" + NET
    code = GuestCode(f"{check.__name__}:run")
    params = {"input_shape": [2, 3, 8, 8]}
    executor = open_executor(Limits(memory_mib=1024, wall_seconds=1.5))
    short = executor.submit(Job(sleepy, code, params)).result(timeout=60)
    long = executor.submit(Job(sleepy, code, params, extra_seconds=20.0)).result(timeout=60)
    assert short.kind is OutcomeKind.TIMED_OUT
    assert "not done after 1.5 s" in short.reason
    assert long.kind is OutcomeKind.OK
