"""Preparing a data set: splits, the cache, and what never leaves the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plugins.classification.dataset import Dataset, Split
from plugins.classification.prepared import (
    Splitting,
    data_cache,
    divide,
    pixel_order,
    prepare,
    statistics,
    stratified,
)
from plugins.contract import PluginError, Progress
from tests.plugins.classification.made_up import dataset


class Made:
    """A source that counts how often it is read."""

    def __init__(self, data: Dataset, name: str = "made") -> None:
        self.data, self.name, self.reads = data, name, 0

    def fingerprint(self) -> str:
        return self.name

    def read(self, progress: Progress) -> Dataset:
        self.reads += 1
        return self.data


def silent(what: str, done: float, total: float | None) -> None:
    """Says nothing."""


def test_validation_is_held_out_by_class_and_shares_no_image_with_training() -> None:
    data = dataset(train=200, classes=5)
    splits, classes = divide(data, Splitting())
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 180,
        "validation": 20,
        "test": 30,
    }
    assert classes == data.classes
    assert np.bincount(splits["validation"].labels).tolist() == [4] * 5
    assert np.bincount(splits["train"].labels).tolist() == [36] * 5
    images = np.concatenate([splits["train"].images, splits["validation"].images])
    assert sorted(i.tobytes() for i in images) == sorted(i.tobytes() for i in data.train.images)


def test_the_seed_decides_the_split_and_nothing_else_does() -> None:
    data = dataset(train=200)
    one, same, other = (
        divide(data, Splitting(seed=seed))[0]["validation"].images for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_fewer_training_images_are_taken_by_class_and_validation_stays() -> None:
    data = dataset(train=200, classes=5)
    whole, less = (divide(data, Splitting(30, train))[0] for train in (None, 50))
    assert np.array_equal(whole["validation"].images, less["validation"].images)
    assert np.bincount(less["train"].labels).tolist() == [10] * 5


def test_uneven_classes_keep_their_shares() -> None:
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    chosen = stratified(labels, 25, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() in ([17, 5, 3], [18, 5, 2])
    assert len(set(chosen.tolist())) == 25


@pytest.mark.parametrize(
    ("splitting", "why"),
    [
        (Splitting(0), "--validation-images from 1 to 95"),
        (Splitting(96), "--validation-images from 1 to 95.*found 96"),
        (Splitting(10, 91), r"--train-images from 5 \(one a class\) to 90"),
        (Splitting(10, 4), "--train-images from 5"),
    ],
)
def test_a_splitting_that_does_not_fit_is_refused(splitting: Splitting, why: str) -> None:
    with pytest.raises(PluginError, match=why):
        divide(dataset(), splitting)


def test_a_class_that_would_not_be_learnt_is_named() -> None:
    train = Split(np.zeros((101, 3, 4, 4), np.uint8), np.array([0] * 100 + [1]))
    with pytest.raises(PluginError, match="none of 'rare'"):
        divide(Dataset(("often", "rare"), train, None), Splitting(10, 5))


def test_the_container_gets_no_label_but_those_of_the_training_images(tmp_path: Path) -> None:
    data = dataset()
    made = prepare(Made(data), Splitting(), tmp_path, silent)
    assert sorted(path.name for path in made.guest.iterdir()) == [
        "test_images.npy",
        "train_images.npy",
        "train_labels.npy",
        "validation_images.npy",
    ]
    assert made.counts == {"train": 90, "validation": 10, "test": 30}
    # And the labels on the host belong to the images in the container.
    assert data.test is not None
    by_pixels = dict(
        zip((i.tobytes() for i in data.test.images), data.test.labels.tolist(), strict=True)
    )
    images = np.load(made.guest / "test_images.npy")
    assert [by_pixels[i.tobytes()] for i in images] == made.labels("test").tolist()


def test_the_order_of_unlabelled_images_does_not_tell_their_classes(tmp_path: Path) -> None:
    data = dataset(train=500, test=300)
    assert data.test is not None
    assert data.test.labels.tolist() == sorted(data.test.labels.tolist())
    made = prepare(Made(data), Splitting(), tmp_path, silent)
    labels = made.labels("test")
    assert 0.05 < (labels[1:] == labels[:-1]).mean() < 0.4
    # It is a matter of the pixels alone: whoever knows no label cannot tell more.
    order = pixel_order(data.test.images)
    mixed = np.random.default_rng(1).permutation(len(order))
    again = data.test.images[mixed]
    assert np.array_equal(data.test.images[order], again[pixel_order(again)])


def test_a_data_set_is_prepared_once(tmp_path: Path) -> None:
    source = Made(dataset())
    first = prepare(source, Splitting(), tmp_path, silent)
    assert prepare(source, Splitting(), tmp_path, silent) == first
    assert source.reads == 1
    other = prepare(source, Splitting(seed=3), tmp_path, silent)
    assert source.reads == 2
    assert other.content != first.content
    assert prepare(Made(dataset(), "moved"), Splitting(), tmp_path, silent).content == first.content


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "host" / "test_labels.npy").unlink(),
        lambda folder: (folder / "guest" / "train_images.npy").write_bytes(b"short"),
    ],
)
def test_a_damaged_cache_is_noticed_and_made_again(tmp_path: Path, damage: object) -> None:
    source = Made(dataset())
    first = prepare(source, Splitting(), tmp_path, silent)
    assert callable(damage)
    damage(first.folder)
    again = prepare(source, Splitting(), tmp_path, silent)
    assert source.reads == 2
    assert again == first
    assert len(again.labels("test")) == 30


def test_what_a_kill_left_is_no_prepared_set(tmp_path: Path) -> None:
    source = Made(dataset())
    first = prepare(source, Splitting(), tmp_path, silent)
    # As it stands just before the last step.
    first.folder.rename(first.folder.with_suffix(".new"))
    (first.folder.with_suffix(".new") / "manifest.json").unlink()
    again = prepare(source, Splitting(), tmp_path, silent)
    assert (source.reads, again) == (2, first)


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match=r"expected a writable cache folder.*--cache DIR"):
        prepare(Made(dataset()), Splitting(), tmp_path / "file", silent)


def test_the_cache_is_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMATIC_ORCH_CACHE", "/somewhere")
    assert data_cache(None) == Path("/somewhere/data")
    assert data_cache("/else") == Path("/else")


def test_statistics_are_those_of_the_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4)).astype(np.uint8)
    mean, std = statistics(images)
    assert mean == pytest.approx((images / 255).mean(axis=(0, 2, 3)).tolist())
    assert std == pytest.approx((images / 255).std(axis=(0, 2, 3)).tolist())
    # An image without contrast must not divide by zero.
    assert statistics(np.full((2, 1, 2, 2), 7, np.uint8))[1][0] > 0
