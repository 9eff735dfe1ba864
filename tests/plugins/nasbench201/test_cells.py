"""A cell and its names."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.nasbench201 import cells

ALL = list(cells.all_cells())
OPERATION = st.sampled_from(range(5))
CELL = st.tuples(*[OPERATION] * 6)


def test_there_are_15625_cells_in_the_order_of_their_position():
    assert len(ALL) == cells.COUNT == 15_625
    assert [cells.position(cell) for cell in ALL] == list(range(15_625))


def test_every_cell_comes_back_from_its_official_string_and_no_two_share_one():
    strings = [cells.format_cell(cell) for cell in ALL]
    assert len(set(strings)) == 15_625
    assert [cells.parse_cell(text) for text in strings] == ALL


def test_every_cell_comes_back_from_its_key_and_no_two_share_one():
    keys = [cells.format_key(cell) for cell in ALL]
    assert len(set(keys)) == 15_625
    assert [cells.parse_key(key) for key in keys] == ALL


def test_the_string_names_the_edges_in_the_official_order():
    assert cells.format_cell((0, 1, 2, 3, 4, 0)) == (
        "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1 node"),
        ("|none~0|+|none~0|none~1|", "2 node"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+|none~0|", "4 node"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "2 edge"),
        ("none~0+|none~0|none~1|+|none~0|none~1|none~2|", "1 edge"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", "'none~1'"),
        ("|max_pool~0|+|none~0|none~1|+|none~0|none~1|none~2|", "'max_pool~0'"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2| ", "3 edge"),
        ("|none~00|+|none~0|none~1|+|none~0|none~1|none~2|", "'none~00'"),
    ],
)
def test_a_string_of_another_form_is_refused_with_the_part_that_is_wrong(text, complaint):
    with pytest.raises(ValueError, match="expected") as error:
        cells.parse_cell(text)
    assert complaint in str(error.value)


@given(CELL, st.integers(0, 80), st.text("|+~0123_abcdenopsvxl", max_size=3))
def test_whatever_parses_is_exactly_what_its_cell_is_written_as(cell, place, noise):
    text = cells.format_cell(cell)
    text = text[:place] + noise + text[place + 1 :]
    try:
        parsed = cells.parse_cell(text)
    except ValueError:
        return
    assert cells.format_cell(parsed) == text


@pytest.mark.parametrize("key", ["", "00000", "0000000", "00000a", "500000", "００００００"])
def test_a_key_of_another_form_is_refused(key):
    with pytest.raises(ValueError, match="six digits"):
        cells.parse_key(key)


@pytest.mark.parametrize(
    "value",
    [None, [0] * 6, (0,) * 5, (0,) * 7, (True,) * 6, (0.0,) * 6, (5, 0, 0, 0, 0, 0), "000000"],
)
def test_only_a_tuple_of_six_small_integers_is_a_cell(value):
    assert not cells.is_cell(value)
    assert cells.is_cell((0, 1, 2, 3, 4, 0))


def test_an_edge_is_live_if_it_lies_on_a_path_from_input_to_output():
    paths = [[3], [0, 4], [1, 5], [0, 2, 5]]
    for cell in ALL:
        live = {edge for path in paths if all(cell[e] for e in path) for edge in path}
        assert cells.live_edges(cell) == tuple(sorted(live))


def test_a_dead_end_and_a_branch_from_nothing_are_not_live():
    dead_end = (3, 0, 0, 2, 0, 0)
    from_nothing = (0, 0, 0, 2, 3, 0)
    assert cells.live_edges(dead_end) == (3,)
    assert cells.live_edges(from_nothing) == (3,)


def test_edges_are_all_pairs_of_four_nodes():
    assert sorted(cells.EDGES) == list(itertools.combinations(range(4), 2))
