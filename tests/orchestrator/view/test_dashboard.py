"""The dashboard says what a person needs at every size and in every state a run can be in."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from orchestrator.archives import Archive, make_centroids
from orchestrator.progress import Committed
from orchestrator.view.dashboard import Dashboard
from sandbox.executor import SlotState
from sandbox.outcome import OutcomeKind
from tests.orchestrator.view.made_up_run import (
    DESCRIPTORS,
    PROMPTS,
    MadeUpRun,
    empty_run,
    run_after,
)

SIZES = [(80, 24), (120, 40), (200, 60)]
ODD_SIZES = [
    (1, 1),
    (7, 3),
    (40, 12),
    (59, 17),
    (60, 18),
    (79, 23),
    (100, 30),
    (150, 45),
    (400, 99),
]


def console_of(width, height, encoding="utf-8", **options):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="")
    return Console(file=file, width=width, height=height, **options)


def draw(progress, width, height, **options):
    """The screen as lines of plain text."""
    console = console_of(width, height, color_system=None, **options)
    dashboard = Dashboard(progress)
    lines = dashboard.lines(console, width, height)
    text = ["".join(s.text for part in line for s in part.segments) for line in lines]
    console.print(dashboard, end="")
    console.file.flush()
    return text


def all_failing():
    progress = run_after(0)
    failed = Committed(
        3,
        1,
        "mutation",
        PROMPTS[0],
        0.6,
        OutcomeKind.BUILD_ERROR,
        "no",
        None,
        "",
        None,
        False,
        False,
    )
    progress.outcomes = Counter({kind: 3 for kind in OutcomeKind if kind is not OutcomeKind.OK})
    progress.recent = [failed, replace(failed, number=4, kind=OutcomeKind.SANDBOX_ERROR)]
    return progress


def full_archive():
    progress = run_after(5)
    for archive in (progress.networks, progress.prompt_archive):
        for index, (x, y) in enumerate(archive.centroids.tolist()):
            archive.add(1000 + index, 50.0 + index, (x, y))
        assert archive.coverage == 1.0
    return progress


def nothing_known():
    progress = empty_run(generations=0, batch=0, history=[], prompts=(), prompt_fitness=[])
    progress.best = Committed(
        0, 0, "seed", "", 0.0, OutcomeKind.OK, "", None, "", None, False, False
    )
    return progress


def out_of_range():
    progress = run_after(30)
    # Clipped to the border of the unit square, as the search does with a descriptor out of range.
    progress.networks.add(999, 99.5, (1.0, 1.0))
    progress.networks.add(998, 0.0, (0.0, 0.0))
    return progress


def many_slots():
    progress = run_after(10)
    progress.slots = [SlotState(i, "train 3/50", f"candidate {i}", 0.0) for i in range(64)]
    return progress


STATES = {
    "no candidates": empty_run,
    "all failing": all_failing,
    "full archives": full_archive,
    "nothing known": nothing_known,
    "descriptors out of range": out_of_range,
    "many slots": many_slots,
    "in full swing": lambda: run_after(450),
    "every budget": lambda: run_after(50, max_evaluations=500, max_hours=1.5),
    "one cell": lambda: empty_run(networks=Archive(np.array([[0.5, 0.5]]))),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("width", "height"), SIZES + ODD_SIZES)
def test_every_state_fills_every_screen_exactly(state, width, height):
    lines = draw(STATES[state](), width, height)
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_key_facts_are_there_at_every_usual_size(width, height):
    progress = run_after(450)
    text = "\n".join(draw(progress, width, height))
    assert "nasbench201 cifar10" in text
    assert "qwen2.5-coder-1.5b" in text
    assert "5/20" in text
    assert "50/100" in text
    assert f"{progress.best.fitness:.2f}" in text
    assert "seed 54.32" in text
    assert f"{len(progress.networks)}/100 cells" in text
    assert f"{len(progress.prompt_archive)}/100 cells" in text
    assert "width / depth →" in text
    assert "MACs ↑" in text
    assert "220M" in text
    assert "7.78M" in text
    assert "not_representable" in text
    assert "0:12:45" in text
    assert str(progress.recent[-1].number) in text


@pytest.mark.parametrize(("width", "height"), [*SIZES, (50, 15)])
def test_what_is_no_language_model_is_called_so_at_every_size(width, height):
    rules = run_after(30, llm="rules", is_language_model=False)
    model = run_after(30)
    assert "no language model" in "\n".join(draw(rules, width, height))
    assert "no language model" not in "\n".join(draw(model, width, height))


def test_the_speed_is_that_of_the_language_model():
    progress = run_after(20)
    progress.tokens_out, progress.llm_seconds = 1234, 100.0
    assert "12.3 tokens/s" in "\n".join(draw(progress, 120, 40))


def test_slots_say_what_they_do_and_how_long():
    progress = run_after(5)
    progress.slots = [SlotState(0, "running", "candidate 17", 0.0), SlotState(1, "idle", "", 0.0)]
    lines = draw(progress, 120, 40)
    assert any("running" in line and "candidate 17" in line and "min" in line for line in lines)
    assert any("idle" in line for line in lines)


def test_slots_that_do_not_fit_are_summed_up():
    assert any("more slots, " in line for line in draw(many_slots(), 120, 40))


def test_the_newest_candidate_stands_first():
    progress = run_after(100)
    lines = draw(progress, 120, 40)
    found = [i for i, line in enumerate(lines) for n in (100, 99) if f"│{n:>6} " in line]
    assert len(found) == 2
    assert found == sorted(found)


def test_duplicates_new_elites_and_the_best_are_marked():
    progress = run_after(1)
    base = progress.recent[0]
    progress.recent = [
        replace(base, number=1, fitness=80.0, duplicate_of=77, entered=False, best=False),
        replace(base, number=2, fitness=81.0, duplicate_of=None, entered=True, best=False),
        replace(base, number=3, fitness=82.0, duplicate_of=None, entered=True, best=True),
        replace(base, number=4, fitness=83.0, duplicate_of=None, entered=False, best=False),
    ]
    lines = draw(progress, 120, 40)
    by_number = {n: next(line for line in lines if f"│{n:>6} " in line) for n in (1, 2, 3, 4)}
    assert "= 77" in by_number[1]
    assert "+ elite" in by_number[2]
    assert "★ best" in by_number[3]
    assert not any(mark in by_number[4] for mark in ("= ", "+ elite", "★"))


def test_a_message_is_shown_and_goes_when_it_is_over():
    progress = run_after(3)
    progress.message = "loading the model"
    assert "loading the model" in draw(progress, 80, 24)[-1]
    progress.message = ""
    assert "loading the model" not in draw(progress, 80, 24)[-1]


@pytest.mark.parametrize(("width", "height"), [*SIZES, (50, 15)])
def test_a_terminal_of_ascii_alone_gets_ascii_alone(width, height):
    progress = run_after(450)
    progress.recent[-1] = replace(progress.recent[-1], title="ä网★", kind=OutcomeKind.OK)
    console = console_of(width, height, encoding="ascii", color_system=None)
    console.print(Dashboard(progress), end="")
    console.file.flush()
    lines = console.file.buffer.getvalue().decode("ascii").splitlines()
    assert len(lines) == height
    assert all(len(line) == width for line in lines)
    assert any("???*" in line for line in lines)


@pytest.mark.parametrize("system", ["standard", "256", "truecolor"])
def test_no_color_is_respected(system, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = console_of(120, 40, force_terminal=True, color_system=system)
    console.print(Dashboard(run_after(200)), end="")
    console.file.flush()
    text = console.file.buffer.getvalue().decode()
    assert "38;" not in text
    assert "48;" not in text
    assert "▓" in text  # the pictures are drawn in shades instead


def test_colours_are_used_where_there_are_any(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = console_of(120, 40, force_terminal=True, color_system="truecolor")
    console.print(Dashboard(run_after(200)), end="")
    console.file.flush()
    text = console.file.buffer.getvalue().decode()
    assert "48;2;" in text
    assert "▀" in text
    assert "▓" not in text


def test_the_picture_of_a_new_elite_appears_in_the_next_frame():
    run = MadeUpRun()
    for _ in range(20):
        run.step()
    console = console_of(120, 40, force_terminal=True, color_system="truecolor")
    dashboard = Dashboard(run.progress)

    def frame():
        lines = dashboard.lines(console, 120, 40)
        return [[s for part in line for s in part.segments] for line in lines][8:22]

    before = frame()
    assert frame() == before
    assert run.progress.networks.add(5000, 99.0, (0.9, 0.9))
    assert frame() != before


def test_descriptors_without_a_unit_or_of_any_length_fit():
    long = replace(DESCRIPTORS[0], label="a name that is far longer than its axis " * 3, unit="m/s")
    progress = empty_run(descriptors=(long, replace(DESCRIPTORS[1], label="y", unit="")))
    progress.networks = Archive(make_centroids(10, 200, 0))
    assert {cell_len(line) for line in draw(progress, 80, 24)} == {80}
