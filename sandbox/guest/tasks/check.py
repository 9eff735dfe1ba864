"""Task ``sandbox.guest.tasks.check:run``: build the network, call it once, look at its output."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sandbox.guest.candidate import last_module_class
from sandbox.guest.task import Refusal, TaskContext


def run(source: str, params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Check that a source defines a network which maps one shape to another.

    The network is the last ``nn.Module`` subclass of the source. It is called, without gradients
    and in evaluation mode, on a batch of standard normal numbers.

    Args:
        source: the candidate.
        params: ``input_shape`` (batch included); optional: ``args`` (positional arguments of the
            constructor, default none), ``output_shape`` (batch included; where absent any shape
            will do), ``seed`` (default 0).
        context: the child.

    Returns:
        ``name`` of the class, ``parameters`` (count), ``output_shape``.

    Raises:
        Refusal: ``build_error`` (no class), ``wrong_shape``, ``diverged`` (not finite).
    """
    args = params.get("args", [])
    shape = params["input_shape"]
    wanted = params.get("output_shape")
    namespace = context.load(source)
    context.phase("build")
    torch.manual_seed(params.get("seed", 0))
    network = last_module_class(source, namespace, arguments=len(args))(*args)
    context.phase("forward")
    network.eval()
    with torch.no_grad():
        output = network(torch.randn(shape))
    if not isinstance(output, torch.Tensor):
        raise Refusal(
            "wrong_shape",
            f"expected forward to return a tensor{_of(wanted)}, found {type(output).__name__}",
        )
    found = list(output.shape)
    if wanted is not None and found != list(wanted):
        raise Refusal(
            "wrong_shape", f"expected an output{_of(wanted)} for input {shape}, found {found}"
        )
    if not bool(torch.isfinite(output).all()):
        raise Refusal("diverged", "the output holds NaN or infinity for a standard normal input")
    return {
        "name": type(network).__name__,
        "parameters": _count(network),
        "output_shape": found,
    }


def _of(shape: Any) -> str:
    return f" of shape {list(shape)}" if shape is not None else ""


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
