"""Keeps a bounded part of what a stream carries: its beginning and its end."""

from __future__ import annotations

from sandbox.guest.printable import decoded

HEAD = 16 * 1024
TAIL = 48 * 1024


class Capture:
    """What a candidate writes to one of its streams. ``total`` counts every byte."""

    def __init__(self, head: int = HEAD, tail: int = TAIL) -> None:
        self._head_size, self._tail_size = head, tail
        self._head, self._tail = bytearray(), bytearray()
        self.total = 0

    def feed(self, data: bytes) -> None:
        """Take bytes in."""
        self.total += len(data)
        room = self._head_size - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._tail_size]

    def text(self) -> str:
        """Printable text; what was left out is counted in its place."""
        dropped = self.total - len(self._head) - len(self._tail)
        gap = f"\n[{dropped} bytes left out]\n".encode() if dropped else b""
        return decoded(bytes(self._head) + gap + bytes(self._tail))
