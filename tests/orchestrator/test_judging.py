"""From an outcome to a result: a plugin's verdict is made sure of before it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from orchestrator.judging import evaluate
from plugins.contract import Evaluation, PluginError, ReportError
from sandbox.outcome import Outcome, OutcomeKind
from tests.support import Numbers

OK = Outcome(OutcomeKind.OK, report={"x": 0.5, "y": 0.5}, stdout="out", seconds={"total": 1.0})


class Judge(Numbers):
    """Gives the verdict, or raises the error, that it was made with."""

    def __init__(self, verdict: Evaluation | Exception) -> None:
        self._verdict = verdict

    def evaluate(self, report: Mapping[str, Any]) -> Evaluation:
        if isinstance(self._verdict, Exception):
            raise self._verdict
        return self._verdict


def test_a_report_becomes_an_evaluation() -> None:
    result = evaluate(Numbers(), OK)
    assert result.outcome is OK
    assert result.evaluation == Evaluation(50.0, (0.5, 0.5), "0.50,0.50")


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.OK])
def test_what_failed_is_never_shown_to_the_plugin(kind: OutcomeKind) -> None:
    outcome = Outcome(kind, "why", report={"x": 1.0, "y": 1.0})
    result = evaluate(Judge(AssertionError("asked")), outcome)
    assert result.outcome is outcome
    assert result.evaluation is None


def test_a_report_that_the_plugin_refuses_is_a_protocol_violation_with_all_else_kept() -> None:
    result = evaluate(Judge(ReportError("forged")), OK)
    assert result.evaluation is None
    found = result.outcome
    assert (found.kind, found.reason) == (OutcomeKind.PROTOCOL_VIOLATION, "forged")
    assert (found.stdout, found.seconds, found.report) == ("out", {"total": 1.0}, None)


def test_a_plugin_that_stumbles_over_a_report_is_named() -> None:
    with pytest.raises(PluginError, match=r"plugin numbers .*KeyError: 'x'.*plugins check numbers"):
        evaluate(Judge(KeyError("x")), OK)
    with pytest.raises(PluginError, match="no table"):
        evaluate(Judge(PluginError("no table")), OK)


@pytest.mark.parametrize(
    "verdict",
    [
        Evaluation(float("nan"), (0.0, 0.0)),
        Evaluation(float("inf"), (0.0, 0.0)),
        Evaluation(1.0, (0.0, float("nan"))),
        Evaluation(1.0, (0.0,)),
        Evaluation(1.0, (0.0, 0.0, 0.0)),
    ],
)
def test_a_verdict_that_is_none_is_the_plugins_fault(verdict: Evaluation) -> None:
    with pytest.raises(PluginError, match="finite fitness and 2 finite descriptors"):
        evaluate(Judge(verdict), OK)


def test_details_that_cannot_be_stored_are_the_plugins_fault() -> None:
    with pytest.raises(PluginError, match="not JSON serializable"):
        evaluate(Judge(Evaluation(1.0, (0.0, 0.0), details={"a": object()})), OK)


def test_numbers_of_numpy_become_pythons_own() -> None:
    verdict = Evaluation(np.float32(0.5), (np.float64(1.0), np.int64(2)), details={"a": (1, 2)})
    evaluation = evaluate(Judge(verdict), OK).evaluation
    assert evaluation == Evaluation(0.5, (1.0, 2.0), details={"a": [1, 2]})
    assert evaluation is not None
    assert {type(n) for n in (evaluation.fitness, *evaluation.descriptors)} == {float}
