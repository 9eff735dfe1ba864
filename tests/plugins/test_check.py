"""The conformance kit holds for our plugin, and names each promise that another one breaks."""

import dataclasses
import importlib
import itertools
import math

import pytest

pytest.importorskip("torch")

from plugins.check import Check
from plugins.contract import (
    Descriptor,
    Edit,
    Evaluation,
    Option,
    PluginError,
    Prompt,
    ReportError,
)
from plugins.nasbench201 import NasBench201
from sandbox.guest.task import PHASES, Refusal, TaskContext
from sandbox.job import GuestCode
from sandbox.outcome import Outcome, OutcomeKind


def run_here(job):
    """Runs a job's real task in this process: the sources of these tests are ours."""
    module, _, function = job.code.entry.partition(":")
    context = TaskContext(lambda _: None)
    try:
        task = getattr(importlib.import_module(module), function)
        return Outcome(OutcomeKind.OK, report=task(job.source, dict(job.params), context))
    except Refusal as refusal:
        return Outcome(OutcomeKind(refusal.kind), refusal.reason)
    except Exception as error:
        return Outcome(OutcomeKind(PHASES.get(context.current, "sandbox_error")), repr(error))


def verdicts(cls, run_job=run_here):
    return {verdict.promise: verdict for verdict in Check(cls, run_job).run()}


def broken(found):
    return [verdict for verdict in found.values() if verdict.held is False]


def test_our_plugin_keeps_every_promise():
    found = verdicts(NasBench201)
    assert [verdict.held for verdict in found.values()] == [True] * 15, broken(found)


def test_without_a_sandbox_what_needs_one_is_not_tried():
    found = verdicts(NasBench201, None)
    untried = [promise for promise, verdict in found.items() if verdict.held is None]
    assert "it has two descriptors, each with low < high" not in untried
    assert "its seed passes the sandbox" in untried
    assert len(untried) == 7
    assert not broken(found)


def test_a_failing_sandbox_is_not_held_against_the_plugin():
    def fail(_):
        return Outcome(OutcomeKind.SANDBOX_ERROR, "the engine stopped")

    verdict = verdicts(NasBench201, fail)["its seed passes the sandbox"]
    assert verdict.held is None
    assert "the engine stopped" in verdict.detail


def variant(**changes):
    return type("Variant", (NasBench201,), changes)


def prompts(**changes):
    made = dataclasses.replace(NasBench201().prompts, **changes)
    return property(lambda self: made)


def edited(change):
    """``evaluate`` with its result changed."""

    def evaluate(self, report):
        return change(NasBench201.evaluate(self, report))

    return evaluate


def trusting(self, report):
    """An ``evaluate`` that trusts the report."""
    return Evaluation(float(report["cell"][3]), (0.0, report["parameters"] * 1.0))


class Drifting(NasBench201):
    calls = 0

    def evaluate(self, report):
        Drifting.calls += 1
        return dataclasses.replace(super().evaluate(report), fitness=float(Drifting.calls))


GIVES = "it has two descriptors, each with low < high"
PROMPTS = "its prompts are there, and can be put in front of an LLM"
OPTIONS = "its options have types, defaults that fit, and help"
SEED = "its seed compiles and defines the class that prompts name"
JOB = "its job is the same for the same source, in JSON values"
EVALUATES = "the evaluation is finite, and of two descriptors"
DETAILS = "an evaluation's details are JSON values"
FORGERY = "a forged report is a ReportError, and never another error"
PREPARES = "its data comes up, and comes up again"
SCORE = "the test score is a number or None"


def no_data(self, progress):
    raise PluginError("no data")


def wrong_progress(self, progress):
    progress("loading", 3, 2)


COUNTER = itertools.count()


def impure_job(self, source):
    job = NasBench201.job(self, source)
    return dataclasses.replace(job, params={"id": next(COUNTER)})


def unserialisable_job(self, source):
    return dataclasses.replace(NasBench201.job(self, source), params={"x": {1, 2}})


def job_with_another_source(self, source):
    return dataclasses.replace(NasBench201.job(self, source), source="x = 1\n")


def job_without_its_module(self, source):
    job = NasBench201.job(self, source)
    return dataclasses.replace(job, code=GuestCode("somewhere:run", job.code.modules))


