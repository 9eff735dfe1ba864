"""Dealing requests to slots: each once, and like ones to the same slot."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.llm.dealing import Deal


def hands(prompts: list[str], slots: int) -> list[list[int]]:
    """What each slot gets when all take turns."""
    deal, dealt = Deal(prompts, slots), [[] for _ in range(slots)]
    while True:
        for slot in range(slots):
            index = deal.next(slot)
            if index is None:
                return dealt
            dealt[slot].append(index)


@given(st.lists(st.text("ab", max_size=3), max_size=30), st.integers(1, 8))
def test_every_prompt_is_dealt_once(prompts: list[str], slots: int) -> None:
    dealt = [index for hand in hands(prompts, slots) for index in hand]
    assert sorted(dealt) == list(range(len(prompts)))


def test_prompts_that_begin_alike_go_to_one_slot() -> None:
    prompts = [f"{parent} {n}" for n in range(3) for parent in ("a", "b", "c", "d")]
    random.Random(0).shuffle(prompts)
    for hand in hands(prompts, 4):
        assert len({prompts[index][0] for index in hand}) == 1


def test_a_slot_that_is_done_helps_the_one_with_most_left() -> None:
    deal = Deal(["a", "b", "c", "d"], 2)
    assert [deal.next(0) for _ in range(4)] == [0, 1, 3, 2]
    assert deal.next(1) is None


def test_threads_never_get_the_same_prompt() -> None:
    deal = Deal([str(n) for n in range(2000)], 4)

    def take(slot: int) -> list[int]:
        return list(iter(lambda: deal.next(slot), None))

    with ThreadPoolExecutor(4) as pool:
        dealt = [index for hand in pool.map(take, range(4)) for index in hand]
    assert sorted(dealt) == list(range(2000))
