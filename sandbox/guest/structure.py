"""Width and depth of a network, from the layers that its forward pass executes.

A **layer** is a module with parameters of its own: a convolution, a normalisation, a linear map, a
recurrent layer. **Width** is the largest number of output features of any layer that is executed,
**depth** is how many are. Activations, pooling and additions are no layers. LLMatic's first
descriptor is width divided by depth; its seed network (Conv2d, then Linear) has width 10, depth 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

#: Where layers say how many features they put out, in the order in which they are asked.
_FEATURES = ("out_channels", "out_features", "num_features", "num_channels", "embedding_dim")


class Layers:
    """The layers that were executed while they were watched."""

    def __init__(self) -> None:
        self._widths: dict[int, int] = {}

    @property
    def width(self) -> int:
        """The largest number of output features of any layer; 0 where none was executed."""
        return max(self._widths.values(), default=0)

    @property
    def depth(self) -> int:
        """How many layers were executed; one that is executed twice counts once."""
        return len(self._widths)

    def note(self, module: nn.Module, output: Any) -> None:
        """Note that a layer was executed."""
        self._widths[id(module)] = max(self._widths.get(id(module), 0), _features(module, output))


@contextmanager
def watched(network: nn.Module) -> Iterator[Layers]:
    """Watch the network's layers; parameters that are made in the first call count too."""
    layers = Layers()

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        if any(True for _ in module.parameters(recurse=False)):
            layers.note(module, output)

    handles = [module.register_forward_hook(note) for module in network.modules()]
    try:
        yield layers
    finally:
        for handle in handles:
            handle.remove()


def _features(module: nn.Module, output: Any) -> int:
    for name in _FEATURES:
        value = getattr(module, name, None)
        if type(value) is int:
            return value
    # Recurrent layers and attention give a tuple; what is theirs comes first.
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, torch.Tensor) or output.dim() == 0:
        return 1
    # Images have their channels behind the batch, everything else has its features last.
    return int(output.shape[1] if output.dim() in (4, 5) else output.shape[-1])
