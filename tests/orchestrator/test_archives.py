"""CVT-MAP-Elites archives: cells, who holds them, and who is near whom."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.archives import Archive, Elite, make_centroids, neighbours, normalise
from orchestrator.settings import SearchSettings

CENTROIDS = make_centroids(25, 2_000, seed=5)
SHARE = st.floats(0, 1)


def nearest(point: tuple[float, float]) -> int:
    return int(np.argmin(((CENTROIDS - np.array(point)) ** 2).sum(axis=1)))


def test_an_archive_has_100_cells_from_25_000_samples() -> None:
    settings = SearchSettings()
    assert (settings.cells, settings.centroid_samples) == (100, 25_000)
    centroids = make_centroids(settings.cells, settings.centroid_samples, settings.seed)
    assert centroids.shape == (100, 2)
    assert centroids.dtype == np.float64
    assert ((centroids > 0) & (centroids < 1)).all()


def test_centroids_are_spread_evenly_over_the_unit_square() -> None:
    centroids = make_centroids(100, 25_000, 0)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 101)] * 2), axis=-1).reshape(-1, 2)
    distance = np.sqrt(((grid[:, None] - centroids[None]) ** 2).sum(axis=2)).min(axis=1)
    # A cell is about a tenth of a side wide: no place is far from the centre of one.
    assert distance.max() < 0.15
    # Centres are centres: none lies on top of another.
    pairs = np.sqrt(((centroids[:, None] - centroids[None]) ** 2).sum(axis=2))
    assert pairs[~np.eye(100, dtype=bool)].min() > 0.03


def test_centroids_depend_on_the_seed_alone_in_any_process_and_on_any_number_of_threads() -> None:
    here = hashlib.sha256(make_centroids(100, 25_000, 7).tobytes()).hexdigest()
    program = (
        "import hashlib; from orchestrator.archives import make_centroids;"
        "print(hashlib.sha256(make_centroids(100, 25_000, 7).tobytes()).hexdigest())"
    )
    for threads in ("1", "4"):
        environment = os.environ | dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads
        )
        there = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.strip() == here
    assert hashlib.sha256(make_centroids(100, 25_000, 8).tobytes()).hexdigest() != here


def test_a_value_is_normalised_over_its_range_and_clipped() -> None:
    assert normalise(0, 0, 200) == 0
    assert normalise(50, 0, 200) == 0.25
    assert normalise(200, 0, 200) == 1
    assert normalise(-1, 0, 200) == 0
    assert normalise(1e12, 0, 200) == 1
    assert normalise(200e6, 200e6, 5e9) == 0
    assert normalise(2.6e9, 200e6, 5e9) == pytest.approx(0.5)


@given(st.lists(st.tuples(st.floats(0, 100), st.tuples(SHARE, SHARE)), max_size=60))
def test_a_cell_holds_the_fittest_that_fell_into_it_and_of_equals_the_first(
    offers: list[tuple[float, tuple[float, float]]],
) -> None:
    archive = Archive(CENTROIDS)
    expected: dict[int, tuple[int, float]] = {}
    for number, (fitness, point) in enumerate(offers):
        cell = int(archive._ribs.index_of_single(point))
        distances = ((CENTROIDS - np.array(point)) ** 2).sum(axis=1)
        assert distances[cell] == pytest.approx(distances.min(), abs=1e-12)
        entered = cell not in expected or fitness > expected[cell][1]
        assert archive.add(number, fitness, point) is entered
        if entered:
            expected[cell] = (number, fitness)
    found = {elite.cell: (elite.candidate, elite.fitness) for elite in archive.elites()}
    assert found == expected
    assert [elite.cell for elite in archive.elites()] == sorted(expected)
    assert len(archive) == len(expected)
    assert archive.coverage == len(expected) / 25
    assert archive.qd_score == pytest.approx(sum(fitness for _, fitness in expected.values()))
    best = archive.best()
    if best is None:
        assert not offers
    else:
        assert best.fitness == max(fitness for _, fitness in expected.values())


def test_what_stands_here_is_what_pyribs_holds() -> None:
    archive = Archive(CENTROIDS)
    rng = np.random.default_rng(1)
    for number in range(300):
        archive.add(number, float(rng.random()), (float(rng.random()), float(rng.random())))
    data = archive._ribs.data(["index", "solution", "objective"])
    held = {
        int(cell): (int(solution[0]), float(objective))
        for cell, solution, objective in zip(
            data["index"], data["solution"], data["objective"], strict=True
        )
    }
    assert held == {e.cell: (e.candidate, e.fitness) for e in archive.elites()}


def test_fitness_is_compared_in_full_precision() -> None:
    archive = Archive(CENTROIDS)
    assert archive.add(0, 94.37, (0.5, 0.5))
    assert archive.add(1, 94.37 + 1e-9, (0.5, 0.5))
    assert not archive.add(2, 94.37, (0.5, 0.5))


def elites(*points: tuple[float, float]) -> list[Elite]:
    return [Elite(cell, 100 + cell, 0.0, point) for cell, point in enumerate(points)]


def test_neighbours_are_the_nearest_others_nearest_first() -> None:
    all_of_them = elites((0.0, 0.0), (0.9, 0.9), (0.1, 0.0), (0.0, 0.3), (0.5, 0.5))
    assert [e.cell for e in neighbours(all_of_them, 0, 2)] == [2, 3]
    assert [e.cell for e in neighbours(all_of_them, 0, 3)] == [2, 3, 4]
    assert [e.cell for e in neighbours(all_of_them, 1, 2)] == [4, 3]


def test_equally_near_neighbours_come_in_the_order_of_their_cells() -> None:
    cross = elites((0.5, 0.5), (0.5, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.5))
    assert [e.cell for e in neighbours(cross, 0, 3)] == [1, 2, 3]
    twins = elites((0.5, 0.5), (0.5, 0.5), (0.5, 0.5))
    assert [e.cell for e in neighbours(twins, 1, 2)] == [0, 2]


@pytest.mark.parametrize(("size", "expected"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3)])
def test_where_there_are_fewer_others_there_are_fewer_neighbours(size: int, expected: int) -> None:
    few = elites(*[(i / 10, 0.0) for i in range(size)])
    assert len(neighbours(few, 0, 3)) == expected


@given(st.lists(st.tuples(SHARE, SHARE), min_size=2, max_size=40), st.integers(2, 3), st.data())
def test_nobody_else_is_nearer_than_a_neighbour(
    points: list[tuple[float, float]], count: int, data: st.DataObject
) -> None:
    all_of_them = elites(*points)
    of = data.draw(st.integers(0, len(points) - 1))
    near = neighbours(all_of_them, of, count)
    assert len(near) == min(count, len(points) - 1)
    assert all_of_them[of] not in near

    def distance(elite: Elite) -> float:
        return float(np.hypot(*(np.array(elite.point) - np.array(points[of]))))

    others = sorted(distance(e) for e in all_of_them if e is not all_of_them[of])
    assert [distance(e) for e in near] == pytest.approx(others[: len(near)])
