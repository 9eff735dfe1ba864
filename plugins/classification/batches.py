"""Reads CIFAR-10 in its official formats: the Python batches, and the binary ones."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plugins.classification.dataset import Dataset, Split, files_fingerprint
from plugins.contract import PluginError, Progress

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
PYTHON, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class BatchSource:
    """A folder of batches: ``data_batch_1`` .. ``5`` and ``test_batch``, or the same ``.bin``."""

    folder: Path

    def fingerprint(self) -> str:
        """Goes by name, size and time of change of every batch."""
        facts = []
        for paths in self._paths().values():
            for path in paths:
                stat = path.stat()
                facts.append((path.name, stat.st_size, stat.st_mtime_ns))
        return files_fingerprint("cifar10", facts)

    def read(self, progress: Progress) -> Dataset:
        """Read every batch."""
        splits, done = {}, 0
        paths = self._paths()
        total = sum(map(len, paths.values()))
        for part, batches in paths.items():
            read = []
            for path in batches:
                progress(f"reading {self.folder}", done, total)
                read.append(_read_binary(path) if path.suffix == ".bin" else _read_python(path))
                done += 1
            splits[part] = Split(
                np.concatenate([batch.images for batch in read]),
                np.concatenate([batch.labels for batch in read]),
            )
        progress(f"reading {self.folder}", total, total)
        return Dataset(CLASSES, splits["train"], splits["test"])

    def _paths(self) -> dict[str, list[Path]]:
        suffix = ".bin" if (self.folder / "test_batch.bin").exists() else ""
        paths = {
            "train": [self.folder / f"data_batch_{number}{suffix}" for number in range(1, 6)],
            "test": [self.folder / f"test_batch{suffix}"],
        }
        for path in (*paths["train"], *paths["test"]):
            if not path.is_file():
                raise PluginError(
                    f"expected CIFAR-10's batch {path.name} in {self.folder}, found none; unpack "
                    "the whole archive there, or leave --data out"
                )
        return paths


def find_batches(folder: Path) -> Path | None:
    """The folder of batches that is meant by a folder: itself, or one in it by its usual name."""
    for candidate in (folder, folder / PYTHON, folder / BINARY):
        if any((candidate / name).is_file() for name in ("test_batch", "test_batch.bin")):
            return candidate
    return None


def _read_binary(path: Path) -> Split:
    """One byte of label and the pixels of each image, channel by channel."""
    data = np.frombuffer(_bytes(path), np.uint8)
    if not len(data) or len(data) % (1 + PIXELS):
        raise PluginError(
            f"expected a multiple of {1 + PIXELS} bytes in {path}, found {len(data)}; unpack the "
            "archive anew"
        )
    rows = data.reshape(-1, 1 + PIXELS)
    return _split(path, rows[:, 1:], rows[:, 0])


def _read_python(path: Path) -> Split:
    """A pickled dictionary with ``data`` (n, 3072) and ``labels``."""
    try:
        held = _ArrayUnpickler(io.BytesIO(_bytes(path)), encoding="bytes").load()
        named = {key.decode() if isinstance(key, bytes) else key: held[key] for key in held}
        data, labels = np.asarray(named["data"]), np.asarray(named["labels"])
        if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
            raise ValueError(f"data of {data.dtype} and shape {data.shape}")
    except PluginError:
        raise
    except Exception as error:
        # A damaged pickle can raise nearly anything.
        raise PluginError(
            f"expected a CIFAR-10 batch in {path}, found something else ({error}); unpack the "
            "archive anew"
        ) from error
    return _split(path, data, labels)


def _split(path: Path, data: np.ndarray, labels: np.ndarray) -> Split:
    if labels.shape != (len(data),) or labels.min() < 0 or labels.max() >= len(CLASSES):
        raise PluginError(
            f"expected a label 0..9 for each of the {len(data)} images in {path}, found others; "
            "unpack the archive anew"
        )
    return Split(data.reshape(-1, *SHAPE), labels.astype(np.int64))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PluginError(f"expected to read {path}, found: {error.strerror}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Admits what a pickle of plain containers and numpy arrays names, and nothing that runs."""

    def find_class(self, module: str, name: str) -> Any:
        """Look up what the pickle names."""
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            # How older pickles hold bytes.
            return lambda text, _encoding="latin1": text.encode("latin1")
        raise pickle.UnpicklingError(f"expected plain arrays, found {module}.{name}")
