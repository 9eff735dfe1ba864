"""A data set made ready once: arrays for the container, and labels that never leave the host.

A prepared set is a folder of the cache, named after its source and how it was split::

    manifest.json             what it is, and the SHA-256 of every file
    guest/train_images.npy    uint8 (n, channels, height, width)
    guest/train_labels.npy
    guest/validation_images.npy, guest/test_images.npy     without labels
    host/validation_labels.npy, host/test_labels.npy

The order of the images that are predicted must not tell their classes, and files are often read
class by class: so these images are sorted by a hash of their pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock

from plugins.classification.dataset import Dataset, Source, Split
from plugins.contract import PluginError, Progress

#: Raised when the layout or the splitting changes; older folders are then made again.
FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Splitting:
    """How training images are divided; all of it by the seed alone.

    Attributes:
        validation: images held out of the training images; None: a tenth of them.
        train: images kept for training after that; None: all.
        seed: of the choice, which is stratified by class.
    """

    validation: int | None = None
    train: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Prepared:
    """A prepared data set.

    Attributes:
        folder: in the cache.
        content: SHA-256, in hex, over what the container gets.
        classes: names, by index.
        image_shape: (channels, height, width).
        mean, std: of the training images' pixels / 255, one a channel.
        counts: images by split: ``train``, ``validation``, and ``test`` where there is one.
    """

    folder: Path
    content: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    counts: dict[str, int]

    @property
    def guest(self) -> Path:
        """The folder that the container gets."""
        return self.folder / "guest"

    def labels(self, split: str) -> np.ndarray:
        """Class indices of ``validation`` or ``test``, (n,)."""
        labels: np.ndarray = np.load(self.folder / "host" / f"{split}_labels.npy")
        return labels


def data_cache(given: str | None) -> Path:
    """The folder of prepared sets: as given, else in the user's cache."""
    if given:
        return Path(given).expanduser()
    override = os.environ.get("LLMATIC_ORCH_CACHE")
    root = (
        Path(override).expanduser()
        if override
        else Path(platformdirs.user_cache_dir("llmatic-orch", appauthor=False))
    )
    return root / "data"


def prepare(source: Source, splitting: Splitting, cache: Path, progress: Progress) -> Prepared:
    """The prepared set of a source: the one in the cache where it is whole, else made now.

    Raises:
        PluginError: the source cannot be read, the splitting does not fit it, or the cache
            cannot be written.
    """
    key = repr((FORMAT, source.fingerprint(), splitting))
    folder = cache / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            return _open(folder, progress) or _make(folder, source, splitting, progress)
    except OSError as error:
        raise PluginError(
            f"expected a writable cache folder with room for the data, found: {error}; free it, "
            "or name another one with --cache DIR"
        ) from error


def _open(folder: Path, progress: Progress) -> Prepared | None:
    """The set in a folder, or None where it is missing, half-written or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        for name, digest in manifest["files"].items():
            progress("checking the prepared data", 0, None)
            if _sha256(folder / name) != digest:
                return None
        return Prepared(
            folder,
            manifest["content"],
            tuple(manifest["classes"]),
            tuple(manifest["image_shape"]),
            tuple(manifest["mean"]),
            tuple(manifest["std"]),
            dict(manifest["counts"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _make(folder: Path, source: Source, splitting: Splitting, progress: Progress) -> Prepared:
    splits, classes = divide(source.read(progress), splitting)
    new = folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    for part in ("guest", "host"):
        (new / part).mkdir(parents=True)
    train = splits["train"]
    arrays = {"guest/train_images": train.images, "guest/train_labels": train.labels}
    for name in ("validation", "test"):
        if name in splits:
            split = splits[name].take(pixel_order(splits[name].images))
            arrays[f"guest/{name}_images"] = split.images
            arrays[f"host/{name}_labels"] = split.labels
    for number, (name, array) in enumerate(arrays.items()):
        progress("writing the prepared data", number, len(arrays))
        np.save(new / f"{name}.npy", np.ascontiguousarray(array))
    progress("writing the prepared data", len(arrays), len(arrays))
    files = {f"{name}.npy": _sha256(new / f"{name}.npy") for name in arrays}
    guest = json.dumps({n: d for n, d in sorted(files.items()) if n.startswith("guest/")})
    mean, std = statistics(train.images)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "content": hashlib.sha256(guest.encode()).hexdigest(),
        "classes": list(classes),
        "image_shape": list(train.images.shape[1:]),
        "mean": mean,
        "std": std,
        "counts": {name: len(split) for name, split in splits.items()},
        "files": files,
    }
    # Last in the folder, and the folder is named last: one that is there is whole.
    (new / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    made = _open(folder, progress)
    if made is None:
        raise PluginError(
            f"expected the data just written to {folder} to be readable, found it damaged; check "
            "the disk, or name another folder with --cache DIR"
        )
    return made


def divide(dataset: Dataset, splitting: Splitting) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits of a data set (train, validation, test where there is one), and its classes.

    Raises:
        PluginError: a class would have no training image, or no image is left for validation.
    """
    count, classes = len(dataset.train), len(dataset.classes)
    held = count // 10 if splitting.validation is None else splitting.validation
    if not 1 <= held <= count - classes:
        raise PluginError(
            f"expected --validation-images from 1 to {count - classes}, so that {count} training "
            f"images leave one for each of {classes} classes, found {held}"
        )
    kept = count - held if splitting.train is None else splitting.train
    if not classes <= kept <= count - held:
        raise PluginError(
            f"expected --train-images from {classes} (one a class) to {count - held} (all but "
            f"validation), found {kept}"
        )
    rng = np.random.default_rng(splitting.seed)
    validation = stratified(dataset.train.labels, held, rng)
    rest = np.setdiff1d(np.arange(count), validation)
    train = rest[stratified(dataset.train.labels[rest], kept, rng)]
    missing = set(range(classes)) - set(dataset.train.labels[train].tolist())
    if missing:
        name = dataset.classes[min(missing)]
        raise PluginError(
            f"expected training images of every class, found none of {name!r} after validation "
            "was held out; add images of it, or lower --validation-images"
        )
    splits = {"train": dataset.train.take(train), "validation": dataset.train.take(validation)}
    if dataset.test is not None and len(dataset.test):
        splits["test"] = dataset.test
    return splits, dataset.classes


def stratified(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of ``count`` random entries, sorted, each class by its share (largest remainder)."""
    classes, sizes = np.unique(labels, return_counts=True)
    shares = sizes * count / len(labels)
    quota = np.floor(shares).astype(int)
    for index in np.argsort(quota - shares, kind="stable")[: count - quota.sum()]:
        quota[index] += 1
    chosen = [
        rng.choice(np.flatnonzero(labels == label), size, replace=False)
        for label, size in zip(classes, quota, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def pixel_order(images: np.ndarray) -> np.ndarray:
    """An order that depends on the images' pixels alone, and looks random."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    return np.array(sorted(range(len(images)), key=digests.__getitem__), np.int64)


def statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of pixels / 255 for each channel; the latter never zero."""
    mean, std = [], []
    values = np.arange(256) / 255
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].ravel(), minlength=256)
        average = float(counts @ values / counts.sum())
        variance = float(counts @ (values - average) ** 2 / counts.sum())
        mean.append(average)
        std.append(max(variance**0.5, 1 / 255))
    return mean, std


def _sha256(path: Path) -> str:
    with contextlib.closing(path.open("rb")) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
