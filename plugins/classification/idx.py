"""Reads the IDX files of MNIST and its kin, gzipped or not."""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plugins.classification.dataset import Dataset, Split, files_fingerprint
from plugins.contract import PluginError, Progress

PARTS = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class IdxSource:
    """Four files, ``train-images-idx3-ubyte`` and so on, with or without ``.gz``."""

    folder: Path
    classes: tuple[str, ...]

    def fingerprint(self) -> str:
        """Goes by name, size and time of change of the four files."""
        facts = []
        for part in PARTS.values():
            for what in ("images-idx3", "labels-idx1"):
                path = self._path(part, what)
                stat = path.stat()
                facts.append((path.name, stat.st_size, stat.st_mtime_ns))
        return files_fingerprint("idx", facts)

    def read(self, progress: Progress) -> Dataset:
        """Read the four files."""
        splits = {}
        for number, (part, prefix) in enumerate(PARTS.items()):
            progress(f"reading {self.folder}", number, len(PARTS))
            where = self._path(prefix, "images-idx3")
            images = read_idx(where, 3)
            labels = read_idx(self._path(prefix, "labels-idx1"), 1)
            if len(images) != len(labels):
                raise PluginError(
                    f"expected as many labels as images for {where}, found {len(labels)} for "
                    f"{len(images)}; fetch the files anew"
                )
            if len(labels) and labels.max() >= len(self.classes):
                raise PluginError(
                    f"expected labels 0..{len(self.classes) - 1} beside {where}, found "
                    f"{labels.max()}; fetch the files anew"
                )
            splits[part] = Split(images[:, None], labels.astype(np.int64))
        progress(f"reading {self.folder}", len(PARTS), len(PARTS))
        return Dataset(self.classes, splits["train"], splits["test"])

    def _path(self, part: str, what: str) -> Path:
        for suffix in (".gz", ""):
            path = self.folder / f"{part}-{what}-ubyte{suffix}"
            if path.is_file():
                return path
        raise PluginError(
            f"expected {part}-{what}-ubyte, gzipped or not, in {self.folder}, found no such file; "
            "name the folder that holds the four files with --data"
        )


def has_idx(folder: Path) -> bool:
    """Whether the first of the four files is in a folder."""
    return any((folder / f"train-images-idx3-ubyte{suffix}").is_file() for suffix in (".gz", ""))


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of bytes that an IDX file holds.

    Raises:
        PluginError: it is no IDX file of so many dimensions, or is damaged.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, ValueError) as error:
        raise PluginError(
            f"expected a readable IDX file in {path}, found: {error}; fetch it anew"
        ) from error
    head = 4 + 4 * dimensions
    # Two zeros, the type (8: unsigned bytes), the number of dimensions; then each dimension.
    if len(data) < head or data[:4] != bytes([0, 0, 8, dimensions]):
        raise PluginError(
            f"expected an IDX file of bytes with {dimensions} dimension(s) in {path}, found "
            f"another beginning ({data[:4].hex()}); fetch it anew"
        )
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    if len(data) - head != math.prod(shape):
        raise PluginError(
            f"expected {math.prod(shape)} bytes of data in {path}, found {len(data) - head}; "
            "fetch it anew"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
