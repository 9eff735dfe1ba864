"""What the LLM reads for image classification: the paper's seed network and its prompts."""

from __future__ import annotations

from plugins.contract import Edit, Prompt, Prompts

HEADER = """\
import torch
import torch.nn as nn
import torch.nn.functional as F
"""

OPENING = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
"""

_CONV = "nn.LazyConv2d(16, 3, padding=1)"
_LINEAR = "nn.LazyLinear(64)"

#: Appendix A of the paper, "Prompts used to curate LLMatic", in its order. Each edit is the
#: nearest that stands for its prompt.
MUTATIONS = (
    Prompt("Add a layer to improve the above network", Edit(add=_CONV)),
    Prompt("Delete a layer to improve the above network", Edit(delete=True)),
    Prompt("Improve the above network", Edit(delete=True, add=_CONV)),
    Prompt("Improve the above network by reducing the size drastically", Edit(delete=True)),
    Prompt(
        "Improve the above network by increasing the size drastically",
        Edit(add="nn.LazyConv2d(128, 3, padding=1)"),
    ),
    Prompt("Add fully connected layer to improve the above network", Edit(add=_LINEAR)),
    Prompt("Add convolutional layer to improve the above network", Edit(add=_CONV)),
    Prompt("Add pooling layer to improve the above network", Edit(add="nn.MaxPool2d(2)")),
    Prompt("Add residual connection to improve the above network", Edit(add="")),
    Prompt("Add multiple residual connections to improve the above network", Edit(add="")),
    Prompt("Add dropout layer to improve the above network", Edit(add="nn.Dropout(0.2)")),
    Prompt(
        "Add normalization layer to improve the above network", Edit(add="nn.LazyBatchNorm2d()")
    ),
    Prompt(
        "Add recurrent layer to improve the above network",
        Edit(add="nn.RNN(64, 64, batch_first=True)"),
    ),
)

CROSSOVER = Prompt(
    "Combine the above two neural networks and create a third neural network class that also "
    "inherits from nn.Module and performs better than the above two neural networks",
    Edit(combine=True),
)

PROMPTS = Prompts(
    mutations=MUTATIONS,
    crossover=CROSSOVER,
    header=HEADER,
    class_name="Net",
    opening=OPENING,
    max_tokens=640,
)


def seed_network(image_shape: tuple[int, int, int], classes: int) -> str:
    """The paper's seed network, for images of (channels, height, width).

    For CIFAR-10 it is that of appendix A, letter by letter: 13,312 multiply-accumulates.
    """
    channels, height, width = image_shape
    return f"""\
{HEADER}

{OPENING}        self.conv1 = nn.Conv2d({channels}, 1, 1)
        self.fc1 = nn.Linear({height * width}, {classes})

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        return x
"""
