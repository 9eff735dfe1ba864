"""Parsing what a candidate wrote."""

from __future__ import annotations

import ast
import threading
import warnings

import pytest

from orchestrator.parsing import MAX_CHARACTERS, parse


def test_python_gives_its_tree():
    tree = parse("class Net: pass")
    assert isinstance(tree, ast.Module)
    assert ast.dump(tree) == ast.dump(ast.parse("class Net: pass"))


@pytest.mark.parametrize(
    "source",
    ["class (", "x = '\0'", "x = '\ud800'", "-" * 90_000 + "1", "(" * 900, "x = " + "9" * 5000],
    ids=lambda source: f"{source[:6]!a}x{len(source)}",
)
def test_what_python_cannot_parse_gives_none(source):
    assert parse(source) is None


def test_what_is_too_long_gives_none():
    line = "x = 1\n"
    assert parse(line * (MAX_CHARACTERS // len(line))) is not None
    assert parse(line * (MAX_CHARACTERS // len(line) + 1)) is None


def test_no_warning_is_shown_and_the_filters_stay_as_they_are_with_threads_too(recwarn):
    before = list(warnings.filters)
    threads = [
        threading.Thread(target=lambda: [parse("x = '\\d'") for _ in range(300)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    assert len(recwarn) == 0
