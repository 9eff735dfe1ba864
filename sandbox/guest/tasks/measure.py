"""Task ``sandbox.guest.tasks.measure:run``: build a classifier, try it, and measure it.

:func:`build` and :func:`measure` are also the first part of the task that trains, so that what is
counted is the network that learns and predicts, in the same process.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sandbox.guest.candidate import last_module_class
from sandbox.guest.macs import count_macs
from sandbox.guest.structure import watched
from sandbox.guest.task import Refusal, TaskContext

#: The batch of the first forward: more than one image, so that a mixed-up batch axis shows.
TRIED = 2


def run(source: str, params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Build the source's network and measure it; nothing is trained.

    Args:
        source: the candidate: its last ``nn.Module`` subclass is the network, made without
            arguments.
        params: ``image_shape`` (channels, height, width), ``classes``; optional ``seed``.
        context: the child.

    Returns:
        See :func:`measure`.

    Raises:
        Refusal: see :func:`build` and :func:`measure`.
    """
    network = build(source, params.get("seed", 0), context)
    shape = params["image_shape"]
    return measure(network, torch.randn(TRIED, *shape), params["classes"], context)


def build(source: str, seed: int, context: TaskContext) -> nn.Module:
    """Execute a source and make its network.

    Raises:
        Refusal: ``build_error``: it defines none.
    """
    namespace = context.load(source)
    context.phase("build")
    torch.manual_seed(seed)
    return last_module_class(source, namespace, arguments=0)()


def measure(
    network: nn.Module, images: torch.Tensor, classes: int, context: TaskContext
) -> dict[str, Any]:
    """Call the network three times, without gradients, and say what it is.

    Args:
        network: left in evaluation mode.
        images: float, (2, channels, height, width), on the network's device.
        classes: how many numbers an image is mapped to.
        context: the child.

    Returns:
        ``flops`` (multiply-accumulates of one image), ``uncounted`` (operators left out of it, by
        name), ``parameters``, ``width``, ``depth``.

    Raises:
        Refusal: ``wrong_shape``, ``diverged`` (not finite), or ``forward_error``: it cannot be
            traced, or has nothing to train, or the second call differs from the first.
    """
    context.phase("forward")
    network.eval()
    with torch.no_grad(), watched(network) as layers:
        first = checked(network(images), len(images), classes)
    if not bool(torch.isfinite(first).all()):
        raise Refusal("diverged", "the output holds NaN or infinity before any training")
    context.phase("measure")
    flops, uncounted = count_macs(network, images[:1])
    context.phase("forward")
    with torch.no_grad():
        again = checked(network(images), len(images), classes)
    if again.dtype != first.dtype:
        raise Refusal(
            "forward_error",
            f"expected the second forward to give {first.dtype} as the first did, "
            f"found {again.dtype}",
        )
    parameters = sum(p.numel() for p in network.parameters())
    return {
        "flops": flops,
        "uncounted": uncounted,
        "parameters": parameters,
        "width": layers.width,
        "depth": layers.depth,
    }


def checked(output: Any, batch: int, classes: int) -> torch.Tensor:
    """What a network put out, made sure of.

    Raises:
        Refusal: ``wrong_shape``: it is no tensor of real numbers of shape (batch, classes).
    """
    wanted = [batch, classes]
    if not isinstance(output, torch.Tensor):
        raise Refusal(
            "wrong_shape",
            f"expected forward to return a tensor of shape {wanted} (images, classes), "
            f"found {type(output).__name__}",
        )
    if list(output.shape) != wanted:
        raise Refusal(
            "wrong_shape",
            f"expected an output of shape {wanted} (images, classes), found {list(output.shape)}",
        )
    if not output.is_floating_point():
        raise Refusal("wrong_shape", f"expected an output of real numbers, found {output.dtype}")
    return output
