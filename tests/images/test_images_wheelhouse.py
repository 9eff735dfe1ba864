"""Wheels are fetched by the host's pip, kept, and never trusted half."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from images.context import DEVICES, image_files
from images.errors import ImageError
from images.progress import Event
from images.wheelhouse import (
    PIP,
    check_pins,
    fetch_wheels,
    find_wheel,
    guest_tags,
    needs_cuda,
    platforms,
)

TAGS = guest_tags("x86_64")


def write_wheel(folder: Path, name: str, metadata: str = "") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{'-'.join(name.split('-')[:2])}.dist-info/METADATA", metadata)
    return path


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pip that reaches nothing, at once."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))


@pytest.mark.parametrize("device", DEVICES)
def test_every_requirement_of_the_guest_is_pinned(device: str) -> None:
    name = f"requirements/{device}.txt"
    pins = check_pins(image_files(device)[name], name)
    assert any(pin.startswith("torch==") for pin in pins)
    assert any("nvidia" in pin for pin in pins) == (device == "cuda")
    assert not any(pin.startswith(("setuptools", "pip", "wheel")) for pin in pins)


@pytest.mark.parametrize("line", ["torch", "torch>=2", "torch =! 2"])
def test_a_requirement_without_a_version_is_refused(line: str) -> None:
    with pytest.raises(ImageError, match=r"NAME==VERSION in cpu\.txt"):
        check_pins(f"numpy==1.0\n{line}  # why\n".encode(), "cpu.txt")


def test_a_wheel_is_found_by_name_version_and_platform(tmp_path: Path) -> None:
    wanted = write_wheel(tmp_path, "typing_extensions-4.1-py3-none-any.whl")
    write_wheel(tmp_path, "typing_extensions-4.2-py3-none-any.whl")
    assert find_wheel("typing-extensions==4.1", tmp_path, "cpu", TAGS) == wanted
    assert find_wheel("typing-extensions==4.3", tmp_path, "cpu", TAGS) is None
    write_wheel(tmp_path, "numpy-2.0-cp312-cp312-manylinux_2_28_x86_64.whl")
    write_wheel(tmp_path, "numpy-2.0-cp311-cp311-macosx_11_0_arm64.whl")
    assert find_wheel("numpy==2.0", tmp_path, "cpu", TAGS) is None
    right = write_wheel(tmp_path, "numpy-2.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    assert find_wheel("numpy==2.0", tmp_path, "cpu", TAGS) == right
    assert find_wheel("numpy==2.0", tmp_path, "cpu", guest_tags("aarch64")) is None


def test_wheels_for_a_newer_c_library_than_the_base_has_are_not_taken(tmp_path: Path) -> None:
    write_wheel(tmp_path, "numpy-2.0-cp311-cp311-manylinux_2_39_x86_64.whl")
    assert find_wheel("numpy==2.0", tmp_path, "cpu", TAGS) is None
    assert platforms("aarch64")[0] == "manylinux_2_36_aarch64"


def test_the_build_of_torch_follows_the_device(tmp_path: Path) -> None:
    ending = "-cp311-cp311-manylinux_2_28_x86_64.whl"
    plain = write_wheel(tmp_path, f"torch-2.13.0{ending}", "Requires-Dist: nvidia-nccl==1\n")
    assert find_wheel("torch==2.13.0", tmp_path, "cpu", TAGS) == plain
    cpu = write_wheel(tmp_path, f"torch-2.13.0+cpu{ending}", "Requires-Dist: jinja2\n")
    assert find_wheel("torch==2.13.0", tmp_path, "cpu", TAGS) == cpu
    pins = check_pins(image_files("cuda")["requirements/cuda.txt"], "cuda.txt")
    (torch,) = [pin for pin in pins if pin.startswith("torch==")]
    assert find_wheel(torch, tmp_path, "cuda", TAGS) == plain
    assert needs_cuda(plain)
    assert not needs_cuda(cpu)


def test_a_wheel_cut_short_is_not_trusted(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "tqdm-4.0-py3-none-any.whl", "x" * 5000)
    assert find_wheel("tqdm==4.0", tmp_path, "cpu", TAGS) == wheel
    wheel.write_bytes(wheel.read_bytes()[:3000])
    assert find_wheel("tqdm==4.0", tmp_path, "cpu", TAGS) is None


def test_wheels_that_are_there_are_kept_and_what_lacks_is_named(
    tmp_path: Path, no_index: None
) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    version = PIP.partition("==")[2]
    pip = write_wheel(folder, f"pip-{version}-py3-none-any.whl")
    tqdm = write_wheel(folder, "tqdm-4.0-py3-none-any.whl")
    events: list[Event] = []
    assert fetch_wheels(["tqdm==4.0"], "cpu", "x86_64", events.append, folder) == [pip, tqdm]
    assert [event.fraction for event in events] == [1.0]
    with pytest.raises(ImageError) as caught:
        fetch_wheels(["tqdm==4.0", "yacs==0.1"], "cpu", "x86_64", events.append, folder)
    message = str(caught.value)
    assert "yacs==0.1" in message
    assert "No matching distribution" in message
    assert f"put the wheel into {folder}" in message
    assert sorted(path.name for path in folder.iterdir()) == sorted([pip.name, tqdm.name])


def test_what_a_killed_fetch_left_is_removed_and_not_used(tmp_path: Path, no_index: None) -> None:
    dead = tmp_path / ".partial-999999999-abc"
    dead.mkdir()
    write_wheel(dead, "yacs-0.1-py3-none-any.whl")
    with pytest.raises(ImageError):
        fetch_wheels(["yacs==0.1"], "cpu", "x86_64", lambda event: None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="--wheelhouse-dir"):
        fetch_wheels([], "cpu", "x86_64", lambda event: None, tmp_path / "file" / "wheels")


def test_pip_fetches_for_the_guest_and_not_for_this_python(tmp_path: Path) -> None:
    # A real source with a wheel for another Python beside the guest's; nothing is reached.
    links = tmp_path / "links"
    links.mkdir()
    write_wheel(links, "demo-1.0-cp39-cp39-manylinux2014_x86_64.whl")
    metadata = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    right = links / "demo-1.0-cp311-cp311-manylinux2014_x86_64.whl"
    with zipfile.ZipFile(right, "w") as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", metadata)
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    write_wheel(tmp_path, f"pip-{PIP.partition('==')[2]}-py3-none-any.whl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.setenv("PIP_FIND_LINKS", str(links))
        wheels = fetch_wheels(["demo==1.0"], "cpu", "x86_64", lambda event: None, tmp_path)
    assert wheels[1].name == right.name
