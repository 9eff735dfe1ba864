"""A stale image is noticed and rebuilt, never used; what cannot be built says why."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from images.build import (
    CONTENT_LABEL,
    Freshness,
    build_guest_image,
    ensure_guest_image,
    guest_image_state,
)
from images.context import Sources, content_hash, image_files
from images.daemon import Daemon, bring_up_engine
from images.engine import connect
from images.errors import ImageError
from images.progress import Event, silent

pytestmark = pytest.mark.docker


@pytest.fixture
def tag(docker_client: docker.DockerClient) -> Iterator[str]:
    """A name of the test's own, so that it never touches the image that others use."""
    name = f"llmatic-orch-test:{uuid.uuid4().hex[:12]}"
    yield name
    with contextlib.suppress(docker.errors.ImageNotFound):
        docker_client.images.remove(name)


def in_guest(client: docker.DockerClient, tag: str, code: str) -> str:
    output = client.containers.run(
        tag,
        ["-I", "-c", code],
        entrypoint="/opt/llmatic/venv/bin/python3",
        network_mode="none",
        read_only=True,
        remove=True,
    )
    return output.decode().strip()


def test_the_image_says_what_it_was_made_of(
    docker_client: docker.DockerClient, guest_image: str
) -> None:
    state = guest_image_state(docker_client)
    base_id = docker_client.images.get(state.base).id
    expected = content_hash(image_files("cpu"), "cpu", base_id)
    assert docker_client.images.get(guest_image).labels[CONTENT_LABEL] == expected
    assert state.freshness is Freshness.FRESH


def test_a_fresh_image_is_not_built_again(
    docker_client: docker.DockerClient, guest_image: str
) -> None:
    events: list[Event] = []
    before = docker_client.images.get(guest_image).id
    assert ensure_guest_image(docker_client, tell=events.append) == guest_image
    assert events == []
    assert docker_client.images.get(guest_image).id == before


def test_an_edited_guest_file_makes_it_stale_and_is_rebuilt_without_torch(
    docker_client: docker.DockerClient, guest_image: str, sources: Sources, tag: str
) -> None:
    docker_client.images.get(guest_image).tag(*tag.split(":"))
    assert guest_image_state(docker_client, sources=sources, tag=tag).freshness is Freshness.FRESH
    (Path(str(sources.guest)) / "added_by_a_test.py").write_text("ANSWER = 42\n")
    state = guest_image_state(docker_client, sources=sources, tag=tag)
    assert state.freshness is Freshness.STALE
    assert "files changed" in state.reason
    events: list[Event] = []
    ensure_guest_image(docker_client, sources=sources, tag=tag, tell=events.append)
    # Base, stripped base, torch: these layers are the old ones, so it took seconds.
    old, new = (
        docker_client.images.get(name).attrs["RootFS"]["Layers"] for name in (guest_image, tag)
    )
    assert new[:3] == old[:3]
    assert new[3:] != old[3:]
    assert any("stale" in event.note for event in events)
    assert guest_image_state(docker_client, sources=sources, tag=tag).freshness is Freshness.FRESH
    code = (
        "import sys; sys.path.insert(0, '/opt/llmatic'); "
        "import sandbox.guest.added_by_a_test as m; print(m.ANSWER)"
    )
    assert in_guest(docker_client, tag, code) == "42"
    # The image that others use is still theirs.
    assert guest_image_state(docker_client).freshness is Freshness.FRESH


def test_an_image_of_that_name_that_is_not_ours_is_stale(
    docker_client: docker.DockerClient, guest_image: str, tag: str
) -> None:
    base = guest_image_state(docker_client).base
    docker_client.images.get(base).tag(*tag.split(":"))
    state = guest_image_state(docker_client, tag=tag)
    assert state.freshness is Freshness.STALE
    assert "does not say" in state.reason


def test_another_base_makes_it_stale(docker_client: docker.DockerClient, guest_image: str) -> None:
    state = guest_image_state(docker_client, base=guest_image)
    assert state.freshness is Freshness.STALE
    assert "stands on" in state.reason


def test_a_missing_image_is_missing(docker_client: docker.DockerClient, tag: str) -> None:
    assert guest_image_state(docker_client, tag=tag).freshness is Freshness.MISSING


