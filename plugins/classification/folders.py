"""Reads a data set from folders of image files, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plugins.classification.dataset import (
    MAX_CLASSES,
    Dataset,
    Split,
    files_fingerprint,
)
from plugins.contract import PluginError, Progress

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
#: Files that are decoded between two words of progress.
CHUNK = 500


@dataclass(frozen=True)
class FolderSource:
    """``DIR/train/CLASS/*`` with or without ``DIR/test/CLASS/*``; or ``DIR/CLASS/*`` alone.

    Every image becomes RGB of size x size pixels: resized to cover the square, then cropped at
    its centre.
    """

    folder: Path
    size: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """In order of their indices.

        Raises:
            PluginError: the folder is not what it should be.
        """
        return tuple(self._parts()["train"])

    def fingerprint(self) -> str:
        """Goes by name, size and time of change of every file."""
        facts = []
        for part, classes in self._parts().items():
            for name, paths in classes.items():
                for path in paths:
                    stat = path.stat()
                    facts.append((f"{part}/{name}/{path.name}", stat.st_size, stat.st_mtime_ns))
        return files_fingerprint(f"folders {self.size}", facts)

    def read(self, progress: Progress) -> Dataset:
        """Decode every file."""
        parts = self._parts()
        names = tuple(parts["train"])
        total = sum(len(paths) for classes in parts.values() for paths in classes.values())
        done = 0
        splits = {}
        for part, classes in parts.items():
            files = [(path, names.index(name)) for name, paths in classes.items() for path in paths]
            images = np.empty((len(files), 3, self.size, self.size), np.uint8)
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                for start in range(0, len(files), CHUNK):
                    progress(f"reading the images of {self.folder}", done + start, total)
                    paths = [path for path, _ in files[start : start + CHUNK]]
                    for index, image in enumerate(pool.map(self._decode, paths), start):
                        images[index] = image
            done += len(files)
            splits[part] = Split(images, np.array([label for _, label in files], np.int64))
        progress(f"reading the images of {self.folder}", total, total)
        return Dataset(names, splits["train"], splits.get("test"))

    def _parts(self) -> dict[str, dict[str, list[Path]]]:
        """Part, then class, then its files in order; checked."""
        if not self.folder.is_dir():
            raise PluginError(
                f"expected --data to be a folder with one folder for each class, found none at "
                f"{self.folder}; correct the path"
            )
        train = self.folder / "train"
        parts = {"train": self._classes(train if train.is_dir() else self.folder)}
        if train.is_dir() and (self.folder / "test").is_dir():
            parts["test"] = self._classes(self.folder / "test")
            unknown = sorted(set(parts["test"]) ^ set(parts["train"]))
            if unknown:
                raise PluginError(
                    f"expected the same classes in {train} and {self.folder / 'test'}, found "
                    f"{unknown[0]!r} in one of them alone; add or remove that folder"
                )
        return parts

    def _classes(self, folder: Path) -> dict[str, list[Path]]:
        names = sorted(
            entry.name
            for entry in os.scandir(folder)
            if entry.is_dir() and not entry.name.startswith(".")
        )
        if len(names) < 2:
            found = f"only {names[0]!r}" if names else "none"
            raise PluginError(
                f"expected at least two folders, one for each class, in {folder}, found {found}; "
                "put each class's images into a folder of its own"
            )
        if len(names) > MAX_CLASSES:
            raise PluginError(
                f"expected at most {MAX_CLASSES} classes in {folder}, found {len(names)}"
            )
        classes = {name: sorted(_images(folder / name)) for name in names}
        for name, paths in classes.items():
            if not paths:
                raise PluginError(
                    f"expected images ({', '.join(sorted(SUFFIXES))}) in {folder / name}, found "
                    "none; add some, or remove the folder"
                )
        return classes

    def _decode(self, path: Path) -> np.ndarray:
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as image:
                fitted = ImageOps.fit(image.convert("RGB"), (self.size, self.size))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise PluginError(
                f"expected an image in {path}, found a file that cannot be read as one "
                f"({error}); replace or remove it"
            ) from error
        return np.asarray(fitted, np.uint8).transpose(2, 0, 1)


def _images(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in SUFFIXES and not entry.name.startswith(".") and entry.is_file():
            yield Path(entry.path)
