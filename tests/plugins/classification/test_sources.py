"""Reading data sets: folders of images, IDX files, CIFAR-10's batches; whole and damaged."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from plugins.classification.batches import BatchSource, find_batches
from plugins.classification.dataset import Source
from plugins.classification.fashion_mnist import CLASSES, DEBIAN
from plugins.classification.folders import FolderSource
from plugins.classification.idx import IdxSource, has_idx
from plugins.contract import PluginError
from tests.plugins.classification.made_up import (
    dataset,
    split,
    write_batches,
    write_folders,
    write_idx,
)
from tests.plugins.classification.test_prepared import silent


def test_folders_are_read_class_by_class_in_the_size_asked_for(tmp_path: Path) -> None:
    told: list[tuple[float, float | None]] = []
    data = dataset(train=20, test=10)
    root = write_folders(tmp_path / "mine äöü and spaces", data)
    read = FolderSource(root, 4).read(lambda what, done, total: told.append((done, total)))
    assert read.classes == data.classes
    assert read.train.images.shape == (20, 3, 4, 4)
    assert read.train.labels.tolist() == data.train.labels.tolist()
    # Twice as large and back: nearly the same.
    assert np.abs(read.train.images.astype(int) - data.train.images).max() < 40
    assert read.test is not None
    assert len(read.test) == 10
    assert told[-1] == (30, 30)


def test_classes_without_a_split_are_training_images_alone(tmp_path: Path) -> None:
    root = write_folders(tmp_path, dataset(train=20, test=0)) / "train"
    read = FolderSource(root, 4).read(silent)
    assert (len(read.train), read.test) == (20, None)


def test_images_of_any_size_and_colour_are_brought_to_one(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (40, 10), (200, 0, 0)).save(tmp_path / "a" / "wide.jpg")
    Image.new("L", (5, 50), 90).save(tmp_path / "a" / "tall.png")
    Image.new("RGBA", (8, 8), (0, 0, 250, 128)).save(tmp_path / "b" / "clear.png")
    Image.new("P", (8, 8)).save(tmp_path / "b" / "palette.gif")
    (tmp_path / "b" / "notes.txt").write_text("no image")
    read = FolderSource(tmp_path, 8).read(silent)
    assert read.train.images.shape == (4, 3, 8, 8)
    assert read.train.images[0].reshape(3, -1).mean(1).tolist() == [90, 90, 90]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda root: (root / "train" / "class 0" / "0.png").write_bytes(b"x"), r"0\.png, found a"),
        (lambda root: (root / "train" / "empty").mkdir(), "expected images .*empty, found none"),
        (lambda root: (root / "test" / "class 9").mkdir(), "expected images .*class 9"),
        (
            lambda root: (root / "test" / "class 0").rename(root / "test" / "class 9"),
            "the same classes .* found 'class 0'",
        ),
    ],
)
def test_a_folder_that_is_not_right_is_said(tmp_path: Path, spoil: object, why: str) -> None:
    root = write_folders(tmp_path, dataset(train=20, test=10))
    assert callable(spoil)
    spoil(root)
    with pytest.raises(PluginError, match=why):
        FolderSource(root, 4).read(silent)


@pytest.mark.parametrize("count", [0, 1])
def test_one_class_is_none(tmp_path: Path, count: int) -> None:
    if count:
        (tmp_path / "only").mkdir()
    with pytest.raises(PluginError, match=r"at least two folders.*found (none|only 'only')"):
        FolderSource(tmp_path, 4).read(silent)
    with pytest.raises(PluginError, match="found none at"):
        FolderSource(tmp_path / "gone", 4).fingerprint()


def test_a_cut_off_jpeg_is_named(tmp_path: Path, shared: Path) -> None:
    import io
    import tarfile

    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "fine.jpg")
    with tarfile.open(shared / "data" / "cifar10-jpg-subset.tar") as archive:
        member = archive.next()
        while member is not None and not member.isfile():
            member = archive.next()
        assert member is not None
        stream = archive.extractfile(member)
        assert stream is not None
        whole = stream.read()
    assert Image.open(io.BytesIO(whole)).size == (32, 32)
    (tmp_path / "a" / "short.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PluginError, match=r"short\.jpg, found a file that cannot be read"):
        FolderSource(tmp_path, 8).read(silent)


def test_the_official_batches_in_both_formats_hold_the_same(tmp_path: Path) -> None:
    python = find_batches(write_batches(tmp_path / "py"))
    binary = find_batches(write_batches(tmp_path / "bin", binary=True))
    assert python is not None
    assert binary is not None
    one, two = BatchSource(python).read(silent), BatchSource(binary).read(silent)
    assert len(one.train) == 100
    assert one.test is not None
    assert two.test is not None
    assert len(one.test) == 20
    expected = split(20, 10, (3, 32, 32), seed=0)
    assert np.array_equal(one.train.images[:20], expected.images)
    assert one.train.labels[:20].tolist() == expected.labels.tolist()
    for a, b in ((one.train, two.train), (one.test, two.test)):
        assert np.array_equal(a.images, b.images)
        assert np.array_equal(a.labels, b.labels)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch bombed",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "expected a CIFAR-10 batch"),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [0, 1]}), "shape"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}), "a label 0..9"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8)}), "labels"),
        (pickle.dumps(Bomb()), "plain arrays, found posix.system"),
    ],
)
def test_a_batch_that_is_none_is_said(
    tmp_path: Path, content: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_batches(tmp_path) / "cifar-10-batches-py"
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(PluginError, match=why):
        BatchSource(folder).read(silent)
    assert not (tmp_path / "bombed").exists()


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    folder = write_batches(tmp_path) / "cifar-10-batches-py"
    (folder / "data_batch_4").unlink()
    with pytest.raises(PluginError, match="data_batch_4"):
        BatchSource(folder).fingerprint()
    assert find_batches(tmp_path / "else") is None


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_are_read_zipped_or_not(tmp_path: Path, zipped: bool) -> None:
    read = IdxSource(write_idx(tmp_path, zipped=zipped), CLASSES).read(silent)
    assert read.train.images.shape == (60, 1, 28, 28)
    assert np.array_equal(read.train.images, split(60, 10, (1, 28, 28), seed=60).images)
    assert read.test is not None
    assert read.test.labels.tolist() == np.sort(np.arange(20) % 10).tolist()
    assert has_idx(tmp_path)
    assert not has_idx(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("train-images-idx3-ubyte", b"\0\0\x0d\x03" + b"\0" * 12, r"another beginning \(00000d03"),
        (
            "train-images-idx3-ubyte",
            bytes([0, 0, 8, 3] + 3 * [0, 0, 0, 2]),
            "expected 8 bytes .* 0;",
        ),
        ("train-labels-idx1-ubyte", bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 1]), "found 2 for 60"),
        ("t10k-labels-idx1-ubyte", bytes([0, 0, 8, 1, 0, 0, 0, 20]) + b"\x0b" * 20, "labels 0..9"),
    ],
)
def test_a_damaged_idx_file_is_said(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    folder = write_idx(tmp_path, zipped=False)
    (folder / name).write_bytes(content)
    with pytest.raises(PluginError, match=why):
        IdxSource(folder, CLASSES).read(silent)
    (folder / f"{name}.gz").write_bytes(b"no gzip")
    with pytest.raises(PluginError, match="fetch it anew"):
        IdxSource(folder, CLASSES).read(silent)


def test_debians_package_is_fashion_mnist() -> None:
    if not has_idx(DEBIAN):
        pytest.skip(f"needs Debian's package dataset-fashion-mnist in {DEBIAN}")
    read = IdxSource(DEBIAN, CLASSES).read(silent)
    assert (len(read.train), len(read.test or ())) == (60_000, 10_000)
    assert np.bincount(read.train.labels).tolist() == [6000] * 10


@pytest.mark.parametrize("kind", ["folders", "batches", "idx"])
def test_a_fingerprint_changes_with_the_data_and_only_then(tmp_path: Path, kind: str) -> None:
    def source() -> Source:
        if kind == "folders":
            return FolderSource(tmp_path, 4)
        if kind == "idx":
            return IdxSource(tmp_path, CLASSES)
        return BatchSource(tmp_path / "cifar-10-batches-py")

    writers = {
        "folders": lambda: write_folders(tmp_path, dataset(train=10, test=10)),
        "batches": lambda: write_batches(tmp_path),
        "idx": lambda: write_idx(tmp_path),
    }
    writers[kind]()
    before = source().fingerprint()
    assert source().fingerprint() == before
    changed = next(path for path in sorted(tmp_path.rglob("*")) if path.is_file())
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert source().fingerprint() != before
