"""Writes a cell down as a candidate's source, in the styles that an LLM or a person would use."""

from __future__ import annotations

from collections.abc import Callable

from plugins.nasbench201.cells import CONV1X1, CONV3X3, EDGES, NONE, POOL, SKIP, Cell
from plugins.nasbench201.equivalence import prune

HEADER = """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class ReLUConvBN(nn.Module):
    def __init__(self, C, kernel_size):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(inplace=False),
            nn.Conv2d(C, C, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(C),
        )

    def forward(self, x):
        return self.op(x)


class Zero(nn.Module):
    def forward(self, x):
        return x.mul(0.0)


"""

MODULES = {
    NONE: "Zero()",
    SKIP: "nn.Identity()",
    CONV1X1: "ReLUConvBN(C, 1)",
    CONV3X3: "ReLUConvBN(C, 3)",
    POOL: "nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)",
}


def net(init: list[str], forward: list[str]) -> str:
    """A class ``Net`` with these lines in ``__init__`` and in ``forward``."""
    lines = ["class Net(nn.Module):", "    def __init__(self, C):", "        super().__init__()"]
    lines += [f"        {line}" for line in init]
    lines += ["", "    def forward(self, x):"]
    lines += [f"        {line}" for line in forward]
    return HEADER + "\n".join(lines) + "\n"


def explicit(cell: Cell) -> str:
    """All six edges written out, ``none`` and ``skip_connect`` too; a node a line."""
    init = [f"self.e{a}{b} = {MODULES[op]}" for op, (a, b) in zip(cell, EDGES, strict=True)]
    return net(
        init,
        [
            "n1 = self.e01(x)",
            "n2 = self.e02(x) + self.e12(n1)",
            "n3 = self.e03(x) + self.e13(n1) + self.e23(n2)",
            "return n3",
        ],
    )


def official(cell: Cell) -> str:
    """Like the benchmark's own cell: a ``ModuleList`` and two loops."""
    init = ["self.edges = nn.ModuleList(["]
    init += [f"    {MODULES[op]}," for op in cell] + ["])"]
    return net(
        init,
        [
            "nodes = [x]",
            "k = 0",
            "for i in range(1, 4):",
            "    inputs = []",
            "    for j in range(i):",
            "        inputs.append(self.edges[k](nodes[j]))",
            "        k += 1",
            "    nodes.append(sum(inputs))",
            "return nodes[-1]",
        ],
    )


def dictionary(cell: Cell) -> str:
    """A ``ModuleDict``, with sums in place and a sequence around every operation."""
    init = ["self.ops = nn.ModuleDict({"]
    for op, (a, b) in zip(cell, EDGES, strict=True):
        if op != NONE:
            inner = "" if op == SKIP else MODULES[op]
            init.append(f"    '{a}_{b}': nn.Sequential({inner}),")
    init.append("})")
    return net(
        init,
        [
            "n = {0: x}",
            "for target in (1, 2, 3):",
            "    total = torch.zeros_like(x)",
            "    for source in range(target):",
            "        name = f'{source}_{target}'",
            "        if name in self.ops:",
            "            total += self.ops[name](n[source])",
            "    n[target] = total",
            "return n[3]",
        ],
    )


def _terms(cell: Cell, target: int, call: Callable[[int, int, int], str]) -> list[str]:
    """The summands of a node; ``none`` edges are left out."""
    return [
        call(op, a, b) for op, (a, b) in zip(cell, EDGES, strict=True) if b == target and op != NONE
    ]


def _compact(cell: Cell, total: Callable[[list[str]], str], layer: str) -> str:
    """Only what is needed: no identity layers, no zeros, no node that nothing uses."""
    live = prune(cell)
    init = [
        f"self.e{a}{b} = {layer.format(MODULES[op])}"
        for op, (a, b) in zip(live, EDGES, strict=True)
        if op not in (NONE, SKIP)
    ]
    names = {0: "x", 1: "a", 2: "b", 3: "out"}

    def call(op: int, a: int, b: int) -> str:
        return names[a] if op == SKIP else f"self.e{a}{b}({names[a]})"

    forward = []
    for target in (1, 2, 3):
        terms = _terms(live, target, call)
        value = total(terms) if terms else "x * 0"
        forward.append(f"{names[target]} = {value}")
    return net(init, [*forward, "return out"])


def compact(cell: Cell) -> str:
    """Only what is needed, with ``+``."""
    return _compact(cell, " + ".join, "{}")


def added(cell: Cell) -> str:
    """Only what is needed, with ``torch.add`` and ``Tensor.add``."""

    def total(terms: list[str]) -> str:
        first, *rest = terms
        if not rest:
            return first
        value = f"torch.add({first}, {rest[0]})"
        return value + "".join(f".add({term})" for term in rest[1:])

    return _compact(cell, total, "nn.Sequential({})")


def summed(cell: Cell) -> str:
    """Only what is needed, with ``sum([...])``."""
    return _compact(cell, lambda terms: f"sum([{', '.join(terms)}])", "{}")


def functional(cell: Cell) -> str:
    """No layers: parameters, buffers and ``torch.nn.functional``."""
    init, forward = [], ["n = [x, 0, 0, 0]"]
    for op, (a, b) in zip(prune(cell), EDGES, strict=True):
        edge = f"{a}{b}"
        if op in (CONV1X1, CONV3X3):
            size = 1 if op == CONV1X1 else 3
            init += [
                f"self.w{edge} = nn.Parameter(torch.randn(C, C, {size}, {size}) * 0.1)",
                f"self.g{edge} = nn.Parameter(torch.ones(C))",
                f"self.b{edge} = nn.Parameter(torch.zeros(C))",
                f"self.register_buffer('m{edge}', torch.zeros(C))",
                f"self.register_buffer('v{edge}', torch.ones(C))",
            ]
            forward += [
                f"h = F.conv2d(F.relu(n[{a}]), self.w{edge}, padding={size // 2})",
                f"h = F.batch_norm(h, self.m{edge}, self.v{edge}, self.g{edge}, self.b{edge}, "
                "self.training)",
                f"n[{b}] = n[{b}] + h",
            ]
        elif op == POOL:
            forward.append(
                f"n[{b}] = n[{b}] + F.avg_pool2d(n[{a}], 3, 1, 1, count_include_pad=False)"
            )
        elif op == SKIP:
            forward.append(f"n[{b}] = n[{b}] + n[{a}]")
        elif a == b - 1:
            # A node that nothing enters is a tensor of zeros, not the number 0.
            forward.append(f"n[{b}] = n[{b}] + torch.zeros_like(x)")
    return net(init, [*forward, "return n[3]"])


#: Style name -> the function that writes a cell in it.
STYLES: dict[str, Callable[[Cell], str]] = {
    "explicit": explicit,
    "official": official,
    "dictionary": dictionary,
    "compact": compact,
    "added": added,
    "summed": summed,
    "functional": functional,
}
