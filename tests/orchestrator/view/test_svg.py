"""A picture of the live view, once or kept current beside another view."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest

from orchestrator.view import svg
from orchestrator.view.plain import PlainView
from orchestrator.view.svg import PictureView, export_svg
from tests.orchestrator.view.made_up_run import MadeUpRun, run_after


def test_a_picture_of_the_live_view_is_written_in_colour(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")  # of the person's terminal, not of the file
    path = tmp_path / "view.svg"
    export_svg(run_after(100), path, width=120, height=40)
    text = path.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "nasbench201" in text
    assert "#fde725" in text
    assert "@font-face" not in text
    assert "http" not in text.replace("http://www.w3.org/", "").replace("https://www.textual", "")
    assert "▀" not in text  # drawn as rectangles
    assert [p.name for p in tmp_path.iterdir()] == ["view.svg"]


def test_what_a_candidate_wrote_is_text_in_the_picture_and_nothing_else(tmp_path):
    progress = run_after(30)
    progress.message = "<script>alert(1)</script>&amp;\x00\x1b[2J"
    export_svg(progress, tmp_path / "view.svg")
    tree = ElementTree.fromstring((tmp_path / "view.svg").read_text(encoding="utf-8"))
    assert not [e for e in tree.iter() if e.tag.endswith("script")]


def test_a_file_that_cannot_be_written_is_an_error_to_who_asked_for_it(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        export_svg(run_after(1), tmp_path / "nowhere" / "view.svg")


def test_a_picture_is_kept_current_beside_another_view(tmp_path, monkeypatch):
    path = tmp_path / "view.svg"
    log = io.StringIO()
    run = MadeUpRun()
    view = PictureView(PlainView(log), path)
    view.start(run.progress)
    view.committed(run.step())
    view.refresh()
    assert not path.exists()  # not yet due
    monkeypatch.setattr(svg, "INTERVAL", 0.0)
    view._next = 0.0
    view.refresh()
    first = path.read_text(encoding="utf-8")
    for _ in range(50):
        view.committed(run.step())
    view.stop({"finished": "generations"})
    assert path.read_text(encoding="utf-8") != first
    assert "the budget of generations is spent" in log.getvalue()


def test_a_picture_that_cannot_be_written_does_not_end_the_search(tmp_path):
    log = io.StringIO()
    run = MadeUpRun()
    view = PictureView(PlainView(log), tmp_path / "nowhere" / "view.svg")
    view.start(run.progress)
    view.stop({"finished": ""})
    assert "stopped" in log.getvalue()
