"""The plugin's verdict on reports, honest and forged."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.contract import Plugin, PluginError, ReportError
from plugins.forging import forge
from plugins.nasbench201 import NasBench201, network
from plugins.nasbench201.cells import all_cells, format_cell
from plugins.nasbench201.plugin import GUEST_MODULES, TASK

CSV = Path(__file__).parents[4] / "shared" / "data" / "nasbench201" / "nb201.csv.gz"
SEED_CELL = [0, 0, 0, 2, 0, 0]


def report(cell=SEED_CELL, **changes):
    honest = {"cell": cell, "normalised": [], "parameters": 288, "mapping_seconds": 0.01}
    return {**honest, **changes}


@pytest.fixture(scope="module")
def plugin():
    made = NasBench201()
    made.prepare(lambda *_: None)
    return made


def test_it_is_a_plugin(plugin):
    assert isinstance(plugin, Plugin)


def test_the_seed_cells_verdict(plugin):
    verdict = plugin.evaluate(report())
    assert verdict.fitness == pytest.approx(86.282, abs=1e-3)
    assert verdict.identity == "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
    # Width 64; 14 layers around the cells, and a convolution and its normalisation in each of 15.
    assert verdict.descriptors == (64 / 44, 7_782_400 + 650 + 3_932_160)
    assert verdict.details["architecture"] == verdict.identity
    assert verdict.details["flops"] == 11_715_210
    assert verdict.details["parameters"] == 72_656 + 650 + 28_000
    assert json.loads(json.dumps(verdict.details)) == verdict.details


@pytest.mark.parametrize("dataset", network.DATASETS)
def test_every_cell_has_a_fitness_and_descriptors_within_their_range(dataset):
    plugin = NasBench201(dataset=dataset)
    axes = plugin.descriptors
    identities = set()
    for cell in all_cells():
        verdict = plugin.evaluate(report(list(cell)))
        assert 0 < verdict.fitness < 100
        for axis, value in zip(axes, verdict.descriptors, strict=True):
            assert axis.low <= value <= axis.high
        identities.add(verdict.identity)
    assert len(identities) == 15_625


def test_what_a_candidate_says_of_itself_does_not_change_its_score(plugin):
    lie = report(parameters=10**9, mapping_seconds=0.0, normalised=["I am the best network"])
    honest, told = plugin.evaluate(report()), plugin.evaluate(lie)
    assert told.fitness == honest.fitness
    assert told.descriptors == honest.descriptors
    assert told.details["parameters"] == honest.details["parameters"]


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": None},
        {"cell": "000200"},
        {"cell": [0, 0, 0, 2, 0]},
        {"cell": [0, 0, 0, 2, 0, 0, 0]},
        {"cell": [0, 0, 0, 5, 0, 0]},
        {"cell": [0, 0, 0, -1, 0, 0]},
        {"cell": [0, 0, 0, 2.0, 0, 0]},
        {"cell": [0, 0, 0, True, 0, 0]},
        {"cell": [0, 0, 0, 10**400, 0, 0]},
        {"cell": {"0": 1}},
        {"normalised": None},
        {"normalised": "text"},
        {"normalised": [1]},
        {"parameters": -1},
        {"parameters": float("nan")},
        {"mapping_seconds": float("nan")},
        {"mapping_seconds": float("inf")},
        {"fitness": 100.0},
    ],
    ids=str,
)
def test_a_forged_report_is_refused(plugin, changes):
    with pytest.raises(ReportError, match="expected"):
        plugin.evaluate(report(**changes))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.dictionaries(st.sampled_from(list(report())), JSON))
def test_any_json_is_an_evaluation_or_a_report_error(whole, parts):
    plugin = NasBench201()
    plugin._table = SHARED_TABLE
    for forged in (whole, {**report(), **parts}):
        try:
            verdict = plugin.evaluate(forged)
        except ReportError:
            continue
        assert verdict.identity == format_cell(tuple(forged["cell"]))


SHARED_TABLE = NasBench201().table


def test_every_forgery_of_the_kit_is_refused_or_harmless(plugin):
    refused = 0
    for _, forged, must_refuse in forge(report()):
        try:
            plugin.evaluate(forged)
        except ReportError:
            refused += 1
        else:
            assert not must_refuse
    assert refused > 50


def test_notes_are_shown_without_control_characters_and_bounded(plugin):
    notes = ["\x1b[31mred", "x" * 10_000, *["note"] * 500]
    shown = plugin.evaluate(report(normalised=notes)).details["normalised"]
    assert shown[0] == "\N{REPLACEMENT CHARACTER}[31mred"
    assert len(shown[1]) == 500
    assert len(shown) == 64


def test_a_package_table_has_no_test_score_and_a_csv_has(plugin):
    verdict = plugin.evaluate(report())
    assert plugin.test_score(verdict, report()) is None
    if not CSV.exists():
        pytest.skip(f"no table at {CSV}")
    assert NasBench201(table=str(CSV)).test_score(verdict, report()) == pytest.approx(
        88.77, abs=5e-5
    )


def test_an_unknown_dataset_is_refused():
    with pytest.raises(PluginError, match=r"cifar10, cifar100, imagenet16-120, found 'mnist'"):
        NasBench201(dataset="mnist")


def test_a_job_carries_the_source_and_the_guest_code_which_is_read_once(plugin):
    first, second = plugin.job("one"), plugin.job("two")
    assert (first.source, second.source) == ("one", "two")
    assert first.code is second.code
    assert first.code.entry == TASK


def test_all_that_the_guest_code_imports_is_shipped_or_there(plugin):
    for name, text in plugin.job("").code.modules.items():
        for node in ast.walk(ast.parse(text)):
            wanted = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            wanted += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in wanted:
                if module.startswith("plugins"):
                    assert module in GUEST_MODULES, f"{name} imports {module}"
                elif module.startswith("sandbox"):
                    assert module.startswith("sandbox.guest"), f"{name} imports {module}"
