"""Task ``sandbox.guest.tasks.train:run``: measure a classifier, train it, have it predict.

The data lies in a folder of the container: ``train_images.npy`` and ``train_labels.npy``, and the
images alone of every split that is predicted. What scores a network never gets here.
"""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sandbox.guest import pictures
from sandbox.guest.task import Refusal, TaskContext
from sandbox.guest.tasks import RANKS
from sandbox.guest.tasks.measure import TRIED, build, checked, measure

#: Images that are predicted at a time.
PREDICTED = 500
#: Seconds between two words on how far an epoch is.
NOTE_SECONDS = 2.0


def run(source: str, params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Measure, train and predict.

    Args:
        source: the candidate, as in :mod:`.measure`.
        params: ``data`` (folder), ``image_shape``, ``classes``, ``mean`` and ``std`` (per
            channel), ``predict`` (names of splits: ``validation`` ...), ``epochs``,
            ``batch``, ``learning_rate``, ``momentum``, ``augment``, ``train_seconds`` (None: no
            end), ``seed``.
        context: the child.

    Returns:
        What :func:`.measure.measure` does, and ``epochs`` (whole ones), ``cut`` (whether the
        seconds ran out), ``train_seconds``, ``images_per_second``, ``loss`` and
        ``train_accuracy`` (percent) of the last epoch; ``predictions``: by split an array, see
        :func:`as_plain`.

    Raises:
        Refusal: as in :mod:`.measure`; ``diverged``: the loss left the finite numbers.
    """
    device = torch.device("cpu")
    folder = Path(params["data"])
    images = pictures.load_images(folder / "train_images.npy", device)
    labels = pictures.load_labels(folder / "train_labels.npy", device)
    normalise = pictures.Normalisation.of(params["mean"], params["std"], device)
    network = build(source, params["seed"], context).to(device)
    measured = measure(network, normalise(images[:TRIED]), params["classes"], context)
    trainer = _Trainer(network, images, labels, normalise, params, context)
    trained = trainer.run()
    predictions = {}
    for split in params["predict"]:
        context.phase("predict", split)
        unseen = pictures.load_images(folder / f"{split}_images.npy", device)
        predictions[split] = as_plain(_predict(network, unseen, normalise, params["classes"]))
    if sum(p.numel() for p in network.parameters()) != measured["parameters"]:
        raise Refusal(
            "forward_error",
            f"expected the {measured['parameters']} parameters that were measured, found another "
            "number after training; make all layers in __init__",
        )
    return {**measured, **trained, "predictions": predictions}


class _Trainer:
    """One training: stochastic gradient descent with momentum on the cross entropy."""

    def __init__(
        self,
        network: nn.Module,
        images: torch.Tensor,
        labels: torch.Tensor,
        normalise: pictures.Normalisation,
        params: dict[str, Any],
        context: TaskContext,
    ) -> None:
        parameters = [p for p in network.parameters() if p.requires_grad]
        if not parameters:
            raise Refusal(
                "build_error",
                "expected a network with parameters to train, found none; add a layer such as "
                "nn.Linear in __init__",
            )
        self._network, self._images, self._labels = network, images, labels
        self._normalise, self._context = normalise, context
        self._classes, self._batch = params["classes"], params["batch"]
        self._epochs, self._augment = params["epochs"], params["augment"]
        self._budget: float | None = params["train_seconds"]
        self._generator = torch.Generator().manual_seed(params["seed"])
        self._optimizer = torch.optim.SGD(
            parameters, lr=params["learning_rate"], momentum=params["momentum"]
        )
        self._start = self._noted = time.monotonic()
        self._seen = 0

    def run(self) -> dict[str, Any]:
        """All epochs, or as many as the seconds allow."""
        self._context.phase("train", f"0/{self._epochs}")
        cut, loss, accuracy, epochs = False, 0.0, 0.0, 0
        for epoch in range(self._epochs):
            loss, accuracy, cut = self._epoch(epoch)
            if cut:
                break
            epochs += 1
            self._note(f"{epochs}/{self._epochs} loss {loss:.3f} acc {accuracy:.1f}")
        seconds = time.monotonic() - self._start
        return {
            "epochs": epochs,
            "cut": cut,
            "train_seconds": seconds,
            "images_per_second": self._seen / max(seconds, 1e-9),
            "loss": loss,
            "train_accuracy": accuracy,
        }

    def _epoch(self, epoch: int) -> tuple[float, float, bool]:
        """Mean loss and accuracy in percent over the epoch, and whether the time ran out."""
        self._network.train()
        total = correct = 0.0
        seen = 0
        for indices in pictures.shuffled_batches(len(self._images), self._batch, self._generator):
            # A first step is always made, so that a cut network has learnt something.
            if self._seen and self._out_of_time():
                return total / max(seen, 1), 100 * correct / max(seen, 1), True
            loss, right = self._step(indices)
            seen += len(indices)
            self._seen += len(indices)
            total += loss * len(indices)
            correct += right
            if time.monotonic() - self._noted >= NOTE_SECONDS:
                share = seen / len(self._images)
                self._note(f"{epoch + share:.2f}/{self._epochs} loss {total / seen:.3f}")
        return total / max(seen, 1), 100 * correct / max(seen, 1), False

    def _step(self, indices: torch.Tensor) -> tuple[float, float]:
        """Learn from one batch; its loss, and how many it got right."""
        indices = indices.to(self._images.device)
        images, wanted = self._images[indices], self._labels[indices]
        if self._augment:
            images = pictures.augmented(images, self._generator)
        output = checked(self._network(self._normalise(images)), len(indices), self._classes)
        loss = nn.functional.cross_entropy(output, wanted)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise Refusal(
                "diverged",
                f"the loss became {value} after {self._seen} images; normalise, or make the "
                "layers' outputs smaller",
            )
        if not loss.requires_grad:
            raise Refusal(
                "forward_error",
                "expected an output that depends on the parameters, found one without gradients; "
                "do not detach it",
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return value, float((output.detach().argmax(1) == wanted).sum())

    def _out_of_time(self) -> bool:
        return self._budget is not None and time.monotonic() - self._start >= self._budget

    def _note(self, text: str) -> None:
        now = time.monotonic()
        self._noted = now
        self._context.phase("train", f"{text} {self._seen / max(now - self._start, 1e-9):.0f}/s")


@torch.no_grad()
def _predict(
    network: nn.Module,
    images: torch.Tensor,
    normalise: pictures.Normalisation,
    classes: int,
) -> np.ndarray:
    """The likeliest classes of every image, the likeliest first: (n, 1 or RANKS)."""
    network.eval()
    ranks = RANKS if classes >= RANKS else 1
    found = []
    for start in range(0, len(images), PREDICTED):
        batch = images[start : start + PREDICTED]
        output = checked(network(normalise(batch)), len(batch), classes)
        if not bool(torch.isfinite(output).all()):
            raise Refusal("diverged", "a prediction holds NaN or infinity after training")
        found.append(output.topk(ranks, dim=1).indices.cpu())
    return torch.cat(found).numpy().astype(np.uint8 if classes <= 256 else np.uint16)


def as_plain(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON values: ``dtype``, ``shape``, and its little-endian bytes as ``base64``."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
    }
