"""What goes into the guest image, and the hash that says whether it is still the same."""

from __future__ import annotations

import io
import tarfile
import threading
from pathlib import Path

import pytest

from images.context import Sources, content_hash, image_files, tar_stream
from images.errors import ImageError

BASE = "sha256:0001"


def hash_of(sources: Sources, device: str = "cpu", base: str = BASE) -> str:
    return content_hash(image_files(device, sources), device, base)


def test_a_copy_of_the_files_has_the_hash_of_the_installed_ones(sources: Sources) -> None:
    assert hash_of(sources) == hash_of(Sources.installed())


@pytest.mark.parametrize(
    "path",
    ["images/Dockerfile", "images/requirements/cpu.txt", "guest/__init__.py", "guest/task.py"],
)
def test_a_changed_byte_in_any_file_changes_the_hash(
    sources: Sources, tmp_path: Path, path: str
) -> None:
    before = hash_of(sources)
    file = tmp_path / path
    original = file.read_bytes()
    file.write_bytes(original + b"#")
    assert hash_of(sources) != before
    file.write_bytes(original)
    assert hash_of(sources) == before


def test_a_new_or_renamed_or_nested_guest_file_changes_the_hash(
    sources: Sources, tmp_path: Path
) -> None:
    seen = {hash_of(sources)}
    extra = tmp_path / "guest" / "extra.py"
    extra.write_text("X = 1\n")
    seen.add(hash_of(sources))
    extra.rename(extra.with_name("other.py"))
    seen.add(hash_of(sources))
    nested = tmp_path / "guest" / "deep" / "other.py"
    nested.parent.mkdir()
    (tmp_path / "guest" / "other.py").rename(nested)
    seen.add(hash_of(sources))
    assert len(seen) == 4


def test_the_device_and_the_base_change_the_hash(sources: Sources) -> None:
    assert len({hash_of(sources), hash_of(sources, "cuda"), hash_of(sources, base="other")}) == 3


def test_byte_code_other_devices_and_hidden_files_do_not_change_the_hash(
    sources: Sources, tmp_path: Path
) -> None:
    before = hash_of(sources)
    cache = tmp_path / "guest" / "__pycache__"
    cache.mkdir()
    (cache / "task.cpython-311.pyc").write_bytes(b"\0")
    (tmp_path / "guest" / ".task.py.swp").write_bytes(b"\0")
    (tmp_path / "images" / "requirements" / "cuda.txt").write_text("torch==1.0\n")
    (tmp_path / "guest" / "task.py").touch()
    assert hash_of(sources) == before


def test_content_moved_between_two_files_changes_the_hash() -> None:
    one = content_hash({"a": b"xy", "b": b""}, "cpu", BASE)
    assert content_hash({"a": b"x", "b": b"y"}, "cpu", BASE) != one


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ImageError, match="cpu, cuda; found 'tpu'"):
        image_files("tpu")


def test_an_absent_file_says_to_reinstall(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "images" / "Dockerfile").unlink()
    with pytest.raises(ImageError, match="reinstall"):
        image_files("cpu", sources)


def test_the_stream_holds_every_file_owned_by_root_and_writable_by_nobody_else(
    tmp_path: Path,
) -> None:
    wheel = tmp_path / "x-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel" * 1000)
    files = image_files("cpu")
    data = b"".join(tar_stream(files, [wheel]))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        for name, content in files.items():
            extracted = archive.extractfile(name)
            assert extracted is not None
            assert extracted.read() == content
        extracted = archive.extractfile("wheels/x-1-py3-none-any.whl")
        assert extracted is not None
        assert extracted.read() == wheel.read_bytes()
    assert {(member.uid, member.gid, member.mode & 0o022) for member in members} == {(0, 0, 0)}
    assert "guest/guest" in {member.name for member in members if member.isdir()}


def test_the_host_side_of_the_sandbox_does_not_enter_the_image() -> None:
    files = image_files("cpu")
    assert files["guest/__init__.py"] == b""
    assert "guest/guest/task.py" in files
    assert not any("executor" in name for name in files)


def test_a_wheel_that_vanished_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"build context.*gone\.whl"):
        b"".join(tar_stream({"Dockerfile": b""}, [tmp_path / "gone.whl"]))


def test_a_stream_that_nobody_reads_to_its_end_lets_its_writer_go(tmp_path: Path) -> None:
    wheel = tmp_path / "big-1-py3-none-any.whl"
    wheel.write_bytes(b"\0" * (8 << 20))
    stream = tar_stream({"Dockerfile": b""}, [wheel])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert "build-context" not in {thread.name for thread in threading.enumerate()}
