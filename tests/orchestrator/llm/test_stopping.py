"""Where a class ends in a text that is still being written."""

from __future__ import annotations

import ast
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.llm.protocol import StopReason
from orchestrator.llm.stopping import ClassEnd, cut_class, finish_text, trim_unfinished

OPENING = "class Net(nn.Module):\n"
CLASS = """\
    def __init__(self, C):
        super().__init__()
        self.conv = nn.Conv2d(C, C, 1)

    def forward(self, x):
        return self.conv(x)
"""

NEXT = [
    '"""Add a layer to improve the above network"""\n\nclass Net(nn.Module):\n',
    "class Net2(nn.Module):\n    pass\n",
    "# Example usage\nnet = Net(3)\n",
    "net = Net(3)\n",
    "```\n",
    "@torch.no_grad()\ndef f(): pass\n",
    "if __name__ == '__main__':\n    pass\n",
    "<|im_end|>",
]


@pytest.mark.parametrize("rest", NEXT)
def test_a_class_ends_before_what_follows_it(rest: str) -> None:
    text, ended = cut_class(OPENING, CLASS + "\n\n" + rest)
    assert ended
    assert text == CLASS + "\n\n"


@pytest.mark.parametrize("rest", NEXT)
def test_the_end_is_seen_at_the_first_character_of_the_next_line(rest: str) -> None:
    watch = ClassEnd(OPENING)
    assert not watch.feed(CLASS + "\n\n")
    assert watch.feed(rest[0])
    assert watch.cut == len(CLASS) + 2


@pytest.mark.parametrize(
    "inside",
    [
        # Unindented lines that do not end the class: strings, brackets, continuations, blanks.
        '    """A docstring\nwithout indentation\n    """\n',
        "    x = '''\nclass Other:\n'''\n",
        "    x = [\n1,\n2,\n]\n",
        "    def f(\nself, x\n    ):\n        return x\n",
        "    x = 1 + \\\n2\n",
        "    x = 'it\\\n is'\n",
        "\n\n\n    y = 2\n",
        "    # an unbalanced ( in a comment\n    y = 2\n",
        "    y = '('\n    z = \"[\"\n",
        "    y = 'don\\'t ('\n",
        '    y = """a \\""" ( """\n',
    ],
)
def test_what_is_inside_the_class_does_not_end_it(inside: str) -> None:
    ast.parse(OPENING + inside)
    text, ended = cut_class(OPENING, inside + CLASS)
    assert (text, ended) == (inside + CLASS, False)
    text, ended = cut_class(OPENING, inside + CLASS + "class B:\n")
    assert (text, ended) == (inside + CLASS, True)


def test_a_docstring_between_methods_starts_over_and_ends_the_class() -> None:
    rest = '    """Add a layer to improve the above network"""\n    def forward(self):\n'
    assert cut_class(OPENING, CLASS + rest) == (CLASS, True)


def test_the_docstrings_of_class_and_methods_end_nothing() -> None:
    body = (
        '    """A network."""\n\n    def __init__(self):\n        """Make it."""\n        x = 1\n\n'
        "    def forward(self, x):\n        r'''Use it.'''\n        return x\n"
    )
    assert cut_class(OPENING, body) == (body, False)


def test_a_bracket_that_was_forgotten_does_not_hide_the_next_class() -> None:
    broken = "    def __init__(self):\n        self.a = nn.Sequential(nn.ReLU(\n\n"
    assert cut_class(OPENING, broken + "class Net(nn.Module):\n    pass\n") == (broken, True)
    assert cut_class(OPENING, broken + "import torch\n")[1]


def test_a_stray_quote_does_not_hide_the_next_class() -> None:
    broken = "    def forward(self, x):\n        return x  + don't\n"
    assert cut_class(OPENING, broken + "class B:\n") == (broken, True)


def test_the_opening_may_hold_more_than_the_class_line() -> None:
    opening = (
        "import torch\n\n# class of its own\nclass Net(nn.Module):\n    def __init__(self, C):\n"
    )
    body = "        super().__init__()\n"
    assert cut_class(opening, body + "x = 1\n") == (body, True)
    partial = opening + "        super()"
    assert cut_class(partial, ".__init__()\n\nx = 1\n") == (".__init__()\n\n", True)


def test_a_text_that_starts_unindented_leaves_nothing() -> None:
    assert cut_class(OPENING, "class Net(nn.Module):\n") == ("", True)


@given(st.lists(st.integers(0, len(CLASS + NEXT[0])), max_size=20), st.sampled_from(NEXT))
def test_the_pieces_a_text_comes_in_make_no_difference(cuts: list[int], rest: str) -> None:
    text = CLASS + "\n" + rest
    watch = ClassEnd(OPENING)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, end in itertools.pairwise(edges):
        watch.feed(text[start:end])
    watch.finish()
    assert watch.cut == len(CLASS) + 1


@given(st.text(alphabet="ab:()[]\"'\\#\n \tclass def", max_size=80))
def test_any_text_can_be_watched(text: str) -> None:
    whole, ended = cut_class(OPENING, text)
    assert text.startswith(whole)
    watch = ClassEnd(OPENING)
    for character in text:
        watch.feed(character)
    watch.finish()
    assert (watch.cut is not None) == ended
    assert watch.cut is None or text[: watch.cut] == whole


def test_a_torn_text_is_cut_back_to_its_last_whole_statement() -> None:
    torn = CLASS + "\n    def extra(self, x):\n        return self.conv(x"
    kept = trim_unfinished(OPENING, torn)
    ast.parse(OPENING + kept)
    assert kept.rstrip() == CLASS.rstrip()


def test_a_text_of_which_nothing_parses_stays_as_it_is() -> None:
    assert trim_unfinished(OPENING, "    def (") == "    def ("


def test_a_finished_text_says_why_it_ended() -> None:
    def finish(text: str, *, limit: bool) -> tuple[str, StopReason]:
        watch = ClassEnd(OPENING)
        watch.feed(text)
        return finish_text(OPENING, text, watch, limit)

    assert finish(CLASS + "x = 1", limit=True) == (CLASS, StopReason.CLASS_END)
    assert finish(CLASS, limit=False) == (CLASS, StopReason.END_OF_TEXT)
    text, reason = finish(CLASS + "    def more(self", limit=True)
    assert (text.rstrip(), reason) == (CLASS.rstrip(), StopReason.LENGTH)
