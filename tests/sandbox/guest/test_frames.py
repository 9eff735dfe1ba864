"""Frames: what may cross a border, and what may not."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.guest.frames import MAX_DEPTH, FrameError, FrameReader, FrameTooLong, decode, encode

LIMIT = 1 << 20
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=4), st.integers(1, 7))
def test_values_arrive_however_their_bytes_are_split(values: list[object], size: int) -> None:
    stream = b"".join(encode(value, LIMIT) for value in values)
    reader = FrameReader(LIMIT)
    arrived = [
        decode(payload)
        for start in range(0, len(stream), size)
        for payload in reader.feed(stream[start : start + size])
    ]
    assert arrived == values
    assert not reader.incomplete


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_frame_error(data: bytes) -> None:
    try:
        value = decode(data)
    except FrameError:
        return
    assert decode(encode(value, LIMIT)[4:]) == value


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"NaN", "NaN"),
        (b"[1, -Infinity]", "-Infinity"),
        (b"1e999", "too large"),
        (b"9223372036854775808", "64 bits"),
        (b"-9223372036854775809", "64 bits"),
        (b"1" * 100_000, "64 bits"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'"\xff"', "not JSON"),
        (b"[" * 100_000, "deeper"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deeper"),
        (b"{} {}", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_what_is_no_strict_json_is_refused(payload: bytes, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        decode(payload)


def test_the_largest_of_everything_is_taken() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.dumps(decode(deepest)).encode() == deepest
    assert decode(b"9223372036854775807") == 2**63 - 1
    assert decode(b"[1.5e308]") == [1.5e308]


def test_a_depth_may_be_asked_for() -> None:
    assert decode(b"[[1]]", depth=2) == [[1]]
    with pytest.raises(FrameError, match="deeper than 1"):
        decode(b"[[1]]", depth=1)


def test_what_json_cannot_say_is_not_written() -> None:
    for value in (float("nan"), float("inf"), {1, 2}, b"bytes", "\ud800"):
        with pytest.raises(FrameError):
            encode(value, LIMIT)


def test_length_is_limited_when_writing_and_before_reading() -> None:
    assert encode("x" * 8, 10) == struct.pack(">I", 10) + b'"xxxxxxxx"'
    with pytest.raises(FrameTooLong):
        encode("x" * 9, 10)
    reader = FrameReader(10)
    with pytest.raises(FrameTooLong):
        list(reader.feed(struct.pack(">I", 11)))


def test_half_a_frame_is_noticed() -> None:
    reader = FrameReader(LIMIT)
    assert list(reader.feed(encode([1, 2], LIMIT)[:-1])) == []
    assert reader.incomplete
    assert [decode(payload) for payload in reader.feed(b"]")] == [[1, 2]]
    assert not reader.incomplete
