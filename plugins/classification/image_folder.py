"""Anybody's own images: one folder per class."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from plugins.classification.base import ImageClassification, common_options, data_folder
from plugins.classification.dataset import Source
from plugins.classification.folders import FolderSource
from plugins.contract import Option, PluginError, Progress


class ImageFolder(ImageClassification):
    """A data set of one's own: ``DIR/CLASS/*``, or ``DIR/train/CLASS/*`` and ``DIR/test/...``."""

    name: ClassVar[str] = "image-folder"
    summary: ClassVar[str] = "Your own images, one folder per class: every network is trained"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "data",
            None,
            "The folder: one folder of images per class, or these in train/ and test/.",
        ),
        Option("image-size", 32, "Height and width that images are brought to, in pixels.", int),
        *common_options(0.0, 5000.0),
    )

    def __init__(
        self,
        data: str | None = None,
        image_size: int = 32,
        min_macs: float = 0.0,
        max_macs: float = 5000.0,
        **common: Any,
    ) -> None:
        """Take the options.

        Raises:
            PluginError: a value is out of range, or there is no such folder.
        """
        super().__init__(min_macs=min_macs, max_macs=max_macs, **common)
        if not 1 <= image_size <= 1024:
            raise PluginError(f"expected --image-size from 1 to 1024, found {image_size}")
        self._where, self._size = data_folder(data), image_size

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Three channels of the size asked for."""
        return (3, self._size, self._size)

    @cached_property
    def class_count(self) -> int:
        """As many as there are folders; two where no data is named yet."""
        return 2 if self._where is None else len(self._source().class_names)

    def source(self, progress: Progress) -> Source:
        """The folder named."""
        return self._source()

    def _source(self) -> FolderSource:
        if self._where is None:
            raise PluginError(
                "expected the folder of images, found none; name it with --data DIR: one folder "
                "of images per class, or these in train/ and test/"
            )
        return FolderSource(Path(self._where), self._size)
