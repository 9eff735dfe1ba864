"""CVT-MAP-Elites archives of candidate numbers, on pyribs.

An archive holds at most one elite per cell of a centroidal Voronoi tessellation of the unit square
(Vassiliades et al. 2017; the paper, section 4.1). Elites are named by the number of the
candidate that made them; what they are stands in the run store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ribs.archives import CVTArchive, k_means_centroids
from scipy.spatial import KDTree
from threadpoolctl import threadpool_limits


def make_centroids(cells: int, samples: int, seed: int) -> np.ndarray:
    """Centroids of a CVT of the unit square: shape (cells, 2), float64, in [0, 1]."""
    # One thread: several add up in an order of their own, and the last bits differ between runs.
    with threadpool_limits(limits=1):
        centroids, _ = k_means_centroids(
            centroids=cells, ranges=[(0.0, 1.0), (0.0, 1.0)], samples=samples, seed=seed
        )
    return np.asarray(centroids, dtype=np.float64)


def normalise(value: float, low: float, high: float) -> float:
    """A value on [low, high] as a number in [0, 1], clipped."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


@dataclass(frozen=True)
class Elite:
    """One filled cell: its index, the candidate in it, fitness, and place in the unit square."""

    cell: int
    candidate: int
    fitness: float
    point: tuple[float, float]


class Archive:
    """One archive over fixed centroids.

    Args:
        centroids: shape (cells, 2), in [0, 1].
    """

    def __init__(self, centroids: np.ndarray) -> None:
        self.centroids = centroids
        self._ribs = CVTArchive(
            solution_dim=1,
            centroids=centroids,
            ranges=[(0.0, 1.0), (0.0, 1.0)],
            solution_dtype=np.int64,
        )
        # What pyribs holds, by cell: asked for at every step, so kept as plain objects.
        self._elites: dict[int, Elite] = {}

    def __len__(self) -> int:
        """Number of filled cells."""
        return len(self._elites)

    def add(self, candidate: int, fitness: float, point: tuple[float, float]) -> bool:
        """Offer a candidate; it enters if its cell is empty or holds a worse one.

        Args:
            candidate: its number.
            fitness: finite.
            point: shape (2,), in [0, 1].

        Returns:
            Whether it entered.
        """
        info = self._ribs.add_single([candidate], fitness, point)
        if not info["status"]:
            return False
        cell = int(self._ribs.index_of_single(point))
        self._elites[cell] = Elite(cell, candidate, fitness, point)
        return True

    def elites(self) -> list[Elite]:
        """All elites, in the order of their cells."""
        return [self._elites[cell] for cell in sorted(self._elites)]

    def best(self) -> Elite | None:
        """The fittest elite; of equals, the earliest candidate."""
        return min(self._elites.values(), key=lambda e: (-e.fitness, e.candidate), default=None)

    @property
    def coverage(self) -> float:
        """Share of cells that are filled, 0..1."""
        return len(self._elites) / len(self.centroids)

    @property
    def qd_score(self) -> float:
        """Sum of the elites' fitness."""
        return float(sum(e.fitness for e in self._elites.values()))


def neighbours(elites: Sequence[Elite], of: int, count: int) -> list[Elite]:
    """The ``count`` elites nearest to elite ``of`` (an index) in the unit square, nearest first.

    Fewer where there are fewer others. Ties go to the lower cell index.
    """
    count = min(count, len(elites) - 1)
    if count < 1:
        return []
    points = np.array([elite.point for elite in elites])
    # One more than asked for, since an elite is its own nearest neighbour; equal distances are
    # put in the order of the cells, since a k-d tree gives them in no order of its own.
    distances, indices = KDTree(points).query(points[of], k=len(elites))
    ranked = sorted(
        (float(d), int(i)) for d, i in zip(distances, indices, strict=True) if int(i) != of
    )
    return [elites[i] for _, i in ranked[:count]]
