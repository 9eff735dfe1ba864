"""What the LLM reads: the seed cell, the paper's prompts, helper operations and worked examples."""

from __future__ import annotations

from plugins.contract import Edit, Prompt, Prompts

#: Every candidate starts with this. A cell reads as edges e01 ... e23 between nodes x0 ... x3.
HEADER = '''\
import torch
import torch.nn as nn
import torch.nn.functional as F


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

#: What every class begins with; given to the LLM, so that no token is spent on it.
_OPENING = """\
class Net(nn.Module):
    def __init__(self, C):
        super().__init__()
"""

#: The smallest useful cell.
_SEED = f"""\
{_OPENING}        self.e03 = conv1x1(C)

    def forward(self, x0):
        x3 = self.e03(x0)
        return x3
"""

SEED = f"{HEADER}\n\n{_SEED}"

_ADD_CONV3X3 = (
    "Add ReLU, 3x3 convolutional layer and Batch normalization layer to improve the above network"
)
_DELETE = "Delete a layer to improve the above network"
_DELETE_ADD_POOL = "Delete a layer to improve the above network and add 3x3 average pooling layer"

#: Three mutations done right: a new edge on a new node, a deletion, an exchange. Chosen among the
#: variants of ``benchmarks/preamble.py``, which measures how many answers are valid and new.
_PREAMBLE = f'''\
{_OPENING}        self.e01 = pool3x3()
        self.e13 = conv1x1(C)

    def forward(self, x0):
        x1 = self.e01(x0)
        x3 = self.e13(x1)
        return x3

"""{_ADD_CONV3X3}"""

{_OPENING}        self.e01 = pool3x3()
        self.e12 = conv3x3(C)
        self.e13 = conv1x1(C)

    def forward(self, x0):
        x1 = self.e01(x0)
        x2 = self.e12(x1)
        x3 = self.e13(x1) + x2
        return x3

{_OPENING}        self.e01 = conv3x3(C)
        self.e12 = conv1x1(C)
        self.e13 = pool3x3()
        self.e23 = conv3x3(C)

    def forward(self, x0):
        x1 = self.e01(x0)
        x2 = self.e12(x1)
        x3 = x0 + self.e13(x1) + self.e23(x2)
        return x3

"""{_DELETE}"""

{_OPENING}        self.e01 = conv3x3(C)
        self.e12 = conv1x1(C)
        self.e23 = conv3x3(C)

    def forward(self, x0):
        x1 = self.e01(x0)
        x2 = self.e12(x1)
        x3 = x0 + self.e23(x2)
        return x3

{_OPENING}        self.e01 = conv1x1(C)
        self.e12 = pool3x3()
        self.e03 = conv3x3(C)
        self.e23 = conv1x1(C)

    def forward(self, x0):
        x1 = self.e01(x0)
        x2 = x0 + self.e12(x1)
        x3 = self.e03(x0) + x1 + self.e23(x2)
        return x3

"""{_DELETE_ADD_POOL}"""

{_OPENING}        self.e01 = conv1x1(C)
        self.e02 = pool3x3()
        self.e12 = pool3x3()
        self.e23 = conv1x1(C)

    def forward(self, x0):
        x1 = self.e01(x0)
        x2 = self.e02(x0) + self.e12(x1)
        x3 = x1 + self.e23(x2)
        return x3
'''

_CONV3X3 = "conv3x3(C)"
_CONV1X1 = "conv1x1(C)"
_POOL = "pool3x3()"
_SKIP = ""
#: Nodes of a cell.
_NODES = 4

#: Appendix A of the paper, "Prompts used by LLMatic for NAS-bench-201", in its order.
MUTATIONS = (
    Prompt(_ADD_CONV3X3, Edit(add=_CONV3X3, max_values=_NODES)),
    Prompt(
        "Add ReLU, 1x1 convolutional layer and Batch normalization layer "
        "to improve the above network",
        Edit(add=_CONV1X1, max_values=_NODES),
    ),
    Prompt(_DELETE, Edit(delete=True, max_values=_NODES)),
    Prompt(
        "Add 3x3 average pooling layer to improve the above network",
        Edit(add=_POOL, max_values=_NODES),
    ),
    Prompt("Add skip connection to improve the above network", Edit(add=_SKIP, max_values=_NODES)),
    Prompt(
        "Delete a layer to improve the above network and add ReLU, 3x3 convolutional layer "
        "and Batch normalization layer",
        Edit(delete=True, add=_CONV3X3, max_values=_NODES),
    ),
    Prompt(
        "Delete a layer to improve the above network and add ReLU, 1x1 convolutional layer "
        "and Batch normalization layer",
        Edit(delete=True, add=_CONV1X1, max_values=_NODES),
    ),
    Prompt(
        _DELETE_ADD_POOL,
        Edit(delete=True, add=_POOL, max_values=_NODES),
    ),
    Prompt(
        "Delete a layer to improve the above network and add skip connection",
        Edit(delete=True, add=_SKIP, max_values=_NODES),
    ),
)

CROSSOVER = Prompt(
    "Combine the above two neural networks and create a third neural network class that also "
    "inherits from nn.Module and performs better than the above two neural networks",
    Edit(combine=True, max_values=_NODES),
)

PROMPTS = Prompts(
    mutations=MUTATIONS,
    crossover=CROSSOVER,
    header=HEADER,
    preamble=_PREAMBLE,
    # A cell with an operation on every edge takes about 170.
    max_tokens=256,
    class_name="Net",
    opening=_OPENING,
)
