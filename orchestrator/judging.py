"""From an outcome to a result: the plugin's verdict, made sure of."""

from __future__ import annotations

import json
import math

from orchestrator.candidate import Result
from orchestrator.store import storable
from plugins.contract import Evaluation, Plugin, PluginError, ReportError
from sandbox.outcome import Outcome, OutcomeKind


def evaluate(plugin: Plugin, outcome: Outcome) -> Result:
    """A plugin's verdict on an outcome; a report that it refuses is a ``protocol_violation``.

    Raises:
        PluginError: the verdict is none (fitness not finite, wrong number of descriptors).
    """
    if not outcome.ok or outcome.report is None:
        return Result(outcome)
    try:
        evaluation = _plain(plugin.evaluate(outcome.report))
    except PluginError:
        raise
    except ReportError as error:
        forged = Outcome(
            OutcomeKind.PROTOCOL_VIOLATION,
            str(error),
            None,
            outcome.stdout,
            outcome.stderr,
            outcome.seconds,
            outcome.attempts,
        )
        return Result(forged)
    except Exception as error:
        raise PluginError(
            f"expected plugin {plugin.name} to judge a report or refuse it (ReportError), found "
            f"{type(error).__name__}: {error}; this is the plugin's fault: "
            f"llmatic-orch plugins check {plugin.name} says more"
        ) from error
    _check(plugin, evaluation)
    return Result(outcome, evaluation)


def _plain(evaluation: Evaluation) -> Evaluation:
    """The same in Python's own types, as it will be read back (a plugin may give numpy's)."""
    return Evaluation(
        float(evaluation.fitness),
        tuple(float(value) for value in evaluation.descriptors),
        None if evaluation.identity is None else storable(str(evaluation.identity)),
        json.loads(json.dumps(dict(evaluation.details))),
    )


def _check(plugin: Plugin, evaluation: Evaluation) -> None:
    numbers = (evaluation.fitness, *evaluation.descriptors)
    expected = len(plugin.descriptors)
    if len(evaluation.descriptors) != expected or not all(math.isfinite(n) for n in numbers):
        raise PluginError(
            f"expected plugin {plugin.name} to give a finite fitness and {expected} finite "
            f"descriptors, found fitness {evaluation.fitness} and {evaluation.descriptors}; "
            f"llmatic-orch plugins check {plugin.name} says more"
        )
