"""Fashion-MNIST: real images that a Debian package brings."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, ClassVar

from plugins.classification.base import ImageClassification, common_options, data_folder
from plugins.classification.dataset import Source
from plugins.classification.idx import IdxSource, has_idx
from plugins.contract import Option, PluginError, Progress

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
#: Where Debian's package dataset-fashion-mnist puts them.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


class FashionMnist(ImageClassification):
    """Fashion-MNIST (Xiao et al., 2017): 60,000 training and 10,000 test images, 28x28, grey."""

    name: ClassVar[str] = "fashion-mnist"
    summary: ClassVar[str] = "Fashion-MNIST: every network is trained on grey images of 28x28"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "data",
            None,
            f"A folder with the four IDX files.  [default: {DEBIAN} (Debian's "
            "dataset-fashion-mnist), else downloaded once]",
        ),
        # A quarter of CIFAR-10's bytes an image, and networks that a processor can train.
        *common_options(0.0, 100.0),
    )

    def __init__(
        self, data: str | None = None, min_macs: float = 0.0, max_macs: float = 100.0, **common: Any
    ) -> None:
        """Take the options."""
        super().__init__(min_macs=min_macs, max_macs=max_macs, **common)
        self._where = data_folder(data)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """One channel of 28x28."""
        return (1, 28, 28)

    @property
    def class_count(self) -> int:
        """Ten."""
        return len(CLASSES)

    def source(self, progress: Progress) -> Source:
        """The folder named, else Debian's, else torchvision's download."""
        if self._where is not None:
            return IdxSource(self._where, CLASSES)
        if has_idx(DEBIAN):
            return IdxSource(DEBIAN, CLASSES)
        root = self._cache / "downloads"
        raw = root / "FashionMNIST" / "raw"
        if not has_idx(raw):
            progress("downloading Fashion-MNIST", 0, None)
            _download(root)
        return IdxSource(raw, CLASSES)


def _download(root: Path) -> None:
    from torchvision.datasets import FashionMNIST

    try:
        with contextlib.redirect_stdout(sys.stderr):
            FashionMNIST(str(root), download=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise PluginError(
            f"expected to download Fashion-MNIST, found: {error}; on Debian: apt-get install "
            "dataset-fashion-mnist; or name a folder with the four IDX files with --data DIR"
        ) from error
