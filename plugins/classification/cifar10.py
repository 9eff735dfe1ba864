"""CIFAR-10, the paper's main experiment."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, ClassVar

from plugins.classification.base import ImageClassification, common_options, data_folder
from plugins.classification.batches import CLASSES, SHAPE, BatchSource, find_batches
from plugins.classification.dataset import Source
from plugins.classification.folders import FolderSource
from plugins.contract import Option, PluginError, Progress


class Cifar10(ImageClassification):
    """CIFAR-10 (Krizhevsky, 2009): 50,000 training and 10,000 test images of 32x32 pixels."""

    name: ClassVar[str] = "cifar10"
    summary: ClassVar[str] = "CIFAR-10: every network is trained on images of 32x32"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "data",
            None,
            "A folder with the official batches, or with one folder of images per class in train/ "
            "and test/.  [default: downloaded once]",
        ),
        *common_options(200.0, 5000.0),
    )

    def __init__(self, data: str | None = None, **common: Any) -> None:
        """Take the options."""
        super().__init__(**common)
        self._where = data_folder(data)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Three channels of 32x32."""
        return SHAPE

    @property
    def class_count(self) -> int:
        """Ten."""
        return len(CLASSES)

    def source(self, progress: Progress) -> Source:
        """The folder named, else the official archive, downloaded and checked by torchvision."""
        if self._where is not None:
            batches = find_batches(self._where)
            if batches is not None:
                return BatchSource(batches)
            if (self._where / "train").is_dir():
                return FolderSource(self._where, SHAPE[1])
            raise PluginError(
                f"expected CIFAR-10's batches (data_batch_1, ...) or folders train/ and test/ in "
                f"{self._where}, found neither; correct the path, or leave --data out"
            )
        root = self._cache / "downloads"
        if find_batches(root) is None:
            progress("downloading CIFAR-10", 0, None)
            _download(root)
        found = find_batches(root)
        if found is None:
            raise PluginError(
                f"expected CIFAR-10's batches in {root} after the download, found none; remove "
                "that folder and try again, or name a copy with --data DIR"
            )
        return BatchSource(found)


def _download(root: Path) -> None:
    from torchvision.datasets import CIFAR10

    try:
        # Its progress bar goes to standard error, what else it says does too.
        with contextlib.redirect_stdout(sys.stderr):
            CIFAR10(str(root), download=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise PluginError(
            f"expected to download CIFAR-10 from {CIFAR10.url}, found: {error}; get the archive "
            "on a machine that reaches it, unpack it, and name the folder with --data DIR"
        ) from error
