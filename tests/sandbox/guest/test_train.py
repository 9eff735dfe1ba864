"""The task that trains, run without a container, on data small enough to learn in a second."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sandbox.guest import pictures
from sandbox.guest.task import Refusal, TaskContext
from sandbox.guest.tasks.train import run
from tests.sandbox.guest.test_measure import LINEAR, net

CLASSES = 6
HONEST = net("self.fc = nn.Linear(48, 6)", "return self.fc(x.flatten(1))")
ROWS = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy images whose brightness says their class."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", ROWS), ("validation", 60), ("test", 30)):
        labels = np.arange(count) % CLASSES
        noise = rng.integers(0, 12, (count, 3, 4, 4))
        images = (noise + 40 * labels[:, None, None, None]).astype(np.uint8)
        np.save(folder / f"{split}_images.npy", images)
        if split == "train":
            np.save(folder / "train_labels.npy", labels)
    return folder


def train(data: Path, source: str = HONEST, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    context = TaskContext(lambda m: said.append(f"{m['phase']} {m['note']}".strip()))
    params = {
        "data": str(data),
        "image_shape": [3, 4, 4],
        "classes": CLASSES,
        "mean": [0.4] * 3,
        "std": [0.3] * 3,
        "predict": ["validation", "test"],
        "epochs": 3,
        "batch": 16,
        "learning_rate": 0.05,
        "momentum": 0.9,
        "augment": False,
        "train_seconds": None,
        "seed": 1,
    }
    return run(source, {**params, **changes}, context), said


def array(plain: dict[str, Any]) -> np.ndarray:
    data = base64.b64decode(plain["base64"])
    return np.frombuffer(data, plain["dtype"]).reshape(plain["shape"])


def right(report: dict[str, Any]) -> float:
    found = array(report["predictions"]["validation"])[:, 0]
    return float((found == np.arange(60) % CLASSES).mean())


def test_a_network_learns_and_names_classes_for_images_it_never_saw(data: Path) -> None:
    report, said = train(data, epochs=20)
    assert right(report) > 0.9
    assert report["train_accuracy"] > 90
    assert report["loss"] < 1
    assert (report["epochs"], report["cut"]) == (20, False)
    assert (report["flops"], report["parameters"], report["depth"]) == (288, 294, 1)
    assert array(report["predictions"]["validation"]).shape == (60, 5)
    assert array(report["predictions"]["test"]).shape == (30, 5)
    epochs = [line for line in said if line.startswith("train ") and "acc" in line]
    assert len(epochs) == 20
    assert epochs[-1].startswith("train 20/20 loss 0.")
    assert epochs[-1].endswith("/s")
    assert said[-2:] == ["predict validation", "predict test"]


def test_an_untrained_network_is_no_better_than_chance(data: Path) -> None:
    assert right(train(data, learning_rate=1e-9)[0]) < 0.5


def test_the_same_seed_gives_the_same_network_and_another_one_another(data: Path) -> None:
    first, again, other = (train(data, epochs=1, seed=seed)[0] for seed in (1, 1, 2))
    assert first["loss"] == again["loss"]
    assert first["predictions"] == again["predictions"]
    assert first["loss"] != other["loss"]


def test_when_the_seconds_run_out_the_network_predicts_as_it_is(data: Path) -> None:
    slow = HONEST.replace("        return", "        import time; time.sleep(0.02)\n        return")
    started = time.monotonic()
    report, _ = train(data, slow, epochs=10_000, train_seconds=0.4)
    assert report["cut"] is True
    assert report["epochs"] < 10_000
    assert 0.4 <= report["train_seconds"] < 2
    assert time.monotonic() - started < 10
    assert len(array(report["predictions"]["validation"])) == 60


def test_a_last_batch_of_one_image_does_no_harm_to_a_batch_normalisation(data: Path) -> None:
    source = net(
        "self.n = nn.BatchNorm1d(48)\nself.fc = nn.Linear(48, 6)",
        "return self.fc(self.n(x.flatten(1)))",
    )
    assert ROWS % 239 == 1
    assert train(data, source, batch=239)[0]["epochs"] == 3


def test_random_flips_and_moves_still_let_it_learn(data: Path) -> None:
    # Of images of 4x4 pixels little is left: chance is a sixth.
    report, _ = train(data, epochs=40, augment=True)
    assert right(report) >= 0.3
    assert report["loss"] > train(data, epochs=40)[0]["loss"]


@pytest.mark.parametrize(
    ("source", "kind", "why"),
    [
        (HONEST.replace("return ", "return 1e20 * "), "diverged", "the loss became|NaN"),
        (
            HONEST.replace(
                "return ", "x = x * (float('nan') if self.training else 1.0)\n        return "
            ),
            "diverged",
            "the loss became nan after 0 images",
        ),
        (
            net("self.fc = nn.Linear(48, 6)", "return self.fc(x.flatten(1)).detach()"),
            "forward_error",
            "without gradients",
        ),
        (net("pass", "return x.flatten(1)[:, :6]"), "build_error", "parameters to train"),
        (
            HONEST.replace("return ", "if self.training: return (x, x)\n        return "),
            "wrong_shape",
            "found tuple",
        ),
        (
            net(
                "self.fc = nn.Linear(48, 6)",
                "if self.training and len(list(self.parameters())) < 3:\n"
                "    self.more = nn.Linear(48, 6)\n"
                "return self.fc(x.flatten(1))",
            ),
            "forward_error",
            "the 294 parameters that were measured",
        ),
        (net(LINEAR, "return self.fc(x.flatten(1))"), "wrong_shape", r"found \[2, 10\]"),
    ],
)
def test_what_is_wrong_is_refused_with_a_reason(
    data: Path, source: str, kind: str, why: str
) -> None:
    with pytest.raises(Refusal, match=why) as refusal:
        train(data, source, learning_rate=10.0)
    assert refusal.value.kind == kind


def test_a_state_kept_between_batches_is_the_candidates_own_error(data: Path) -> None:
    source = net(
        "self.r = nn.LSTM(48, 6)\nself.state = None",
        "x, self.state = self.r(x.flatten(1)[None], self.state)\nreturn x[0]",
    )
    with pytest.raises(RuntimeError):
        train(data, source)


def test_images_are_flipped_and_moved_each_in_its_own_way() -> None:
    images = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3).repeat(200, 2, 1, 1)
    changed = pictures.augmented(images, torch.Generator().manual_seed(0))
    assert (changed.shape, changed.dtype) == (images.shape, torch.uint8)
    # The same move for every channel of an image.
    assert torch.equal(changed[:, 0], changed[:, 1])
    kinds = {tuple(image.flatten().tolist()) for image in changed[:, 0]}
    assert len(kinds) > 30
    assert tuple(range(1, 10)) in kinds or (3, 2, 1, 6, 5, 4, 9, 8, 7) in kinds


def test_every_image_is_in_one_batch_of_an_epoch_but_for_a_last_single_one() -> None:
    def epoch(count: int) -> list[int]:
        generator = torch.Generator().manual_seed(0)
        batches = list(pictures.shuffled_batches(count, 4, generator))
        return sorted(torch.cat(batches).tolist())

    assert epoch(10) == list(range(10))
    assert len(epoch(9)) == 8
    assert epoch(1) == [0]
