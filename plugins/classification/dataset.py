"""Labelled images as a source gives them, and what a source is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from plugins.contract import Progress

#: Class indices are sent as two bytes at most.
MAX_CLASSES = 2**16


@dataclass(frozen=True)
class Split:
    """Images, uint8 of shape (n, channels, height, width), and their class indices, (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Split:
        """Those at the indices, in their order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """A whole data set.

    Attributes:
        classes: their names, by index.
        train: what is learnt from; validation is held out of it.
        test: None where there is none.
    """

    classes: tuple[str, ...]
    train: Split
    test: Split | None


class Source(Protocol):
    """Where a data set is read from."""

    def fingerprint(self) -> str:
        """Changes when the data does; cheap, so it may go by sizes and times of files.

        Raises:
            PluginError: the data is not there.
        """
        ...

    def read(self, progress: Progress) -> Dataset:
        """Read it all.

        Raises:
            PluginError: it is damaged, or not what it should be.
        """
        ...


def files_fingerprint(kind: str, facts: list[tuple[str, int, int]]) -> str:
    """A fingerprint of files: the kind of source, and (name, size, time of change) of each."""
    return repr((kind, sorted(facts)))
