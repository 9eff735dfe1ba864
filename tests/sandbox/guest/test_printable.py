"""What a candidate wrote never drives a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.guest.capture import Capture
from sandbox.guest.printable import decoded, one_line, printable


def test_plain_text_stays_as_it_is() -> None:
    assert printable("a = 1\n\tb = 'é 漢'\n") == "a = 1\n\tb = 'é 漢'\n"


def test_escape_sequences_and_direction_overrides_become_visible() -> None:
    assert printable("\x1b[2J") == "\\x1b[2J"
    assert printable("a\u202eb\r\x07\x9b") == "a\\u202eb\\r\\x07\\x9b"
    assert decoded(b"\xff\xfe ok") == "\\xff\\xfe ok"


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    shown = printable(text)
    assert all(character in "\n\t" or character.isprintable() for character in shown)
    line = one_line(text, 40)
    assert line.isprintable() or line == ""
    shown.encode("utf-8")


@given(st.binary(max_size=400))
def test_any_bytes_can_be_shown(data: bytes) -> None:
    assert all(character in "\n\t" or character.isprintable() for character in decoded(data))


def test_long_text_is_cut_and_marked() -> None:
    assert printable("abcdef", 4) == "abc…"
    assert one_line("a\n\n b   c") == "a b c"


def test_a_capture_keeps_both_ends_and_counts_the_rest() -> None:
    capture = Capture(head=4, tail=4)
    for byte in b"0123456789":
        capture.feed(bytes([byte]))
    assert capture.total == 10
    assert capture.text() == "0123\n[2 bytes left out]\n6789"


def test_a_short_capture_is_whole() -> None:
    capture = Capture()
    capture.feed(b"hello ")
    capture.feed(b"world")
    assert capture.text() == "hello world"
