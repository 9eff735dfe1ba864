"""Scores what a candidate predicted against the labels that the host kept."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from plugins.contract import ReportError
from sandbox.guest.tasks import RANKS


def predictions(report: Mapping[str, Any], split: str, count: int, classes: int) -> np.ndarray:
    """The classes that a report names for a split, the likeliest first: (count, ranks).

    Args:
        report: may be forged.
        split: ``validation`` or ``test``.
        count: images in it.
        classes: how many classes there are.

    Raises:
        ReportError: it is no array of the dtype and shape asked for, names classes that there
            are not, or one class twice for an image.
    """
    ranks = RANKS if classes >= RANKS else 1
    dtype = "uint8" if classes <= 256 else "uint16"
    whole = report.get("predictions")
    array = whole.get(split) if isinstance(whole, Mapping) else None
    if not isinstance(array, Mapping) or set(array) != {"dtype", "shape", "base64"}:
        raise ReportError(f"expected predictions of split {split!r} as an array")
    if array["dtype"] != dtype:
        raise ReportError(f"expected predictions of dtype {dtype}")
    shape = array["shape"]
    if type(shape) is not list or any(type(n) is not int for n in shape):
        raise ReportError("expected a shape of integers")
    if shape != [count, ranks]:
        raise ReportError(f"expected predictions of shape {[count, ranks]} for {split!r}")
    text = array["base64"]
    if type(text) is not str:
        raise ReportError("expected the bytes of predictions as text")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ReportError("expected the bytes of predictions in base64") from error
    kind = np.dtype(dtype).newbyteorder("<")
    if len(data) != count * ranks * kind.itemsize:
        raise ReportError(f"expected {count * ranks} predictions for {split!r}")
    found = np.frombuffer(data, kind).reshape(count, ranks).astype(np.int64)
    if found.size and found.max() >= classes:
        raise ReportError(f"expected classes 0..{classes - 1} in the predictions")
    ordered = np.sort(found, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ReportError("expected different classes for an image")
    return found


def accuracy(found: np.ndarray, labels: np.ndarray) -> float:
    """How often the first class is right, in percent."""
    return 100.0 * float((found[:, 0] == labels).mean())


def accuracy_within(found: np.ndarray, labels: np.ndarray) -> float:
    """How often any of the classes named is right, in percent: top-5 accuracy for five of them."""
    return 100.0 * float((found == labels[:, None]).any(axis=1).mean())
