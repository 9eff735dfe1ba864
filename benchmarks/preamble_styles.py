"""Ways to write a NAS-Bench-201 cell, and what to show an LLM of it: the variants measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from plugins.contract import Prompt, Prompts
from plugins.nasbench201.cells import CONV1X1, CONV3X3, EDGES, NONE, POOL, SKIP, Cell
from plugins.nasbench201.prompts import CROSSOVER, MUTATIONS

IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"

HELPERS = f'''{IMPORTS}

def conv1x1(C):
    """ReLU, 1x1 convolution, batch normalization."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 1, bias=False), nn.BatchNorm2d(C))


def conv3x3(C):
    """ReLU, 3x3 convolution, batch normalization."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 3, padding=1, bias=False), nn.BatchNorm2d(C))


def pool3x3():
    """3x3 average pooling."""
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
'''

PLAIN_CALLS = {
    CONV1X1: "nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 1, bias=False), nn.BatchNorm2d(C))",
    CONV3X3: "nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 3, padding=1, bias=False), "
    "nn.BatchNorm2d(C))",
    POOL: "nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)",
}
HELPER_CALLS = {CONV1X1: "conv1x1(C)", CONV3X3: "conv3x3(C)", POOL: "pool3x3()"}

OPENING = "class Net(nn.Module):\n"
LONG_OPENING = f"{OPENING}    def __init__(self, C):\n        super().__init__()\n"


@dataclass(frozen=True)
class Style:
    """One variant: how cells are written, and what stands before them."""

    name: str
    about: str
    header: str
    calls: dict[int, str]
    edge: str = "edge_{0}_{1}"  # from node, to node, number, letter
    node: str = "node{0}"
    opening: str = OPENING
    examples: tuple[tuple[Cell, int | str | None, Cell], ...] = ()
    note: str = ""
    preamble: str = ""
    explicit_skip: bool = False

    def write(self, cell: Cell, name: str = "Net") -> str:
        """The class of a cell, without the header."""
        made, lines = [], []
        terms: dict[int, list[str]] = {1: [], 2: [], 3: []}
        for operation, (source, target) in zip(cell, EDGES, strict=True):
            if operation == NONE or (source and not terms[source]):
                continue
            value = self.node.format(source)
            edge = self.edge.format(source, target, len(made) + 1, "abcdef"[len(made)])
            if operation == SKIP and not self.explicit_skip:
                terms[target].append(value)
            else:
                made.append(f"        self.{edge} = {self.calls[operation]}")
                terms[target].append(f"self.{edge}({value})")
        for target, parts in terms.items():
            if parts:
                lines.append(f"        {self.node.format(target)} = {' + '.join(parts)}")
        return "\n".join(
            [
                f"class {name}(nn.Module):",
                "    def __init__(self, C):",
                "        super().__init__()",
                *made,
                "",
                f"    def forward(self, {self.node.format(0)}):",
                *lines,
                f"        return {self.node.format(3)}",
                "",
            ]
        )

    def source(self, cell: Cell) -> str:
        """A whole candidate source of a cell."""
        return f"{self.header.rstrip()}\n\n\n{self.write(cell)}"

    def prompts(self) -> Prompts:
        """What the plugin would give for this variant."""
        parts = [self.note] if self.note else []
        if self.preamble:
            parts.append(self.preamble)
        for before, prompt, after in self.examples:
            parts.append(self.write(before))
            words = MUTATIONS[prompt].text if isinstance(prompt, int) else prompt
            parts.append(f'"""{words}"""')
            parts.append(self.write(after))
        return Prompts(
            mutations=MUTATIONS,
            crossover=CROSSOVER,
            header=self.header,
            preamble="\n\n".join(part.strip("\n") for part in parts),
            class_name="Net",
            opening=self.opening,
        )


def _cell(**edges: int) -> Cell:
    """A cell from its edges by name: ``e01=CONV3X3``; the others are ``none``."""
    return tuple(edges.get(f"e{source}{target}", NONE) for source, target in EDGES)  # type: ignore[return-value]


#: Worked examples: a mutation by prompt number each, before and after.
ADD_CONV = (
    _cell(e01=POOL, e13=CONV1X1),
    0,
    _cell(e01=POOL, e12=CONV3X3, e13=CONV1X1, e23=SKIP),
)
ADD_SKIP = (
    _cell(e02=CONV3X3, e03=POOL, e23=CONV1X1),
    4,
    _cell(e02=CONV3X3, e03=POOL, e01=SKIP, e12=CONV1X1, e23=CONV1X1),
)
SWAP = (
    _cell(e01=CONV1X1, e02=SKIP, e12=POOL, e03=CONV3X3, e13=SKIP, e23=CONV1X1),
    7,
    _cell(e01=CONV1X1, e02=POOL, e12=POOL, e13=SKIP, e23=CONV1X1),
)
DELETE = (
    _cell(e01=CONV3X3, e12=CONV1X1, e03=SKIP, e13=POOL, e23=CONV3X3),
    2,
    _cell(e01=CONV3X3, e12=CONV1X1, e03=SKIP, e23=CONV3X3),
)
ADD_POOL = (
    _cell(e03=CONV3X3, e01=CONV3X3, e13=SKIP),
    3,
    _cell(e03=CONV3X3, e01=CONV3X3, e12=POOL, e13=SKIP, e23=CONV1X1),
)

RULE = (
    "# A cell has four nodes: node0 is the input, node3 the output. A node is a sum of operations\n"
    "# on earlier nodes, at most one for each pair of nodes. Every network below is new.\n"
)

PLAIN = Style("plain", "nn modules, no example", IMPORTS, PLAIN_CALLS)
HELPED = Style("helpers", "helper operations, no example", HELPERS, HELPER_CALLS)
ONE = replace(HELPED, name="helpers+1", about="one worked example", examples=(ADD_CONV,))
TWO = replace(ONE, name="helpers+2", about="two worked examples", examples=(ADD_CONV, SWAP))
THREE = replace(
    ONE, name="helpers+3", about="three worked examples", examples=(ADD_CONV, DELETE, SWAP)
)
SHORT = replace(
    THREE,
    name="short+3",
    about="edges e01, nodes x0",
    edge="e{0}{1}",
    node="x{0}",
)
PREFILLED = replace(SHORT, name="short+3+init", about="and __init__ is given", opening=LONG_OPENING)
PREFILLED2 = replace(
    PREFILLED, name="short+2+init", about="two examples, __init__ given", examples=(ADD_CONV, SWAP)
)
LETTERS = replace(
    PREFILLED, name="letters+3+init", about="operations a, b, c ..., __init__ given", edge="{3}"
)
RULED = replace(
    PREFILLED,
    name="short+3+init+rule",
    about="and a rule in words",
    note=RULE.replace("node0", "x0").replace("node3", "x3"),
)


STYLES: Sequence[Style] = (
    PLAIN,
    HELPED,
    ONE,
    TWO,
    THREE,
    SHORT,
    PREFILLED,
    PREFILLED2,
    RULED,
    LETTERS,
)


def all_prompts() -> tuple[Prompt, ...]:
    """The nine mutations, then the crossover."""
    return (*MUTATIONS, CROSSOVER)
