"""Where a class ends in the text that a language model is still writing.

The rule: the class ends in front of the first line that is not indented, outside of strings and
brackets; or of a docstring between its methods, with which models like to start over. It reads
characters, not syntax trees, since half of what it sees is unfinished or broken; and it decides
at a line's first character, so that no token is spent on what will be cut off.
"""

from __future__ import annotations

import ast
import re

from orchestrator.llm.protocol import StopReason

_METHOD = re.compile(r"(async\s+)?def\b|@")
_DOCSTRING = re.compile(r"[rRuU]?(\"\"\"|''')")
#: A line that begins so, unindented, is no continuation of an open bracket: the bracket was
#: forgotten, and nothing that follows can mend the class.
_TOP_LEVEL = re.compile(r"(class|def|import|from|if|for|print|@|\"\"\"|''')")
#: Characters that settle whether a line starts with a docstring or a top-level keyword.
_ENOUGH = 7


class ClassEnd:
    """Watches the text of one class grow.

    Args:
        opening: the start of the class that the model was given.
    """

    def __init__(self, opening: str) -> None:
        start = max((m.start() for m in re.finditer(r"^class\b", opening, re.M)), default=0)
        self._line = ""
        self._quote = ""
        self._depth = 0
        self._continued = False
        self._body_indent: int | None = None
        self._methods = 0
        self._seen_class = False
        self._settled = 0
        self._cut: int | None = None
        self._length = 0
        self._advance(opening[start:])
        # What the opening holds is not part of the text, and not for us to end.
        self._settled = -len(self._line)
        self._cut = None
        self._length = 0

    @property
    def cut(self) -> int | None:
        """Length of the text (without the opening) that belongs to the class; None: not ended."""
        return self._cut

    def feed(self, piece: str) -> bool:
        """Take the next piece of text in; True once the class has ended."""
        if self._cut is None:
            self._advance(piece)
        return self._cut is not None

    def finish(self) -> bool:
        """No more text will come: judge the last line as it stands."""
        if self._cut is None and self._line and self._ends_class(self._line, whole=True):
            self._cut = max(self._settled, 0)
        return self._cut is not None

    def _advance(self, piece: str) -> None:
        """Consume text line by line; the last, unfinished line is kept for the next piece."""
        self._length += len(piece)
        lines = (self._line + piece).split("\n")
        for line in lines[:-1]:
            if self._ends_class(line, whole=True):
                self._cut = max(self._settled, 0)
                return
            self._read_line(line)
            self._settled += len(line) + 1
        self._line = lines[-1]
        if self._line and self._ends_class(self._line, whole=False):
            self._cut = max(self._settled, 0)

    def _ends_class(self, line: str, *, whole: bool) -> bool:
        """Whether the class ends in front of this line, as far as the line is known."""
        text = line.strip()
        if not text or self._quote or not self._seen_class or self._continued:
            return False
        known = whole or len(text) >= _ENOUGH
        indent = len(line) - len(line.lstrip())
        if self._depth:
            return indent == 0 and known and _TOP_LEVEL.match(text) is not None
        if indent == 0:
            return True
        restart = self._methods > 0 and indent == self._body_indent and known
        return restart and _DOCSTRING.match(text) is not None

    def _read_line(self, line: str) -> None:
        """Carry strings, brackets and what the class holds so far over a whole line."""
        text = line.strip()
        if text and not self._quote and not self._depth and not self._continued:
            indent = len(line) - len(line.lstrip())
            if not self._seen_class:
                self._seen_class = text.startswith("class")
            elif not text.startswith("#"):
                if self._body_indent is None:
                    self._body_indent = indent
                if indent == self._body_indent and _METHOD.match(text):
                    self._methods += 1
        self._continued = False
        place = 0
        while place < len(line):
            if self._quote:
                place = self._inside_string(line, place)
                continue
            character = line[place]
            if character == "#":
                return
            if character in "\"'":
                triple = line[place : place + 3]
                self._quote = triple if triple == character * 3 else character
                place += len(self._quote)
                continue
            if character in "([{":
                self._depth += 1
            elif character in ")]}":
                self._depth = max(self._depth - 1, 0)
            elif character == "\\" and place == len(line) - 1:
                self._continued = True
            place += 1
        if len(self._quote) == 1:
            # A string in single quotes cannot pass the end of its line, unless it says so.
            if line.endswith("\\"):
                return
            self._quote = ""

    def _inside_string(self, line: str, place: int) -> int:
        """Advance within a string; returns the place after what was read."""
        if line[place] == "\\":
            return place + 2
        if line.startswith(self._quote, place):
            place += len(self._quote)
            self._quote = ""
            return place
        return place + 1


def cut_class(opening: str, text: str) -> tuple[str, bool]:
    """The part of a text that belongs to the class, and whether the class's end was seen."""
    watch = ClassEnd(opening)
    watch.feed(text)
    watch.finish()
    return (text if watch.cut is None else text[: watch.cut]), watch.cut is not None


def trim_unfinished(opening: str, text: str) -> str:
    """The longest beginning, in whole lines, that parses; the text as it is where none does.

    For a text that ran into its length limit: its last statement is torn, and often all that
    matters was said before.
    """
    start = max((m.start() for m in re.finditer(r"^class\b", opening, re.M)), default=0)
    lines = text.split("\n")
    for count in range(len(lines), 0, -1):
        kept = "\n".join(lines[:count])
        if _parses(opening[start:] + kept):
            return kept
    return text


def finish_text(
    opening: str, text: str, watch: ClassEnd, hit_limit: bool
) -> tuple[str, StopReason]:
    """What is kept of a text, and why it ended."""
    watch.finish()
    if watch.cut is not None:
        return text[: watch.cut], StopReason.CLASS_END
    if hit_limit:
        return trim_unfinished(opening, text), StopReason.LENGTH
    return text, StopReason.END_OF_TEXT


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
