"""Labelled images on the device: one tensor of bytes, normalised and batched there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

#: Pixels that a random crop may move an image, as is usual for images of 32x32.
PADDING = 4


@dataclass(frozen=True)
class Normalisation:
    """Per channel: (bytes / 255 - mean) / std. Both of shape (1, channels, 1, 1)."""

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float], device: torch.device) -> Normalisation:
        """From numbers, one a channel."""
        shape = (1, -1, 1, 1)
        return cls(
            torch.tensor(mean, device=device, dtype=torch.float32).reshape(shape),
            torch.tensor(std, device=device, dtype=torch.float32).reshape(shape),
        )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Bytes of shape (n, channels, height, width) to floats."""
        return (images.float().div_(255.0) - self.mean) / self.std


def load_images(path: Path, device: torch.device) -> torch.Tensor:
    """An array of images, uint8, (n, channels, height, width), on the device."""
    return torch.from_numpy(np.load(path, allow_pickle=False)).to(device)


def load_labels(path: Path, device: torch.device) -> torch.Tensor:
    """An array of class indices, (n,), on the device."""
    return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.int64)).to(device)


def shuffled_batches(count: int, batch: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Indices of an epoch's batches. A last batch of one image is left out.

    A single image has no statistics for a batch normalisation, which refuses it in training.
    """
    order = torch.randperm(count, generator=generator)
    for start in range(0, count, batch):
        indices = order[start : start + batch]
        if len(indices) > 1 or count == 1:
            yield indices


def augmented(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image flipped or not, and moved by up to ``PADDING`` pixels; black moves in.

    Args:
        images: uint8, (n, channels, height, width).
        generator: on the CPU.
    """
    count, _, height, width = images.shape
    device = images.device
    flip = torch.rand(count, generator=generator).lt(0.5).to(device)
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    padded = torch.nn.functional.pad(images, (PADDING,) * 4)
    moves = torch.randint(0, 2 * PADDING + 1, (2, count, 1), generator=generator).to(device)
    rows = moves[0] + torch.arange(height, device=device)
    columns = moves[1] + torch.arange(width, device=device)
    which = torch.arange(count, device=device)[:, None, None]
    # Indexed dimensions come first: (n, height, width, channels).
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
