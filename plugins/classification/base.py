"""What every image-classification benchmark shares: all but its data and its ranges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from plugins.classification import scoring
from plugins.classification.dataset import Source
from plugins.classification.prepared import Prepared, Splitting, data_cache, prepare
from plugins.classification.prompts import PROMPTS, seed_network
from plugins.contract import (
    Descriptor,
    Evaluation,
    Option,
    PluginError,
    Progress,
    Prompts,
    ReportError,
)
from plugins.reports import integer, number
from sandbox.job import DATA_ROOT, DataFolder, GuestCode, Job

TASK = GuestCode("sandbox.guest.tasks.train:run")
#: The name of the data folder in the container.
DATA = "images"
MILLION = 1_000_000
#: What is kept of the operators that were not counted, whose names a candidate may have made up.
MAX_UNCOUNTED = 32
MEASURED = {"flops", "uncounted", "parameters", "width", "depth"}
TRAINED = {"epochs", "cut", "train_seconds", "images_per_second", "loss", "train_accuracy"}
REPORT = MEASURED | TRAINED | {"predictions"}


def common_options(min_macs: float, max_macs: float) -> tuple[Option, ...]:
    """The options of every image-classification benchmark, with its range of MACs in millions."""
    return (
        Option("epochs", 50, "Passes over the training images.", int),
        Option("batch-size", 128, "Images per step.", int),
        Option("learning-rate", 0.001, "Of stochastic gradient descent.", float),
        Option("momentum", 0.9, "Of stochastic gradient descent.", float),
        Option("augment", False, "Flip and move training images at random.", bool),
        Option(
            "train-seconds",
            600.0,
            "A candidate's time for training; then it predicts as far as it has come. Measuring "
            "and predicting have the sandbox's --timeout beside it.",
            float,
        ),
        # Not 0: with it nearly all that the paper's seed network puts out is born dead.
        Option("train-seed", 1, "Of the weights, the order of images, and dropout.", int),
        Option("train-images", None, "Train on so many images.  [default: all]", int),
        Option(
            "validation-images",
            None,
            "Training images held out to score by.  [default: a tenth]",
            int,
        ),
        Option("split-seed", 0, "Which images these are.", int),
        Option("cache", None, "Where prepared data is kept.  [default: the user's cache]"),
        Option("min-macs", min_macs, "Lower end of the archive, in millions.", float),
        Option("max-macs", max_macs, "Upper end of the archive, in millions.", float),
    )


class ImageClassification(ABC):
    """A benchmark: train a network on images, score it by the accuracy on images held out.

    A subclass says its name, summary, options, image shape, classes, and where its data is.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]

    def __init__(
        self,
        *,
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 0.001,
        momentum: float = 0.9,
        augment: bool = False,
        train_seconds: float = 600.0,
        train_seed: int = 1,
        train_images: int | None = None,
        validation_images: int | None = None,
        split_seed: int = 0,
        cache: str | None = None,
        min_macs: float = 200.0,
        max_macs: float = 5000.0,
    ) -> None:
        """Take the options; nothing is read before it is needed.

        Raises:
            PluginError: a value is out of range.
        """
        _check("epochs", epochs, epochs >= 1, "1 or more")
        _check("batch-size", batch_size, batch_size >= 2, "2 or more")
        _check("learning-rate", learning_rate, learning_rate > 0, "above 0")
        _check("momentum", momentum, 0 <= momentum < 1, "at least 0 and below 1")
        _check("train-seconds", train_seconds, train_seconds > 0, "above 0")
        for name, seed in (("train-seed", train_seed), ("split-seed", split_seed)):
            _check(name, seed, 0 <= seed < 2**31, "0 to 2147483647")
        _check("max-macs", max_macs, max_macs > min_macs >= 0, f"above --min-macs ({min_macs:g})")
        self._params: dict[str, Any] = {
            "epochs": epochs,
            "batch": batch_size,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "augment": augment,
            "train_seconds": train_seconds,
            "seed": train_seed,
        }
        self._splitting = Splitting(validation_images, train_images, split_seed)
        self._cache = data_cache(cache)
        self._macs = (min_macs * MILLION, max_macs * MILLION)
        self._prepared: Prepared | None = None

    # What a benchmark says of itself.

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""

    @property
    @abstractmethod
    def class_count(self) -> int:
        """How many classes there are."""

    @abstractmethod
    def source(self, progress: Progress) -> Source:
        """Where the data is; downloaded first where it has to be.

        Raises:
            PluginError: it cannot be had.
        """

    # The contract.

    @property
    def seed(self) -> str:
        """The paper's: one convolution of one channel, one linear layer."""
        return seed_network(self.image_shape, self.class_count)

    @property
    def prompts(self) -> Prompts:
        """The paper's thirteen prompts and its crossover prompt."""
        return PROMPTS

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """Width-to-depth ratio, 0 to 200 as in the paper, and MACs of one image."""
        return (
            Descriptor("width_to_depth", "width / depth", 0.0, 200.0),
            Descriptor("flops", "MACs", *self._macs, "MACs"),
        )

    def prepare(self, progress: Progress) -> None:
        """Bring the data up: found, read, split, and kept in the cache.

        Raises:
            PluginError: it cannot be had, is damaged, or is not what it should be.
        """
        if self._prepared is not None:
            return
        prepared = prepare(self.source(progress), self._splitting, self._cache, progress)
        found = (prepared.image_shape, len(prepared.classes))
        if found != (self.image_shape, self.class_count):
            raise PluginError(
                f"expected images of shape {self.image_shape} in {self.class_count} classes, "
                f"found {found[0]} in {found[1]}; choose the plugin that fits the data"
            )
        self._prepared = prepared

    def job(self, source: str) -> Job:
        """Measure, train and predict."""
        data = self._data()
        return Job(
            source,
            TASK,
            {
                **self._params,
                "data": f"{DATA_ROOT}/{DATA}",
                "image_shape": list(self.image_shape),
                "classes": self.class_count,
                "mean": list(data.mean),
                "std": list(data.std),
                "predict": [split for split in ("validation", "test") if split in data.counts],
            },
            (DataFolder(DATA, data.guest, data.content),),
            extra_seconds=self._params["train_seconds"],
        )

    def evaluate(self, report: Mapping[str, Any]) -> Evaluation:
        """Score the predictions of the validation images.

        Raises:
            ReportError: the report is not one that the task writes.
        """
        if not isinstance(report, Mapping) or set(report) != REPORT:
            raise ReportError(f"expected a report of exactly {', '.join(sorted(REPORT))}")
        data = self._data()
        # Those of the test split must be sound too, though nobody looks at them yet.
        found = {
            split: scoring.predictions(report, split, data.counts[split], self.class_count)
            for split in ("validation", "test")
            if split in data.counts
        }
        if set(report["predictions"]) != set(found):
            raise ReportError(f"expected predictions of exactly {', '.join(found)}")
        labels = data.labels("validation")
        flops = integer(report, "flops", 0, 2**62)
        width = integer(report, "width", 0, 2**40)
        depth = integer(report, "depth", 0, 2**40)
        fitness = scoring.accuracy(found["validation"], labels)
        ranks = found["validation"].shape[1]
        return Evaluation(
            fitness=fitness,
            descriptors=(width / max(depth, 1), float(flops)),
            details={
                "flops": flops,
                "parameters": integer(report, "parameters", 0, 2**62),
                "width": width,
                "depth": depth,
                "epochs": integer(report, "epochs", 0, self._params["epochs"]),
                "cut": _boolean(report, "cut"),
                "validation": fitness,
                **(
                    {f"validation_top{ranks}": scoring.accuracy_within(found["validation"], labels)}
                    if ranks > 1
                    else {}
                ),
                "train_accuracy": number(report, "train_accuracy", 0, 100),
                "loss": number(report, "loss", -1e300, 1e300),
                "train_seconds": number(report, "train_seconds", 0, 1e9),
                "images_per_second": number(report, "images_per_second", 0, 1e12),
                "uncounted": _uncounted(report["uncounted"]),
            },
        )

    def test_score(self, evaluation: Evaluation, report: Mapping[str, Any]) -> float | None:
        """Accuracy on the test images, in percent; None where the data has none."""
        data = self._data()
        if "test" not in data.counts or not report:
            return None
        found = scoring.predictions(report, "test", data.counts["test"], self.class_count)
        return scoring.accuracy(found, data.labels("test"))

    def _data(self) -> Prepared:
        if self._prepared is None:
            self.prepare(lambda what, done, total: None)
        assert self._prepared is not None
        return self._prepared


def data_folder(given: str | None) -> Path | None:
    """The folder that ``--data`` names.

    Raises:
        PluginError: there is no such folder.
    """
    if given is None:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise PluginError(f"expected a folder at --data {given}, found none; correct the path")
    return folder


def _check(name: str, value: Any, fits: bool, wanted: str) -> None:
    if not fits:
        raise PluginError(f"expected --{name} to be {wanted}, found {value}")


def _boolean(report: Mapping[str, Any], key: str) -> bool:
    value = report[key]
    if type(value) is not bool:
        raise ReportError(f"expected {key!r} to be true or false")
    return value


def _uncounted(value: Any) -> dict[str, int]:
    """Operators by name with how often they occur, from a report that may be forged."""
    if type(value) is not dict or len(value) > MAX_UNCOUNTED:
        raise ReportError(f"expected 'uncounted' to name at most {MAX_UNCOUNTED} operators")
    for name, count in value.items():
        if not (type(name) is str and name.isprintable() and len(name) <= 80):
            raise ReportError("expected the names of operators in 'uncounted'")
        if type(count) is not int or not 0 <= count < 2**31:
            raise ReportError("expected how often each operator of 'uncounted' occurs")
    return dict(value)
