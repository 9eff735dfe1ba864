"""Scoring predictions, honest and forged."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from plugins.classification.scoring import accuracy, accuracy_within, predictions
from plugins.contract import ReportError
from sandbox.guest.tasks.train import as_plain


def report(array: np.ndarray, **changes: Any) -> dict[str, Any]:
    return {"predictions": {"validation": {**as_plain(array), **changes}}}


HONEST = np.array([[0, 1, 2, 3, 4], [9, 8, 7, 6, 5], [3, 1, 4, 0, 5]], np.uint8)


def test_what_the_task_writes_is_read_as_it_was() -> None:
    found = predictions(report(HONEST), "validation", 3, 10)
    assert found.tolist() == HONEST.tolist()
    assert accuracy(found, np.array([0, 9, 4])) == pytest.approx(200 / 3)
    assert accuracy_within(found, np.array([0, 9, 4])) == 100
    assert accuracy_within(found, np.array([5, 0, 9])) == 0


def test_few_classes_are_answered_by_one_and_many_by_two_bytes() -> None:
    few = np.array([[1], [0]], np.uint8)
    assert predictions(report(few), "validation", 2, 2).tolist() == [[1], [0]]
    many = np.array([[999, 0, 1, 2, 3]], np.uint16)
    assert predictions(report(many), "validation", 1, 1000).tolist() == many.tolist()
    with pytest.raises(ReportError, match="dtype uint16"):
        predictions(report(HONEST), "validation", 3, 1000)


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (report(HONEST[:2]), r"shape \[3, 5\]"),
        (report(HONEST[:, :1]), r"shape \[3, 5\]"),
        (report(np.full((3, 5), 10, np.uint8)), "classes 0..9"),
        (report(np.zeros((3, 5), np.uint8)), "different classes"),
        (report(HONEST.astype(np.float32)), "dtype uint8"),
        (report(HONEST, dtype="O"), "dtype uint8"),
        (report(HONEST, dtype=["uint8"]), "dtype uint8"),
        (report(HONEST, shape=[3.0, 5]), "shape of integers"),
        (report(HONEST, shape=[True, 5]), "shape of integers"),
        (report(HONEST, shape="35"), "shape of integers"),
        (report(HONEST, shape=[-3, -5]), r"shape \[3, 5\]"),
        (report(HONEST, base64="!"), "base64"),
        (report(HONEST, base64="é"), "base64"),
        (report(HONEST, base64=None), "as text"),
        (report(HONEST, base64=base64.b64encode(b"x" * 14).decode()), "15 predictions"),
        (report(HONEST, pickle="x"), "as an array"),
        ({"predictions": {"test": as_plain(HONEST)}}, "of split 'validation'"),
        ({"predictions": [1, 2, 3]}, "of split 'validation'"),
        ({}, "of split 'validation'"),
    ],
)
def test_a_forged_array_is_refused(forged: dict[str, Any], why: str) -> None:
    with pytest.raises(ReportError, match=why):
        predictions(forged, "validation", 3, 10)