def test_nothing_in_the_guest_is_writable_or_gains_privileges_and_all_is_compiled(
    docker_client: docker.DockerClient, guest_image: str
) -> None:
    code = """
import importlib.util, os, pathlib, stat
root = pathlib.Path("/opt/llmatic")
bad = [str(p) for p in root.rglob("*") if not p.is_symlink()
       and (p.stat().st_uid or p.stat().st_gid or p.stat().st_mode & 0o022)]
setuid = [os.path.join(f, n) for f, _, names in os.walk("/usr") for n in names
          if os.lstat(os.path.join(f, n)).st_mode & (stat.S_ISUID | stat.S_ISGID)]
raw = [str(p) for p in (root / "sandbox").rglob("*.py")
       if not pathlib.Path(importlib.util.cache_from_source(str(p))).exists()]
torch = importlib.util.cache_from_source(importlib.util.find_spec("torch").origin)
have = [m for m in ("pip", "setuptools", "wheel") if importlib.util.find_spec(m)]
wheels = pathlib.Path("/build").exists()
print(bad, setuid, raw, os.path.exists(torch), have, wheels)
"""
    assert in_guest(docker_client, guest_image, code) == "[] [] [] True [] False"


def test_a_failing_step_is_named_with_what_it_said(
    docker_client: docker.DockerClient, guest_image: str, sources: Sources, tag: str
) -> None:
    dockerfile = Path(str(sources.images)) / "Dockerfile"
    dockerfile.write_text(
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN echo the disk is made of cheese && exit 3\n"
    )
    with pytest.raises(ImageError) as caught:
        build_guest_image(docker_client, sources=sources, tag=tag)
    assert "RUN echo the disk" in str(caught.value)
    assert "cheese" in str(caught.value)
    assert "returned a non-zero code: 3" in str(caught.value)
    assert guest_image_state(docker_client, tag=tag).freshness is Freshness.MISSING


def test_a_base_without_python_is_named(
    docker_client: docker.DockerClient, sources: Sources, tag: str
) -> None:
    empty = f"{tag}-empty"
    repository, _, name = empty.partition(":")
    # An image of one empty archive: nothing in it can run.
    docker_client.api.import_image_from_data(b"\0" * 10240, repository=repository, tag=name)
    try:
        with pytest.raises(ImageError, match="step 'Step 7") as caught:
            build_guest_image(docker_client, base=empty, sources=sources, tag=tag)
        assert "/bin/sh" in str(caught.value)
    finally:
        docker_client.images.remove(empty)


def test_a_base_that_is_nowhere_is_named(
    docker_client: docker.DockerClient, guest_image: str, tag: str
) -> None:
    with pytest.raises(ImageError) as caught:
        build_guest_image(docker_client, base="localhost:1/no-such-base:1", tag=tag)
    assert "localhost:1/no-such-base:1" in str(caught.value)
    assert "docker load" in str(caught.value)


def test_a_missing_wheel_fails_before_the_engine_is_asked_to_build(
    docker_client: docker.DockerClient,
    guest_image: str,
    sources: Sources,
    tag: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(ImageError, match="put the wheel into"):
        build_guest_image(
            docker_client, sources=sources, tag=tag, wheelhouse_dir=tmp_path / "empty"
        )


def test_no_engine_is_said_with_the_address_that_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(ImageError, match=r"DOCKER_HOST=tcp://127\.0\.0\.1:1.*unset it"):
        connect(timeout=5)


def test_an_engine_that_vanishes_is_an_error_of_ours(tmp_path: Path) -> None:
    client = docker.DockerClient(base_url=f"unix://{tmp_path}/gone.sock", version="1.41")
    with pytest.raises(ImageError, match="stopped answering"):
        guest_image_state(client)


def test_an_engine_that_dies_in_mid_build_is_said_and_leaves_no_image(
    docker_client: docker.DockerClient, guest_image: str, second: Daemon, sources: Sources
) -> None:
    client = bring_up_engine(silent, second)
    base = guest_image_state(docker_client).base
    client.images.load(docker_client.images.get(base).save(named=base))
    (Path(str(sources.images)) / "Dockerfile").write_text(
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN sleep 5\n"
    )

    def kill(event: Event) -> None:
        if "RUN sleep" in event.note:
            os.kill(int(second.pidfile.read_text()), signal.SIGKILL)

    with pytest.raises(ImageError, match="stopped answering while building"):
        build_guest_image(client, base=base, sources=sources, tell=kill, wheelhouse=False)
    client = bring_up_engine(silent, second)
    assert guest_image_state(client).freshness is Freshness.MISSING
