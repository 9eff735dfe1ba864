"""The official NATS-Bench files in their "simple" layout, read without the package that wrote them.

The folder (``NATS-tss-v1_0-3ffb9-simple``) holds ``meta.pickle.pbz2``, the architecture strings in
official order, and one ``NNNNNN.pickle.pbz2`` per cell with everything measured in training it.
A file takes about 15 ms to read, so a cell's is read when the cell is asked for.
"""

from __future__ import annotations

import bz2
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugins.contract import PluginError
from plugins.nasbench201.cells import COUNT, Cell, all_cells, format_cell, parse_cell
from plugins.nasbench201.network import Dataset
from plugins.nasbench201.pickles import load_plain
from plugins.nasbench201.table import EPOCHS, Entry, LoadedTable, accuracy, duration

META = "meta.pickle.pbz2"
FOLDER = "NATS-tss-v1_0-3ffb9-simple"

#: Names in the files: (dataset and split of the validation score, of the test score).
_SPLITS = {
    "cifar10": (("cifar10-valid", "x-valid"), ("cifar10", "ori-test")),
    "cifar100": (("cifar100", "x-valid"), ("cifar100", "x-test")),
    "imagenet16-120": (("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test")),
}


class OfficialTable:
    """Results from a folder of official files; holds validation and test accuracies."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        """Read the folder's meta file.

        Raises:
            PluginError: it is missing or damaged.
        """
        if not (folder / META).exists() and (folder / FOLDER / META).exists():
            folder = folder / FOLDER
        self.source = str(folder)
        self._folder = folder
        self._dataset = dataset
        self._indices = _read_meta(folder / META)
        self._entries: dict[Cell, Entry] = {}
        self._whole: LoadedTable | None = None

    def query(self, cell: Cell) -> Entry:
        """The results of one cell, from its file when it is first asked for.

        Raises:
            PluginError: the file is missing or damaged.
        """
        entry = self._entries.get(cell)
        if entry is None:
            entry = self._entries[cell] = self._read(cell)
        return entry

    def optimum(self) -> tuple[Cell, Entry]:
        """The cell with the best validation accuracy. Reads all files: minutes, once.

        Raises:
            PluginError: a file is missing or damaged.
        """
        return self._load_all().optimum()

    def rank(self, cell: Cell) -> int:
        """The place of the cell by validation accuracy. Reads all files: minutes, once.

        Raises:
            PluginError: a file is missing or damaged.
        """
        return self._load_all().rank(cell)

    def _load_all(self) -> LoadedTable:
        if self._whole is None:
            present = sum(1 for _ in self._folder.glob("[0-9]*.pickle.pbz2"))
            if present < COUNT:
                raise PluginError(
                    f"expected the files of all {COUNT:,} cells in {self._folder}, "
                    f"found {present:,}; unpack the whole archive {FOLDER}.tar"
                )
            self._whole = LoadedTable(self.source, [self.query(cell) for cell in all_cells()])
        return self._whole

    def _read(self, cell: Cell) -> Entry:
        index = self._indices[cell]
        path = self._folder / f"{index:06d}.pickle.pbz2"
        record = _read_plain(path, f"the results of cell {index}, {format_cell(cell)},")
        try:
            return _entry(record, cell, self._dataset)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise PluginError(
                f"expected the official record of {format_cell(cell)} in {path}, found {what}; "
                f"unpack the archive {FOLDER}.tar again"
            ) from error


def _read_plain(path: Path, what: str) -> Any:
    try:
        return load_plain(bz2.decompress(path.read_bytes()))
    except FileNotFoundError as error:
        raise PluginError(
            f"expected {what} in {path}, found no such file; unpack the whole archive {FOLDER}.tar"
        ) from error
    except (OSError, ValueError) as error:
        raise PluginError(
            f"expected {what} in {path}, found a damaged or foreign file ({error}); "
            f"unpack the archive {FOLDER}.tar again"
        ) from error


def _read_meta(path: Path) -> Mapping[Cell, int]:
    """The official index of every cell."""
    meta = _read_plain(path, "the list of all cells of the official NATS-Bench files")
    try:
        indices = {parse_cell(text): index for index, text in enumerate(meta["meta_archs"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PluginError(
            f"expected the list of all cells in {path}, found another content ({error}); "
            f"unpack the archive {FOLDER}.tar again"
        ) from error
    if len(indices) != COUNT:
        raise PluginError(
            f"expected {COUNT:,} cells in {path}, found {len(indices):,}; "
            f"unpack the archive {FOLDER}.tar again"
        )
    return indices


def _entry(record: Any, cell: Cell, dataset: Dataset) -> Entry:
    results = record[str(EPOCHS)]
    if results["arch_str"] != format_cell(cell):
        raise ValueError(f"another cell, {results['arch_str']!r}")
    (valid_name, valid_split), (test_name, test_split) = _SPLITS[dataset.name]
    valid = _scores(results, valid_name, valid_split)
    test = _scores(results, test_name, test_split)
    seconds = [
        math.fsum(duration(time, "an epoch") for time in run["train_times"].values())
        for (name, _), run in results["all_results"].items()
        if name == valid_name
    ]
    return Entry(
        validation=math.fsum(valid) / len(valid),
        test=math.fsum(test) / len(test),
        train_seconds=math.fsum(seconds) / len(seconds),
        seeds=len(valid),
    )


def _scores(results: Any, name: str, split: str) -> list[float]:
    """The accuracy of each seed after the last epoch."""
    key = f"{split}@{EPOCHS - 1}"
    scores = [
        accuracy(run["eval_acc1es"][key], f"{name} {key}")
        for (dataset, _), run in results["all_results"].items()
        if dataset == name
    ]
    if not scores:
        raise ValueError(f"no training run on {name}")
    return scores
