"""Makes what a candidate wrote safe to show: no byte of it may ever drive a terminal."""

from __future__ import annotations


def printable(text: str, limit: int | None = None) -> str:
    """Text with every character that is not plainly visible written as an escape.

    Newlines and tabs stay. Control characters, escape sequences, direction overrides, private
    and unassigned code points become ``\\x1b``, ``\\u202e`` ... Longer than ``limit``
    characters: cut, and marked so.
    """
    if limit is not None and len(text) > limit:
        text = text[: max(limit - 1, 0)] + "…"
    if text.isprintable():
        return text
    return "".join(
        character if character in "\n\t" or character.isprintable() else _escape(character)
        for character in text
    )


def one_line(text: str, limit: int = 300) -> str:
    """The same on one line: runs of white space become one space."""
    return printable(" ".join(text[: 4 * limit].split()), limit)


def decoded(data: bytes) -> str:
    """Bytes that a candidate wrote as printable text; what is no UTF-8 becomes ``\\xNN``."""
    return printable(data.decode("utf-8", "backslashreplace"))


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
