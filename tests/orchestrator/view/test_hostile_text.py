"""Nothing that a candidate wrote ever drives the terminal, whichever view shows it."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from orchestrator.view import tables
from orchestrator.view.dashboard import Dashboard
from orchestrator.view.plain import PlainView
from orchestrator.view.summary import final_summary
from orchestrator.view.words import harmless
from sandbox.outcome import OutcomeKind
from tests.orchestrator.view.made_up_run import DESCRIPTORS, run_after

HOSTILE = {
    "escape sequence": "a\x1b[2J\x1b[31mred\x1b]0;title\x07b",
    "eight-bit control": "a\x9b31mb\x85c",
    "carriage return": "innocent\rguilty",
    "newlines": "one\ntwo\r\nthree\u2028four",
    "backspace and bell": "a\x08\x08\x07b\x00c",
    "bidi override": "a\u202edlrow\u2066b\u200f",
    "zero width": "a\u200b\u200d\ufeffb",
    "combining": "a" + "\u0335\u0489" * 50,
    "surrogate": "a\udc80\ud800b",
    "private use": "a\ue000\U000f0000b",
    "very long": "x" * 1_000_000,
    "very long and wide": "网" * 100_000,
    "markup": "[red]a[/red] [link=http://example.org]b[/link] [/] [bold",
    "emoji code": ":smile: a",
}

#: What may be in the output: printable characters, and colour codes that we wrote.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run_with(text):
    progress = run_after(20)
    base = progress.recent[-1]
    bad = replace(
        base, number=21, kind=OutcomeKind.BUILD_ERROR, fitness=None, title="", reason=text
    )
    good = replace(base, number=22, kind=OutcomeKind.OK, fitness=99.0, title=text, best=True)
    progress.recent += [bad, replace(good, number=23, prompt=text, operator=text), good]
    progress.best = good
    progress.message = text
    progress.slots = [replace(progress.slots[0], phase=text, tag=text)]
    progress.llm = progress.plugin = progress.run = text
    progress.prompts = (text, *progress.prompts[1:])
    return progress


def is_clean(output):
    rest = COLOUR.sub("", output)
    return all(character == "\n" or character.isprintable() for character in rest)


def printed(renderable, width, height):
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    console = Console(
        file=file, width=width, height=height, force_terminal=True, color_system="truecolor"
    )
    console.print(renderable, end="")
    file.flush()
    return file.buffer.getvalue().decode()


def widest(output):
    return max(cell_len(COLOUR.sub("", line)) for line in output.splitlines())


@pytest.mark.parametrize("attack", HOSTILE)
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60), (50, 15)])
def test_the_dashboard_stays_in_its_frame(attack, width, height):
    output = printed(Dashboard(run_with(HOSTILE[attack])), width, height)
    assert is_clean(output)
    assert {cell_len(COLOUR.sub("", line)) for line in output.splitlines()} == {width}


@pytest.mark.parametrize("attack", HOSTILE)
def test_the_last_summary_is_clean(attack):
    output = printed(final_summary(run_with(HOSTILE[attack]), {"state": HOSTILE[attack]}), 80, 24)
    assert is_clean(output)
    assert widest(output) <= 80


@pytest.mark.parametrize("attack", HOSTILE)
def test_the_plain_view_writes_one_line_at_a_time(attack):
    text = HOSTILE[attack]
    progress = run_with(text)
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    view = PlainView(file)
    view.start(progress)
    before = file.buffer.getvalue().decode().count("\n")
    view.committed(progress.recent[-1])
    written = file.buffer.getvalue().decode()
    assert written.count("\n") - before <= 2
    view.refresh()
    view.stop({"state": text})
    written = file.buffer.getvalue().decode()
    assert "\x1b" not in written
    assert is_clean(written)
    assert max(len(line) for line in written.splitlines()) < 1000


@pytest.mark.parametrize("attack", HOSTILE)
def test_the_pages_of_show_are_clean(attack):
    text = HOSTILE[attack][:5000]
    page = tables.candidate_detail(
        {
            **dict.fromkeys(("operator", "prompt", "llm", "stop", "kind", "reason"), text),
            **dict.fromkeys(("stdout", "stderr", "source"), text),
            "number": 1,
            "fitness": 50.0,
            "descriptors": [1.0, 2.0],
            "axes": DESCRIPTORS,
            "details": {text: text},
            "seconds": {"run": 1.0},
        }
    )
    rows = tables.runs_table([dict.fromkeys(("run", "plugin", "llm", "state", "when"), text)])
    elites = tables.elites_table([{"cell": 1, "number": 2, "fitness": 3.0, "title": text}])
    for renderable in (page, rows, elites):
        output = printed(renderable, 80, 24)
        assert is_clean(output)
        assert widest(output) <= 80


def test_markup_is_shown_as_it_was_written():
    assert "[red]a[/red]" in printed(Dashboard(run_with(HOSTILE["markup"])), 200, 60)
    source = tables.source_view("x = '[red]a[/red]'\n")
    assert "[red]a[/red]" in COLOUR.sub("", printed(source, 80, 24))


def test_what_was_harmless_already_stays_as_it_is():
    for text in ("|nor_conv_3x3~0|+|none~0|", "größer als 90 %", "网络", "a\\b"):
        assert harmless(text) == text


def test_harmless_text_says_what_was_in_it():
    assert harmless("a\x1b[31mb") == r"a\x1b[31mb"
    assert harmless("a\u202eb") == r"a\u202eb"
    assert harmless("one\n  two\tthree") == "one two three"
    assert len(harmless("x" * 10**6)) == 300
