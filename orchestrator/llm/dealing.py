"""Deals requests to slots so that each slot gets prompts that begin alike, one after the other.

A slot computes of a prompt only what its last one did not begin with, and on a CPU a prompt's token
costs as much as a written one. The prompts of a generation share parents, so who gets which
request decides how much is computed twice.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence


class Deal:
    """Indices of prompts, dealt out once each. Safe to ask from several threads.

    Args:
        prompts: the prompts.
        slots: how many slots there are, at least one.
    """

    def __init__(self, prompts: Sequence[str], slots: int) -> None:
        order = sorted(range(len(prompts)), key=lambda index: (prompts[index], index))
        share, rest = divmod(len(order), slots)
        self._lock = threading.Lock()
        self._hands: list[deque[int]] = []
        start = 0
        for slot in range(slots):
            # Neighbours in the order of the text have the longest beginnings in common.
            end = start + share + (slot < rest)
            self._hands.append(deque(order[start:end]))
            start = end

    def next(self, slot: int) -> int | None:
        """The index of the prompt that a slot is to take; None when all are dealt.

        A slot whose own are done helps the one that has most left, from the far end.
        """
        with self._lock:
            own = self._hands[slot]
            if own:
                return own.popleft()
            longest = max(self._hands, key=len)
            return longest.pop() if longest else None
