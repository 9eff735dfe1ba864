"""The plain view writes a log that a person and a CI page can read: lines, no escape codes."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from orchestrator.view import plain
from orchestrator.view.plain import PlainView
from sandbox.outcome import OutcomeKind
from tests.orchestrator.view.made_up_run import SEED, MadeUpRun, empty_run


class Log(io.StringIO):
    """A stream that notes how much had been written at each flush."""

    def __init__(self):
        super().__init__()
        self.flushed = 0

    def flush(self):
        super().flush()
        self.flushed = len(self.getvalue())

    @property
    def lines(self):
        return self.getvalue().splitlines()


def logged(candidates, log=None, **changes):
    log = log or Log()
    run = MadeUpRun(batch=10, **changes)
    view = PlainView(log)
    view.start(run.progress)
    view.committed(SEED)
    for _ in range(candidates):
        view.committed(run.step())
        assert log.flushed == len(log.getvalue())
    return run, view, log


def test_there_is_a_line_per_generation_and_per_improvement_and_no_more():
    run, view, log = logged(30)
    view.stop({"finished": "generations"})
    ends = [line for line in log.lines if "cells; best" in line]
    assert [line.split("] ")[1].split(":")[0] for line in ends] == [
        "generation 1/20",
        "generation 2/20",
        "generation 3/20",
    ]
    best = [line for line in log.lines if "] best " in line]
    values = [float(line.split("best ")[1].split(":")[0]) for line in best]
    assert values == sorted(values)
    assert values[-1] == round(run.progress.best.fitness, 2)
    summary = [line for line in log.lines if not line.startswith("[")]
    assert len(log.lines) == 1 + len(ends) + len(best) + len(summary)
    assert any("the budget of generations is spent" in line for line in summary)


def test_the_counts_of_a_generation_are_its_own():
    _, _, log = logged(20)
    for line in log.lines:
        if "cells; best" in line:
            counts = line.split(": ")[1].split(";")[0].split(", ")
            assert sum(int(part.split()[0]) for part in counts) == 10


def test_a_generation_that_was_cut_short_is_told_at_the_end():
    _, view, log = logged(13)
    assert "generation 2/20" not in log.getvalue()
    view.stop({"finished": ""})
    assert "generation 2/20" in log.getvalue()
    assert any(line.startswith("state:") and "stopped" in line for line in log.lines)


def test_a_quiet_time_has_a_heartbeat_and_a_busy_one_has_none(monkeypatch):
    _, view, log = logged(1)
    before = len(log.lines)
    view.refresh()
    assert len(log.lines) == before
    monkeypatch.setattr(plain, "HEARTBEAT", 0.0)
    view.refresh()
    assert len(log.lines) == before + 1
    assert "1 committed" in log.lines[-1]
    assert "tokens/s" in log.lines[-1]


def test_what_is_no_language_model_is_called_so():
    assert "no language model" in logged(0, llm="rules", is_language_model=False)[2].getvalue()
    assert "no language model" not in logged(0)[2].getvalue()


def test_a_resumed_run_says_where_it_goes_on():
    log = Log()
    run = MadeUpRun(batch=10)
    for _ in range(15):
        candidate = run.step()
    view = PlainView(log)
    view.start(run.progress)
    view.committed(candidate)
    assert "resumed after 15 candidates" in log.getvalue()


def test_a_new_message_is_told_once():
    log = Log()
    progress = empty_run(message="loading the model")
    view = PlainView(log)
    view.start(progress)
    view.refresh()
    view.refresh()
    assert log.getvalue().count("loading the model") == 1


def test_no_escape_codes_even_on_a_console_that_would_have_them():
    log = Log()
    view = PlainView(Console(file=log, force_terminal=True, color_system="truecolor"))
    run = MadeUpRun(batch=5)
    view.start(run.progress)
    for _ in range(10):
        view.committed(run.step())
    view.stop({})
    assert "best" in log.getvalue()
    assert "\x1b" not in log.getvalue()


def test_a_log_of_ascii_alone_is_written_in_ascii():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    run = MadeUpRun(batch=5)
    view = PlainView(file)
    view.start(run.progress)
    candidate = replace(run.step(), title="网络", kind=OutcomeKind.OK, fitness=99.0, best=True)
    view.committed(candidate)
    view.stop({})
    assert b"????" in file.buffer.getvalue()


def test_a_log_that_cannot_be_written_does_not_end_the_search():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    run = MadeUpRun(batch=2)
    view = PlainView(Full())
    view.start(run.progress)
    for _ in range(4):
        view.committed(run.step())
    view.stop({})
