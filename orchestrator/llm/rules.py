"""``--llm rules``: no language model, but random valid edits. The control experiment.

It is asked what a language model is asked, and answers by a random edit of the parents' syntax
trees of the kind that the prompt stands for (:class:`plugins.contract.Edit`). Whatever a language
model finds beyond what this finds is its own merit.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from orchestrator.llm.edits import apply
from orchestrator.llm.protocol import Completion, Request, StopReason

#: Up to this temperature a mutation is one edit. Above, a second one follows with a probability
#: that rises to a half at temperature 1.
SINGLE_EDIT_TEMPERATURE = 0.6
_SECOND_EDIT_SLOPE = 0.5 / (1.0 - SINGLE_EDIT_TEMPERATURE)
_CLASS_NAME = re.compile(r"class\s+(\w+)")


class Rules:
    """An :class:`.protocol.LLM` that is none. Answers in under a millisecond.

    The same request gives the same completion: its ``seed`` decides every choice.
    """

    @property
    def name(self) -> str:
        """Says what it is, wherever a run is shown."""
        return "rules"

    @property
    def is_language_model(self) -> bool:
        """False."""
        return False

    def describe(self) -> dict[str, Any]:
        """What to store with a run."""
        return {
            "runtime": "rules",
            "description": "no language model: random valid edits of the parents' syntax trees",
        }

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer every request, in order."""
        for index, request in enumerate(requests):
            started = time.perf_counter()
            text = _answer(request)
            yield Completion(
                index=index,
                text=text,
                stop=StopReason.CLASS_END,
                tokens_in=0,
                tokens_out=0,
                seconds=time.perf_counter() - started,
            )

    def close(self) -> None:
        """Nothing to free."""


def _answer(request: Request) -> str:
    rng = Random(request.seed)
    chance = (request.temperature - SINGLE_EDIT_TEMPERATURE) * _SECOND_EDIT_SLOPE
    times = 2 if rng.random() < chance else 1
    named = _CLASS_NAME.search(request.opening)
    name = named.group(1) if named else "Net"
    body = apply(rng, request.parents, request.edit, name=name, times=times)
    return _continue(request.opening, body)


def _continue(opening: str, body: list[str]) -> str:
    """The lines of the body that come after what the opening already holds of it."""
    _, *given = opening.rstrip().split("\n")
    prefix = "" if opening.endswith("\n") else "\n"
    last = given[-1].strip() if given else ""
    for place, line in enumerate(body):
        if last and line.strip() == last:
            return prefix + "".join(f"{line}\n" for line in body[place + 1 :])
    return prefix + "".join(f"{line}\n" for line in body)
