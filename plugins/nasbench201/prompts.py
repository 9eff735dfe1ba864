"""What the LLM reads: the seed cell, the paper's prompts, helper operations and worked examples."""

from __future__ import annotations

from plugins.contract import Edit, Prompt, Prompts

#: Every candidate starts with this. A cell reads as six edges between four nodes.
HEADER = '''\
import torch
import torch.nn as nn
import torch.nn.functional as F


class ReLUConvBN(nn.Module):
    """ReLU, convolution (kernel_size 1 or 3), batch normalization. Keeps the shape."""

    def __init__(self, C, kernel_size):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(C, C, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(C)

    def forward(self, x):
        return self.bn(self.conv(self.relu(x)))


class AvgPool3x3(nn.Module):
    """3x3 average pooling. Keeps the shape."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x):
        return self.pool(x)
'''

#: The smallest useful cell.
_SEED = """\
class Net(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.edge_0_3 = ReLUConvBN(C, 1)

    def forward(self, node0):
        node3 = self.edge_0_3(node0)
        return node3
"""

SEED = f"{HEADER}\n\n{_SEED}"

_ADD_CONV3X3 = (
    "Add ReLU, 3x3 convolutional layer and Batch normalization layer to improve the above network"
)
_ADD_SKIP = "Add skip connection to improve the above network"

#: Two mutations done right: a new edge on a new node, then a skip connection.
_PREAMBLE = f'''\
class Net(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.edge_0_1 = AvgPool3x3()
        self.edge_1_3 = ReLUConvBN(C, 1)

    def forward(self, node0):
        node1 = self.edge_0_1(node0)
        node3 = self.edge_1_3(node1)
        return node3


"""{_ADD_CONV3X3}"""


class Net(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.edge_0_1 = AvgPool3x3()
        self.edge_1_2 = ReLUConvBN(C, 3)
        self.edge_1_3 = ReLUConvBN(C, 1)

    def forward(self, node0):
        node1 = self.edge_0_1(node0)
        node2 = self.edge_1_2(node1)
        node3 = self.edge_1_3(node1) + node2
        return node3


"""{_ADD_SKIP}"""


class Net(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.edge_0_1 = AvgPool3x3()
        self.edge_1_2 = ReLUConvBN(C, 3)
        self.edge_1_3 = ReLUConvBN(C, 1)

    def forward(self, node0):
        node1 = self.edge_0_1(node0)
        node2 = node0 + self.edge_1_2(node1)
        node3 = self.edge_1_3(node1) + node2
        return node3
'''

_CONV3X3 = "ReLUConvBN(C, 3)"
_CONV1X1 = "ReLUConvBN(C, 1)"
_POOL = "AvgPool3x3()"
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
    Prompt("Delete a layer to improve the above network", Edit(delete=True, max_values=_NODES)),
    Prompt(
        "Add 3x3 average pooling layer to improve the above network",
        Edit(add=_POOL, max_values=_NODES),
    ),
    Prompt(_ADD_SKIP, Edit(add=_SKIP, max_values=_NODES)),
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
        "Delete a layer to improve the above network and add 3x3 average pooling layer",
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
    class_name="Net",
    opening="class Net(nn.Module):\n",
)
