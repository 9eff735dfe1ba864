"""Tiny data sets in every form, for the tests: images whose colour says their class."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from plugins.classification.dataset import Dataset, Split


def split(
    count: int, classes: int, shape: tuple[int, int, int] = (3, 4, 4), seed: int = 0
) -> Split:
    """Images of noise around a brightness of their class; class by class."""
    rng = np.random.default_rng(seed)
    labels = np.sort(np.arange(count) % classes)
    step = 240 // classes
    noise = rng.integers(0, step // 3 + 1, (count, *shape))
    return Split((noise + step * labels[:, None, None, None]).astype(np.uint8), labels)


def dataset(train: int = 100, test: int = 30, classes: int = 5) -> Dataset:
    """A data set of 4x4 images."""
    names = tuple(f"class {i}" for i in range(classes))
    return Dataset(names, split(train, classes), split(test, classes, seed=1) if test else None)


def write_folders(root: Path, data: Dataset, size: int = 8) -> Path:
    """As PNG files in train/CLASS and test/CLASS."""
    for part, held in (("train", data.train), ("test", data.test)):
        for number in range(len(held) if held else 0):
            folder = root / part / data.classes[held.labels[number]]
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(held.images[number].transpose(1, 2, 0))
            image.resize((size, size)).save(folder / f"{number:04d}.png")
    return root


def write_batches(root: Path, per_batch: int = 20, binary: bool = False) -> Path:
    """CIFAR-10's official formats."""
    folder = root / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    for number, name in enumerate(names):
        held = split(per_batch, 10, (3, 32, 32), seed=number)
        rows = held.images.reshape(per_batch, -1)
        if binary:
            whole = np.concatenate([held.labels[:, None].astype(np.uint8), rows], axis=1)
            (folder / f"{name}.bin").write_bytes(whole.tobytes())
        else:
            # The official files are of Python 2: their keys are bytes.
            batch = {
                b"batch_label": name.encode(),
                b"labels": held.labels.tolist(),
                b"data": rows,
                b"filenames": [f"{i}.png".encode() for i in range(per_batch)],
            }
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return root


def write_idx(root: Path, train: int = 60, test: int = 20, zipped: bool = True) -> Path:
    """Fashion-MNIST's format."""
    root.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        held = split(count, 10, (1, 28, 28), seed=count)
        for what, array in (("images-idx3", held.images[:, 0]), ("labels-idx1", held.labels)):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            body = head + array.astype(np.uint8).tobytes()
            name = f"{prefix}-{what}-ubyte"
            if zipped:
                (root / f"{name}.gz").write_bytes(gzip.compress(body))
            else:
                (root / name).write_bytes(body)
    return root
