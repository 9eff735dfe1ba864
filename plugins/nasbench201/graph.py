"""What a traced candidate is to the mapper: a plain graph of values, free of torch."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

#: The operations of a :class:`Value`, and what each needs beside its inputs.
#: ``input`` none; ``conv`` kernel and weight; ``norm`` weight; ``relu``, ``pool``, ``skip``
#: (an explicit identity layer), ``alias`` (the same value under another name), ``zero`` one input;
#: ``sum`` any number; ``other`` a problem.
VALUE_OPS = ("input", "relu", "conv", "norm", "pool", "skip", "alias", "zero", "sum", "other")


class NotRepresentable(Exception):
    """A network that is no cell of the benchmark.

    Attributes:
        code: short name of the cause (``kernel_size``, ``stride``, ``too_many_nodes`` ...).
        reason: one line that a person and an LLM can act on.
        certain: whether this is the verdict even where the network also failed to run or gave
            another shape: a strided convolution in a sum is refused for its stride, and not for
            the exception that the sum raised. A mere lack of padding is not certain.
    """

    def __init__(self, code: str, reason: str, certain: bool = True) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.certain = certain


@dataclass(frozen=True)
class Value:
    """One tensor of the forward pass, and the operation that made it.

    Attributes:
        op: one of :data:`VALUE_OPS`.
        inputs: indices of earlier values.
        name: how to call it in a reason: ``"Conv2d 'stem.0' (line 12)"``.
        kernel: 1 or 3, for ``conv``.
        weight: what identifies the parameters of a ``conv`` or ``norm``; None: it has none.
        note: why this value is no verbatim operation of the benchmark, or empty.
        problem: for ``other``: why this is no operation of a cell.
    """

    op: str
    inputs: tuple[int, ...] = ()
    name: str = ""
    kernel: int = 0
    weight: Hashable = None
    note: str = ""
    problem: NotRepresentable | None = None


@dataclass(frozen=True)
class Graph:
    """Values in the order in which they were computed, and which of them is returned."""

    values: tuple[Value, ...]
    output: int

    def live(self) -> list[int]:
        """Indices of the values that reach the output, ascending; nothing passes a ``zero``."""
        reached = {self.output}
        for index in range(self.output, -1, -1):
            if index in reached and self.values[index].op != "zero":
                reached.update(self.values[index].inputs)
        return sorted(reached)
