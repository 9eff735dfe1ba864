"""The engine's attach stream, taken apart."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from sandbox.container import Demultiplexer

PARTS = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8)


@given(PARTS, st.integers(1, 11))
def test_streams_arrive_however_their_bytes_are_split(
    parts: list[tuple[int, bytes]], size: int
) -> None:
    data = b"".join(struct.pack(">BxxxL", stream, len(part)) + part for stream, part in parts)
    demultiplexer = Demultiplexer()
    arrived = {1: b"", 2: b""}
    for start in range(0, len(data), size):
        for stream, part in demultiplexer.feed(data[start : start + size]):
            arrived[stream] += part
    for stream, all_of_it in arrived.items():
        assert all_of_it == b"".join(part for number, part in parts if number == stream)
