"""Recognises torch's layers as operations of a cell.

Everything is judged with what it was called with; what is no operation of a cell becomes a value
``other`` that carries the reason, and matters only if it reaches the output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from plugins.nasbench201.graph import NotRepresentable

ALLOWED = (
    "a cell has Conv2d(C, C, 1), Conv2d(C, C, 3, padding=1), each with ReLU and BatchNorm2d, "
    "AvgPool2d(3, stride=1, padding=1), identity, zero, and sums"
)


@dataclass(frozen=True)
class Seen:
    """What a call is: the operation, and which of its arguments it works on.

    ``op`` is one of the operations of :class:`.graph.Value`, or ``alias``: the operand itself,
    handed on under another name, or ``stack``: operands that a sum over ``dim`` would add up.
    """

    op: str
    operands: tuple[Any, ...] = ()
    kernel: int = 0
    weight: torch.Tensor | None = None
    owner: object = None
    note: str = ""
    dim: int = 0
    problem: NotRepresentable | None = field(default=None)


def refuse(code: str, name: str, reason: str, certain: bool = True) -> Seen:
    """A call that is no operation of a cell."""
    return Seen("other", problem=NotRepresentable(code, f"{name}: {reason}", certain))


def pair(value: Any) -> tuple[Any, Any]:
    """A size as torch takes it, for height and width."""
    if isinstance(value, (tuple, list)):
        return (value[0], value[-1]) if value else (None, None)
    return value, value


def is_computed(weight: Any) -> bool:
    """Whether a weight is no tensor of its own, but computed from others in forward."""
    return not isinstance(weight, torch.Tensor) or (weight.requires_grad and not weight.is_leaf)


def computed(name: str) -> Seen:
    """A layer whose weight :func:`is_computed`."""
    return refuse(
        "computed_weight",
        name,
        "expected a weight that is a parameter of its own; found one computed from other tensors "
        "in forward: use a plain layer",
    )


# --- convolution, normalisation, pooling -------------------------------------------------------


def convolution(
    name: str,
    channels: int,
    operand: Any,
    weight: torch.Tensor,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    padding_mode: str = "zeros",
) -> Seen:
    """A convolution with the given weight (out, in / groups, height, width)."""
    if is_computed(weight):
        return computed(name)
    if weight.dim() != 4:
        return refuse("layer", name, f"expected a convolution over 2 dimensions; {ALLOWED}", False)
    kernel = tuple(weight.shape[2:])
    if kernel not in ((1, 1), (3, 3)):
        return refuse(
            "kernel_size",
            name,
            f"expected kernel size 1 or 3; found {kernel[0]}x{kernel[1]}: use 1, or 3 with "
            "padding 1",
        )
    if pair(stride) != (1, 1):
        return refuse("stride", name, f"expected stride 1; found {stride}: a cell keeps H and W")
    if pair(dilation) != (1, 1):
        return refuse("dilation", name, f"expected dilation 1; found {dilation}")
    if groups != 1:
        return refuse(
            "groups", name, f"expected groups 1, a full convolution; found groups {groups}"
        )
    if padding_mode != "zeros":
        return refuse("padding", name, f"expected padding_mode 'zeros'; found {padding_mode!r}")
    half = kernel[0] // 2
    fits = padding == "same" or (padding == "valid" and half == 0) or pair(padding) == (half, half)
    if not fits:
        return refuse(
            "padding",
            name,
            f"expected padding {half} for kernel size {kernel[0]}, which keeps H and W; found "
            f"{padding}",
            certain=False,
        )
    if tuple(weight.shape[:2]) != (channels, channels):
        return refuse(
            "channels",
            name,
            f"expected {channels} input and {channels} output channels, C of both; found "
            f"{weight.shape[1]} and {weight.shape[0]}: use Conv2d(C, C, ...)",
            certain=False,
        )
    return Seen("conv", (operand,), kernel=kernel[0], weight=weight)


def pooling(
    name: str,
    operand: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    count_include_pad: bool = True,
    divisor: Any = None,
) -> Seen:
    """An average pooling."""
    if pair(kernel) != (3, 3):
        return refuse("kernel_size", name, f"expected average pooling of size 3; found {kernel}")
    stride = kernel if stride is None or stride == [] or stride == () else stride
    if pair(stride) != (1, 1):
        return refuse(
            "stride",
            name,
            f"expected stride 1; found {stride}: write AvgPool2d(3, stride=1, padding=1)",
        )
    if pair(padding) != (1, 1):
        return refuse(
            "padding", name, f"expected padding 1, which keeps H and W; found {padding}", False
        )
    if divisor not in (None, 9):
        return refuse("divisor", name, f"expected no divisor_override; found {divisor}")
    note = ""
    if count_include_pad or divisor is not None:
        note = f"{name}: padding is counted; normalised to count_include_pad=False"
    return Seen("pool", (operand,), note=note)


def normalisation(
    name: str,
    channels: int,
    operand: Any,
    features: int | None,
    weight: torch.Tensor | None,
    owner: object,
) -> Seen:
    """A batch normalisation over ``features`` channels."""
    if features is not None and features != channels:
        return refuse(
            "channels", name, f"expected BatchNorm2d(C), C = {channels}; found {features}", False
        )
    note = f"{name}: no affine parameters; normalised to affine=True" if weight is None else ""
    return Seen("norm", (operand,), weight=weight, owner=owner, note=note)


# --- modules -----------------------------------------------------------------------------------


def see_module(module: nn.Module, name: str, channels: int, args: Any, kwargs: Any) -> Seen:
    """What a call of one of torch's own modules is."""
    operands = [*args, *kwargs.values()]
    if len(operands) != 1:
        return refuse(
            "layer", name, f"expected one tensor, found {len(operands)}; {ALLOWED}", False
        )
    (operand,) = operands
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    if hasattr(module, "parametrizations") or any(getattr(module, h, None) for h in hooks):
        return refuse(
            "computed_weight",
            name,
            "expected a plain layer; found one with hooks or a reparametrised weight "
            "(weight_norm, spectral_norm): use it without",
        )
    kind = type(module)
    if kind is nn.Conv2d:
        return convolution(
            name,
            channels,
            operand,
            module.weight,  # type: ignore[arg-type]
            module.stride,
            module.padding,
            module.dilation,
            module.groups,  # type: ignore[arg-type]
            module.padding_mode,  # type: ignore[arg-type]
        )
    if kind is nn.BatchNorm2d:
        return normalisation(
            name,
            channels,
            operand,
            module.num_features,  # type: ignore[arg-type]
            module.weight,  # type: ignore[arg-type]
            module,
        )
    if kind is nn.AvgPool2d:
        return pooling(
            name,
            operand,
            module.kernel_size,
            module.stride,
            module.padding,
            bool(module.count_include_pad),
            module.divisor_override,
        )
    if kind is nn.ReLU:
        return Seen("relu", (operand,))
    if kind is nn.Identity or (isinstance(module, nn.Sequential) and not len(module)):
        return Seen("skip", (operand,))
    if isinstance(module, nn.modules.dropout._DropoutNd) and module.p == 0:
        return Seen("alias", (operand,), note=f"{name}: does nothing with p = 0; left out")
    return refuse(*other_layer(kind.__name__, name))


def other_layer(kind: str, name: str) -> tuple[str, str, str, bool]:
    """Arguments of :func:`refuse` for a layer or function that no cell has."""
    lowered = kind.lower().replace("_", "")
    if "maxpool" in lowered:
        return (
            "max_pooling",
            name,
            "expected average pooling; found max pooling: use AvgPool2d(3, stride=1, padding=1)",
            True,
        )
    return "layer", name, f"{kind} is no operation of a cell; {ALLOWED}", False
