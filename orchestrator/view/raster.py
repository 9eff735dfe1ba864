"""The Voronoi tessellation of an archive as a raster of cell indices."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree


class Raster:
    """Which cell every pixel of the unit square belongs to, at any resolution, kept once made.

    Args:
        centroids: shape (cells, 2), in [0, 1].
    """

    def __init__(self, centroids: np.ndarray) -> None:
        self.centroids = np.asarray(centroids, dtype=float)
        self._tree = KDTree(self.centroids)
        self._size = (0, 0)
        self._cells = np.zeros((0, 0), dtype=np.intp)
        self._shades = np.zeros(len(self.centroids), dtype=np.intp)

    def cells(self, width: int, height: int) -> np.ndarray:
        """Cell index of each pixel: shape (height, width), the first row being the top (y = 1)."""
        if self._size != (width, height):
            x = (np.arange(width) + 0.5) / width
            y = 1.0 - (np.arange(height) + 0.5) / height
            points = np.stack(np.meshgrid(x, y), axis=-1)
            self._cells = np.asarray(self._tree.query(points)[1], dtype=np.intp)
            self._shades = _told_apart(self._cells, len(self.centroids))
            self._size = (width, height)
        return self._cells

    def shades(self) -> np.ndarray:
        """For each cell a small number that its neighbours in the last raster do not have."""
        return self._shades

    def pixel(self, point: tuple[float, float]) -> tuple[int, int]:
        """Column and row in the last raster of a point in the unit square."""
        width, height = self._size
        column = min(int(point[0] * width), width - 1)
        row = min(int((1.0 - point[1]) * height), height - 1)
        return column, row

    def middle(self, cell: int) -> tuple[int, int]:
        """Column and row in the last raster of the middle of a cell."""
        x, y = self.centroids[cell]
        return self.pixel((float(x), float(y)))


def _told_apart(cells: np.ndarray, count: int) -> np.ndarray:
    """A greedy colouring of the cells: neighbours differ, few numbers are needed."""
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for first, second in (
        (cells[:, :-1], cells[:, 1:]),
        (cells[:-1], cells[1:]),
        (cells[:-1, :-1], cells[1:, 1:]),
        (cells[:-1, 1:], cells[1:, :-1]),
    ):
        differ = first != second
        for a, b in zip(first[differ].tolist(), second[differ].tolist(), strict=True):
            neighbours[a].add(b)
            neighbours[b].add(a)
    colours = np.full(count, -1, dtype=np.intp)
    for cell in range(count):
        taken = {int(colours[other]) for other in neighbours[cell]}
        colours[cell] = next(colour for colour in range(count + 1) if colour not in taken)
    return colours
