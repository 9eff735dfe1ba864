"""The three benchmarks: what they declare, and their verdict on reports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins import registry
from plugins.classification import Cifar10, FashionMnist, ImageFolder
from plugins.classification.base import ImageClassification
from plugins.classification.prompts import MUTATIONS
from plugins.contract import Plugin, PluginError, ReportError
from plugins.forging import forge
from sandbox.guest.tasks.train import as_plain
from tests.plugins.classification.made_up import (
    dataset,
    write_batches,
    write_folders,
    write_idx,
)
from tests.plugins.classification.test_prepared import silent

PAPER = "llmatic-paper.txt"


@pytest.fixture
def plugin(tmp_path: Path) -> ImageFolder:
    root = write_folders(tmp_path / "images", dataset(train=100, test=30, classes=6))
    made = ImageFolder(data=str(root), image_size=8, cache=str(tmp_path / "cache"), epochs=3)
    made.prepare(silent)
    return made


def honest(plugin: ImageClassification, right: int = 10) -> dict[str, Any]:
    """A report whose first predictions are right, and all others wrong."""
    predictions = {}
    for split in ("validation", "test"):
        labels = plugin._data().labels(split)
        first = (labels + (np.arange(len(labels)) >= right)) % 6
        ranks = (first[:, None] + np.arange(5)) % 6
        predictions[split] = as_plain(ranks.astype(np.uint8))
    return {
        "flops": 1000,
        "uncounted": {"cumsum": 2},
        "parameters": 50,
        "width": 10,
        "depth": 4,
        "epochs": 3,
        "cut": False,
        "train_seconds": 1.5,
        "images_per_second": 200.0,
        "loss": 2.0,
        "train_accuracy": 50.0,
        "predictions": predictions,
    }


def test_the_papers_prompts_are_there_in_its_order(shared: Path) -> None:
    text = (shared / "reference" / PAPER).read_text("utf-8", "replace")
    start = text.index("Prompts used to curate LLMatic:")
    part = " ".join(text[start : text.index("A mutation prompt example:")].split())
    assert re.findall(r'"""(.*?)"""', part) == [prompt.text for prompt in MUTATIONS]
    assert len(MUTATIONS) == 13
    crossover = Cifar10().prompts.crossover.text
    assert crossover in " ".join(text[start:].split())


def test_cifar10_has_the_papers_ranges_seed_and_training() -> None:
    plugin = Cifar10()
    ratio, macs = plugin.descriptors
    assert (ratio.low, ratio.high) == (0, 200)
    assert (macs.low, macs.high) == (200_000_000, 5_000_000_000)
    assert "nn.Conv2d(3, 1, 1)" in plugin.seed
    assert "nn.Linear(1024, 10)" in plugin.seed
    defaults = {option.name: option.default for option in plugin.options}
    assert (defaults["epochs"], defaults["batch-size"]) == (50, 128)
    assert (defaults["learning-rate"], defaults["momentum"]) == (0.001, 0.9)


@pytest.mark.parametrize("cls", [Cifar10, FashionMnist, ImageFolder])
def test_each_is_an_installed_plugin_whose_options_have_the_defaults_that_it_has(
    cls: type[ImageClassification],
) -> None:
    assert registry.plugin_class(cls.name) is cls
    assert isinstance(cls(), Plugin)
    given = {registry.keyword(option): option.default for option in cls.options}
    made, plain = cls(**given), cls()
    assert vars(made) == vars(plain)


def test_the_verdict_is_the_accuracy_on_the_labels_kept(plugin: ImageFolder) -> None:
    report = honest(plugin, right=7)
    verdict = plugin.evaluate(report)
    assert verdict.fitness == 70.0
    assert verdict.descriptors == (2.5, 1000.0)
    assert verdict.details["flops"] == 1000
    assert verdict.details["validation_top5"] >= 70
    assert (verdict.details["epochs"], verdict.details["cut"]) == (3, False)
    assert json.loads(json.dumps(verdict.details)) == verdict.details
    assert plugin.test_score(verdict, report) == pytest.approx(700 / 30)


def test_what_a_candidate_says_of_itself_does_not_change_its_score(plugin: ImageFolder) -> None:
    report = honest(plugin, right=2)
    lie = {**report, "train_accuracy": 100.0, "loss": 0.0, "epochs": 0}
    assert plugin.evaluate(lie).fitness == plugin.evaluate(report).fitness == 20.0


def test_every_forgery_of_the_kit_is_refused_or_harmless(plugin: ImageFolder) -> None:
    refused = 0
    for what, forged, must_refuse in forge(honest(plugin)):
        try:
            verdict = plugin.evaluate(forged)
        except ReportError:
            refused += 1
            continue
        assert not must_refuse, what
        assert verdict.fitness == 100.0, what
    assert refused > 100


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cut": 1}, "true or false"),
        ({"epochs": 4}, "from 0 to 3"),
        ({"uncounted": {"x\x1b[31m": 1}}, "names of operators"),
        ({"uncounted": {str(n): 1 for n in range(100)}}, "at most 32"),
        ({"uncounted": {"x": True}}, "how often"),
        ({"fitness": 100.0}, "a report of exactly"),
    ],
)
def test_a_forged_report_is_refused(plugin: ImageFolder, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ReportError, match=why):
        plugin.evaluate({**honest(plugin), **changes})


def test_predictions_of_another_split_are_no_part_of_a_report(plugin: ImageFolder) -> None:
    report = honest(plugin)
    report["predictions"]["train"] = report["predictions"]["test"]
    with pytest.raises(ReportError, match="exactly validation, test"):
        plugin.evaluate(report)


def test_a_job_says_where_the_data_is_and_gives_time_to_train(plugin: ImageFolder) -> None:
    job = plugin.job("x")
    (folder,) = job.data
    assert job.params["data"] == f"/data/{folder.name}"
    assert job.extra_seconds == job.params["train_seconds"] == 600
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "test_images.npy",
        "train_images.npy",
        "train_labels.npy",
        "validation_images.npy",
    ]
    assert job == plugin.job("x")
    json.dumps(dict(job.params), allow_nan=False)


@pytest.mark.parametrize("kind", ["py", "bin", "folders"])
def test_cifar10_takes_any_form_of_its_data(tmp_path: Path, kind: str) -> None:
    if kind == "folders":
        write_folders(tmp_path / "x", dataset(train=100, test=20, classes=10), size=32)
    else:
        write_batches(tmp_path / "x", binary=kind == "bin")
    plugin = Cifar10(data=str(tmp_path / "x"), cache=str(tmp_path / "cache"))
    plugin.prepare(silent)
    assert plugin._data().counts == {"train": 90, "validation": 10, "test": 20}


def test_fashion_mnist_takes_a_folder(tmp_path: Path) -> None:
    plugin = FashionMnist(data=str(write_idx(tmp_path / "x")), cache=str(tmp_path / "cache"))
    plugin.prepare(silent)
    assert plugin._data().counts == {"train": 54, "validation": 6, "test": 20}
    assert "nn.Linear(784, 10)" in plugin.seed


def test_data_of_another_shape_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path / "x", dataset(train=50, test=10, classes=5))
    plugin = Cifar10(data=str(tmp_path / "x"), cache=str(tmp_path / "cache"))
    with pytest.raises(PluginError, match=r"in 10 classes, found \(3, 32, 32\) in 5"):
        plugin.prepare(silent)


def test_data_without_test_images_has_no_test_score(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "x", dataset(train=50, test=0, classes=6)) / "train"
    plugin = ImageFolder(data=str(root), image_size=8, cache=str(tmp_path / "cache"))
    plugin.prepare(silent)
    assert plugin.job("x").params["predict"] == ["validation"]
    report = honest_without_test(plugin)
    assert plugin.test_score(plugin.evaluate(report), report) is None


def honest_without_test(plugin: ImageClassification) -> dict[str, Any]:
    labels = plugin._data().labels("validation")
    ranks = (labels[:, None] + np.arange(5)) % 6
    numbers = {"flops": 1, "parameters": 1, "width": 1, "depth": 1, "epochs": 1, "loss": 1.0}
    rest = {"uncounted": {}, "cut": True, "train_seconds": 1.0, "images_per_second": 1.0}
    array = as_plain(ranks.astype(np.uint8))
    return {**numbers, **rest, "train_accuracy": 1.0, "predictions": {"validation": array}}


@pytest.mark.parametrize(
    ("cls", "options", "why"),
    [
        (Cifar10, {"epochs": 0}, "--epochs to be 1 or more, found 0"),
        (Cifar10, {"batch_size": 1}, "--batch-size"),
        (Cifar10, {"learning_rate": 0.0}, "--learning-rate"),
        (Cifar10, {"momentum": 1.0}, "--momentum"),
        (Cifar10, {"train_seconds": 0.0}, "--train-seconds"),
        (Cifar10, {"train_seed": -1}, "--train-seed"),
        (Cifar10, {"min_macs": 10.0, "max_macs": 5.0}, "--max-macs"),
        (Cifar10, {"data": "/none/there"}, "expected a folder at --data /none/there"),
        (ImageFolder, {"image_size": 0}, "--image-size from 1"),
    ],
)
def test_an_option_out_of_range_is_refused(cls: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(PluginError, match=re.escape(why)):
        cls(**options)


def test_a_folder_that_holds_neither_form_of_cifar10_is_said(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="found neither; correct the path"):
        Cifar10(data=str(tmp_path)).prepare(silent)
    with pytest.raises(PluginError, match="name it with --data DIR"):
        ImageFolder().prepare(silent)
