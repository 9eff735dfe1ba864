"""A picture of an archive: every pixel has the colour of the cell that it lies in."""

from __future__ import annotations

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from orchestrator.archives import Archive, make_centroids
from orchestrator.view.colours import EMPTY, LEVELS, viridis
from orchestrator.view.picture import (
    ArchivePicture,
    Axis,
    Ink,
    describe,
    network_picture,
    prompt_picture,
    scale_of,
)
from orchestrator.view.raster import Raster
from orchestrator.view.words import short
from plugins.contract import Descriptor

AXES = (Axis("width / depth", 0, 200), Axis("MACs", 2e8, 5e9, "MACs"))


@pytest.fixture
def archive():
    return Archive(make_centroids(40, 2000, 3))


def text(rows):
    return ["".join(segment.text for segment in row) for row in rows]


def test_every_pixel_belongs_to_its_nearest_centroid():
    centroids = make_centroids(25, 1000, 0)
    cells = Raster(centroids).cells(17, 11)
    assert cells.shape == (11, 17)
    for row in range(11):
        for column in range(17):
            point = np.array([(column + 0.5) / 17, 1 - (row + 0.5) / 11])
            distances = np.linalg.norm(centroids - point, axis=1)
            assert distances[cells[row, column]] == pytest.approx(distances.min())


def test_the_top_row_is_the_high_end_of_the_y_axis():
    cells = Raster(np.array([[0.5, 0.1], [0.5, 0.9]])).cells(4, 4)
    assert set(cells[0]) == {1}
    assert set(cells[-1]) == {0}


def test_neighbouring_cells_differ_in_shade():
    raster = Raster(make_centroids(60, 2000, 5))
    cells = raster.cells(60, 60)
    shades = raster.shades()
    for a, b in ((cells[:, :-1], cells[:, 1:]), (cells[:-1], cells[1:])):
        border = a != b
        assert border.any()
        assert (shades[a[border]] != shades[b[border]]).all()


@pytest.mark.parametrize("ink", Ink)
@pytest.mark.parametrize(("width", "height"), [(12, 4), (33, 9), (80, 30), (5, 2), (1, 1)])
@pytest.mark.parametrize("filled", [0, 1, 40])
def test_a_picture_has_the_size_it_was_given(archive, ink, width, height, filled):
    for cell in range(filled):
        archive.add(cell, float(cell), tuple(archive.centroids[cell]))
    rows = text(ArchivePicture(archive, AXES).rows(width, height, ink))
    assert len(rows) == height
    assert all(cell_len(row) <= width for row in rows)
    if ink in (Ink.ASCII, Ink.BACKGROUNDS):
        assert all(row.isascii() for row in rows)


def test_axes_carry_names_and_ranges(archive):
    rows = text(ArchivePicture(archive, AXES).rows(60, 20, Ink.HALF_BLOCKS))
    assert "MACs ↑" in rows[0]
    assert rows[1].startswith("  5G ")
    assert rows[-2].startswith("200M ")
    assert rows[-1].split() == ["0", "width", "/", "depth", "→", "200"]


def test_a_unit_that_is_not_the_name_is_shown():
    assert Axis("latency", 0, 1, "ms").title == "latency (ms)"
    assert Axis("MACs", 0, 1, "MACs").title == "MACs"


def colours_in(rows):
    found = set()
    for row in rows[1:-1]:
        for segment in row[1:]:
            for colour in (segment.style.color, segment.style.bgcolor):
                if colour is not None and colour.triplet is not None:
                    found.add(tuple(colour.triplet))
    return found


def test_empty_cells_are_dark_and_the_fittest_is_the_brightest(archive):
    picture = ArchivePicture(archive, AXES)
    assert colours_in(picture.rows(60, 20, Ink.HALF_BLOCKS)) <= set(EMPTY)
    archive.add(0, 10.0, tuple(archive.centroids[5]))
    archive.add(1, 20.0, tuple(archive.centroids[20]))
    found = colours_in(picture.rows(60, 20, Ink.HALF_BLOCKS))
    assert viridis(0) in found
    assert viridis(LEVELS - 1) in found
    assert found & set(EMPTY)


def test_a_full_archive_leaves_nothing_dark(archive):
    for cell in range(40):
        archive.add(cell, 50.0 + cell, tuple(archive.centroids[cell]))
    assert not colours_in(ArchivePicture(archive, AXES).rows(60, 20, Ink.HALF_BLOCKS)) & set(EMPTY)


def test_the_best_is_marked_in_its_cell(archive):
    archive.add(0, 10.0, tuple(archive.centroids[5]))
    archive.add(1, 20.0, tuple(archive.centroids[20]))
    picture = ArchivePicture(archive, AXES)
    rows = text(picture.rows(60, 20, Ink.SHADES))
    places = [(y, row.index("◆")) for y, row in enumerate(rows[1:-1]) if "◆" in row]
    assert len(places) == 1
    y, x = places[0]
    assert Raster(archive.centroids).cells(60 - 5, 18)[y, x - 5] == 20


def test_one_bad_elite_does_not_flatten_the_colours_of_the_others():
    values = [10.0, *(80.0 + i / 10 for i in range(50))]
    scale = scale_of(values)
    assert (scale.low, scale.high, scale.clipped) == (80.0, 84.9, True)
    assert scale.level(10.0) == 0
    assert scale.level(82.45) == pytest.approx(LEVELS / 2, abs=1)
    whole = scale_of(values, fenced=False)
    assert (whole.low, whole.clipped) == (10.0, False)


def test_equal_values_and_no_values_have_a_scale_or_none():
    assert scale_of([]) is None
    assert scale_of([5.0, 5.0]).level(5.0) == LEVELS - 1


def test_a_picture_is_drawn_again_only_when_the_archive_changed(archive):
    picture = ArchivePicture(archive, AXES)
    first = picture.rows(40, 12, Ink.HALF_BLOCKS)
    assert picture.rows(40, 12, Ink.HALF_BLOCKS) is first
    archive.add(0, 1.0, (0.5, 0.5))
    assert picture.rows(40, 12, Ink.HALF_BLOCKS) is not first


def test_pictures_print_by_themselves(archive, capsys):
    descriptors = (Descriptor("a", "a", 0, 1), Descriptor("b", "b", 0, 1))
    console = Console(width=50, color_system=None)
    console.print(network_picture(archive, descriptors, height=10))
    console.print(prompt_picture(archive, 9, height=10))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert "b ↑" in lines[0]
    assert "temperature ↑" in lines[10]
    assert lines[-1].rstrip().endswith("8")


def test_an_archive_is_described_by_coverage_and_score(archive):
    archive.add(0, 1500.0, (0.5, 0.5))
    assert describe(archive) == "1/40 cells, QD-score 1,500"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (12.34, "12.3"),
        (999.6, "1k"),
        (220_117_632, "220M"),
        (999_960_000, "1G"),
        (5e9, "5G"),
        (-2e6, "-2M"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        (None, "–"),
    ],
)
def test_numbers_are_short(value, shown):
    assert short(value) == shown