def forgiving(self, report):
    """An ``evaluate`` that makes something of whatever it is told."""
    try:
        return NasBench201.evaluate(self, report)
    except ReportError:
        return Evaluation(0.0, (1.0, 1.0))


@pytest.mark.parametrize(
    ("cls", "promise", "complaint"),
    [
        (variant(summary=""), "it says what it is: a name, a summary of one line", "found ''"),
        (variant(options=(Option("dataset", 3, "help"),)), OPTIONS, "found 3"),
        (variant(options=(Option("Data Set", "x", "help"),)), OPTIONS, "'Data Set'"),
        (variant(options=(Option("a", "x", "help", choices=("y",)),)), OPTIONS, "its choices"),
        (variant(options=(Option("a", "x", " "),)), OPTIONS, "a help text for --a"),
        (variant(options=(Option("a-b", "", "h"), Option("a-b", "", "h"))), OPTIONS, "twice"),
        (variant(seed="def broken(:"), SEED, "valid Python"),
        (variant(seed="x = 1\n"), SEED, "to define class Net, found none"),
        (variant(seed="class Net: pass\n"), SEED, "to start with the header"),
        (variant(prompts=prompts(mutations=())), PROMPTS, "two mutation prompts or more"),
        (
            variant(prompts=prompts(mutations=(Prompt("a", Edit(delete=True)), Prompt(" ")))),
            PROMPTS,
            "every prompt to have a text",
        ),
        (
            variant(prompts=prompts(mutations=(Prompt("a"), Prompt("b", Edit(delete=True))))),
            PROMPTS,
            "an edit that --llm rules can follow",
        ),
        (variant(prompts=prompts(opening="class Other:\n")), PROMPTS, "an opening"),
        (variant(prompts=prompts(preamble="class Net(:")), PROMPTS, "the preamble"),
        (variant(descriptors=()), GIVES, "two descriptors, found 0"),
        (variant(descriptors=(Descriptor("a", "a", 1, 1), Descriptor("b", "b", 0, 1))), GIVES, "1"),
        (variant(descriptors=(Descriptor("a", "a", 0, 1),) * 2), GIVES, "two different names"),
        (
            variant(descriptors=(Descriptor("a", "a", 0, math.inf), Descriptor("b", "b", 0, 1))),
            GIVES,
            "inf",
        ),
        (variant(prepare=no_data), PREPARES, "PluginError: no data"),
        (variant(prepare=wrong_progress), PREPARES, "a total of at least 3"),
        (variant(job=impure_job), JOB, "found another"),
        (variant(job=unserialisable_job), JOB, "job's params to be JSON"),
        (variant(job=job_with_another_source), JOB, "unchanged"),
        (variant(job=job_without_its_module), JOB, "among those shipped"),
        (
            variant(evaluate=edited(lambda e: dataclasses.replace(e, fitness=math.nan))),
            EVALUATES,
            "a finite fitness, found nan",
        ),
        (
            variant(evaluate=edited(lambda e: dataclasses.replace(e, descriptors=(1.0,)))),
            EVALUATES,
            "two descriptors, found 1",
        ),
        (Drifting, "the same report gives the same evaluation", "the second time"),
        (
            variant(evaluate=edited(lambda e: dataclasses.replace(e, details={"a": {1}}))),
            DETAILS,
            "JSON values",
        ),
        (
            variant(evaluate=edited(lambda e: dataclasses.replace(e, details={"a": (1,)}))),
            DETAILS,
            "no tuples",
        ),
        (variant(evaluate=trusting), FORGERY, "expected ReportError for"),
        (variant(evaluate=forgiving), FORGERY, "found an evaluation"),
        (variant(test_score=lambda self, evaluation, report: "94 %"), SCORE, "found '94 %'"),
    ],
)
def test_a_broken_promise_is_named_with_what_was_found(cls, promise, complaint):
    verdict = verdicts(cls)[promise]
    assert verdict.held is False
    assert complaint in verdict.detail


def test_a_seed_that_the_sandbox_refuses_is_named_with_the_reason():
    header = NasBench201().prompts.header
    seed = header + "\n\nclass Net(nn.Module):\n    def forward(self, x):\n        return x\n"
    found = verdicts(variant(seed=seed))
    verdict = found["its seed passes the sandbox"]
    assert verdict.held is False
    assert verdict.detail.startswith("expected outcome ok, found ")
    assert found[EVALUATES].held is None
