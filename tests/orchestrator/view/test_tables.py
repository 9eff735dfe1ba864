"""The pages of ``runs`` and ``show``: what is known is shown, what is not is left out."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from orchestrator.view import tables
from orchestrator.view.summary import facts, progress_summary
from tests.orchestrator.view.made_up_run import DESCRIPTORS, empty_run, run_after


def printed(renderable, width=100, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="")
    Console(file=file, width=width, height=40, color_system=None).print(renderable)
    file.flush()
    text = file.buffer.getvalue().decode(encoding)
    assert max(map(cell_len, text.splitlines()), default=0) <= width
    return text


RUNS = [
    {
        "run": "runs/a",
        "plugin": "nasbench201 cifar10",
        "llm": "rules",
        "is_language_model": False,
        "state": "running",
        "generation": 3,
        "generations": 20,
        "candidates": 1301,
        "best": 91.2,
        "coverage": 0.47,
        "when": "2026-11-24 04:50",
    },
    {"run": "runs/b", "best": None},
]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_runs_are_listed_with_what_is_known_of_them(width):
    text = printed(tables.runs_table(RUNS), width)
    for fact in ("runs/a", "running", "3/20", "1,301", "91.20", "47 %", "runs/b", "–"):
        assert fact in text
    assert "language" in text


def test_no_runs_are_said_to_be_none():
    assert "no runs" in printed(tables.runs_table([]))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_run_is_summed_up_on_one_page(width):
    progress = run_after(300)
    summary = progress_summary(progress) | {
        "state": "stopped",
        "descriptors": DESCRIPTORS,
        "prompt_count": len(progress.prompts),
        "elites": [
            {"cell": 3, "number": 17, "fitness": 91.2, "test": 93.4, "descriptors": [1.5, 5e7]},
            {"cell": 4, "number": 18, "fitness": 90.1, "test": None, "descriptors": None},
        ],
    }
    page = tables.run_summary(
        summary, networks=progress.networks, prompt_archive=progress.prompt_archive
    )
    text = printed(page, width)
    for fact in ("stopped", "networks: ", "prompts: ", "not_representable", "duplicates"):
        assert fact in text
    for fact in ("93.40", "50M", "91.20", "17"):
        assert fact in text


@pytest.mark.parametrize("summary", [{}, {"best": None}, {"best": {"fitness": None}}])
def test_nothing_known_is_no_error(summary):
    printed(tables.run_summary(summary))
    printed(tables.candidate_detail({}))
    printed(tables.elites_table([{}]))
    printed(tables.outcomes_table({}))


def test_a_column_for_the_test_score_is_there_only_where_there_is_one():
    with_test = tables.elites_table([{"cell": 1, "fitness": 1.0, "test": 2.0}])
    without = tables.elites_table([{"cell": 1, "fitness": 1.0, "test": None}])
    assert "test" in printed(with_test)
    assert "test" not in printed(without)


CANDIDATE = {
    "number": 17,
    "generation": 2,
    "operator": "mutation",
    "parents": [3, 5],
    "prompt": "Delete a layer",
    "temperature": 0.65,
    "llm": "rules",
    "tokens_in": 1900,
    "tokens_out": 120,
    "llm_seconds": 3.25,
    "kind": "ok",
    "fitness": 88.25,
    "descriptors": [9.0, 5e7],
    "axes": DESCRIPTORS,
    "details": {"architecture": "|a|", "normalised": []},
    "entered": True,
    "seconds": {"run": 0.5},
    "source": "import torch\n\nclass Net(torch.nn.Module):\n\tpass\n",
}


@pytest.mark.parametrize("width", [80, 120])
def test_a_candidate_is_told_from_origin_to_source(width):
    text = printed(tables.candidate_detail(CANDIDATE), width)
    for fact in ("mutation", "3, 5", "Delete a layer", "0.65", "1,900 in, 120 out, 3.2 s"):
        assert fact in text
    for fact in ("88.25", "|a|", "entered", "run 0.50", "class Net(torch.nn.Module):"):
        assert fact in text
    assert "normalised" not in text


def test_a_descriptor_out_of_its_range_is_said_to_be_clipped():
    assert "outside 0.9..3.2, clipped" in printed(tables.candidate_detail(CANDIDATE))
    inside = {**CANDIDATE, "descriptors": [2.0, 5e7]}
    assert "clipped" not in printed(tables.candidate_detail(inside))


def test_a_failed_candidate_says_why_and_has_no_evaluation():
    failed = {
        **{key: CANDIDATE[key] for key in ("number", "source")},
        "kind": "timed_out",
        "reason": "no report within 20 s",
        "stderr": "a warning",
        "attempts": 3,
    }
    text = printed(tables.candidate_detail(failed))
    assert "timed_out: no report within 20 s" in text
    assert "a warning" in text
    assert re.search(r"attempts +3", text)
    assert "fitness" not in text


@pytest.mark.parametrize("page", ["runs", "run", "candidate"])
def test_pages_are_printed_in_ascii_where_there_is_nothing_else(page):
    progress = run_after(50)
    pages = {
        "runs": tables.runs_table([{"run": "läufe/网"}]),
        "run": tables.run_summary(
            progress_summary(progress) | {"descriptors": DESCRIPTORS, "prompt_count": 6},
            networks=progress.networks,
            prompt_archive=progress.prompt_archive,
        ),
        "candidate": tables.candidate_detail({"source": "x = 'ä网'\n", "reason": "ü"}),
    }
    assert printed(pages[page], encoding="ascii")


def test_facts_leave_out_what_is_not_known():
    assert facts({}) == []
    assert facts({"run": "r", "llm": None}) == [("run", "r")]


def test_facts_of_a_fresh_run_are_few_but_right():
    found = dict(facts(progress_summary(empty_run(llm="rules", is_language_model=False))))
    assert found["LLM"] == "rules (no language model)"
    assert found["candidates"].startswith("0, ")
    assert "best" not in found
    assert "tokens" not in found


@pytest.mark.parametrize("finished", ["generations", "max_evaluations", "max_hours"])
def test_a_finished_run_says_which_budget_was_spent(finished):
    state = dict(facts({"finished": finished}))["state"]
    assert state == f"finished: the budget of {finished.removeprefix('max_')} is spent"


def test_a_run_that_was_stopped_says_so():
    assert dict(facts({"finished": ""}))["state"] == "stopped"
