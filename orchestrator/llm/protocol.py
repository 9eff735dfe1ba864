"""What the search asks of an LLM, and what it gets back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from plugins.contract import Edit


class LLMError(Exception):
    """The LLM cannot be had or cannot go on. Says what was expected, found, and what to do."""


class StopReason(StrEnum):
    """Why a completion ended."""

    CLASS_END = "class_end"
    END_OF_TEXT = "end_of_text"
    LENGTH = "length"


@dataclass(frozen=True)
class Request:
    """One completion to make.

    Attributes:
        prompt: the text to continue, whole. It ends with ``opening``.
        opening: the start of the answer that the prompt already holds (a class's first line).
        temperature: 0 < temperature <= 1; 0 is greedy.
        seed: 0 <= seed < 2**31. The same request gives the same completion (on one device, dtype).
        top_p: nucleus sampling.
        max_tokens: new tokens at most.
        parents: sources of the networks the prompt shows, in order. For ``rules``.
        edit: what the prompt asks for. For ``rules``.
    """

    prompt: str
    opening: str
    temperature: float
    seed: int
    top_p: float = 0.95
    max_tokens: int = 512
    parents: tuple[str, ...] = ()
    edit: Edit = field(default_factory=Edit)


@dataclass(frozen=True)
class Completion:
    """What came of the request at ``index`` of the sequence given.

    ``text`` does not repeat ``opening``; it ends where the class ends. Tokens are the model's
    own (0 for ``rules``). ``seconds`` is wall-clock time from when the model took the request
    up; requests that ran side by side overlap.
    """

    index: int
    text: str
    stop: StopReason
    tokens_in: int
    tokens_out: int
    seconds: float


class LLM(Protocol):
    """A local or remote model, loaded and ready."""

    @property
    def name(self) -> str:
        """What a run shows: the model's name, or what ``rules`` is."""
        ...

    @property
    def is_language_model(self) -> bool:
        """False for ``rules``, which every view of a run must say."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON values to store with a run: runtime, file or hub id, SHA-256, dtype, device."""
        ...

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Complete every request once; yields each as soon as it is done, in any order.

        Raises:
            LLMError: the model cannot go on. Completions already yielded stand.
        """
        ...

    def close(self) -> None:
        """Free the model. Idempotent."""
        ...
