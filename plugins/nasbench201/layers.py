"""Recognises torch's layers and functions as operations of a cell.

Everything is judged with what it was called with; what is no operation of a cell becomes a value
``other`` that carries the reason, and matters only if it reaches the output.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

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


def bind(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name. Raises ``ValueError`` where there is one that ``names`` doesn't name."""
    if len(args) > len(names) or not set(kwargs) <= set(names):
        raise ValueError("unknown argument")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def pair(value: Any) -> tuple[Any, Any]:
    """A size as torch takes it, for height and width."""
    if isinstance(value, (tuple, list)):
        return (value[0], value[-1]) if value else (None, None)
    return value, value


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
    if weight.requires_grad and not weight.is_leaf:
        return refuse(
            "computed_weight",
            name,
            "expected a weight that is a parameter of its own; found one computed from other "
            "tensors (weight_norm, or arithmetic in forward): use a plain nn.Conv2d",
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


# --- functions, methods, operators -------------------------------------------------------------

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_POOL = (
    "input",
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)
_NORM = (
    "input",
    "running_mean",
    "running_var",
    "weight",
    "bias",
    "training",
    "momentum",
    "eps",
)
_TORCH_NORM = (
    "input",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "training",
    "momentum",
    "eps",
    "cudnn_enabled",
)
#: Methods, properties and functions whose result is the operand, where the shape stays.
_SAME = {
    "clone", "contiguous", "to", "float", "type", "type_as", "cpu", "detach", "detach_", "data",
    "view", "view_as", "reshape", "reshape_as", "expand", "expand_as", "pos", "positive",
    "requires_grad_", "alias", "squeeze", "broadcast_to",
}  # fmt: skip
_CUTS_GRADIENT = {"detach", "detach_", "data"}
_ZEROS = {"zeros_like", "new_zeros", "zero_"}
_CONCATENATIONS = {"cat", "concat", "concatenate", "hstack", "vstack", "dstack"}
_PRODUCTS = {
    "mul", "multiply", "mul_", "multiply_", "imul", "matmul", "bmm", "mm", "einsum", "pow", "pow_",
    "square", "addcmul", "baddbmm", "imatmul", "ipow", "dot", "prod",
}  # fmt: skip


def _function_name(target: Callable[..., Any]) -> str:
    """The name of a function if it is torch's or an operator, else empty."""
    module = getattr(target, "__module__", None) or ""
    name = getattr(target, "__name__", "")
    known = (
        getattr(operator, name, None) is target
        or getattr(torch, name, None) is target
        or getattr(functional, name, None) is target
        or getattr(torch._C._nn, name, None) is target
    )
    return name if known or module.startswith(("torch", "_operator")) else ""


def see_call(
    target: Callable[..., Any] | str, name: str, channels: int, args: Any, kwargs: Any, result: Any
) -> Seen:
    """What a call of a function (or, by its name, of a tensor's method) is.

    ``result`` is what the call gave on real tensors, or None where it failed; arguments hold
    their real tensors where the shape matters.
    """
    called = target if isinstance(target, str) else _function_name(target)
    try:
        seen = _see(called, target, name, channels, args, kwargs, result)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        seen = None
    if seen is not None:
        return seen
    if called in _CONCATENATIONS or called == "stack":
        return refuse(
            "concatenation",
            name,
            "expected a sum of branches; found a concatenation: add the branches up",
        )
    if called in _PRODUCTS:
        return refuse(
            "product",
            name,
            f"expected sums only; found a product ({called}): a cell multiplies by nothing but 0",
        )
    return refuse(*other_layer(called or getattr(target, "__name__", str(target)), name))


def _see(
    called: str, target: Any, name: str, channels: int, args: Any, kwargs: Any, result: Any
) -> Seen | None:
    if called in ("relu", "relu_"):
        return Seen("relu", (bind(("input", "inplace"), args, kwargs)["input"],))
    if called in ("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_"):
        given = bind(("input", "min", "max"), args, kwargs)
        if given["min"] == 0 and given.get("max") is None:
            return Seen("relu", (given["input"],))
        return None
    if called in ("add", "add_", "iadd", "__add__", "__radd__", "__iadd__"):
        given = bind(("input", "other", "alpha"), args, kwargs)
        if given.get("alpha", 1) == 1:
            return Seen("sum", (given["input"], given["other"]))
        return refuse(
            "product", name, f"expected a plain sum; found alpha={given['alpha']}: leave it out"
        )
    if called in ("mul", "mul_", "imul", "multiply", "multiply_"):
        return _scaled(bind(("input", "other"), args, kwargs))
    if called in ("truediv", "div", "div_", "itruediv", "divide"):
        given = bind(("input", "other"), args, kwargs)
        return Seen("alias", (given["input"],)) if _number(given["other"]) == 1 else None
    if called in ("sub", "isub", "sub_"):
        given = bind(("input", "other"), args, kwargs)
        return Seen("alias", (given["input"],)) if _number(given["other"]) == 0 else None
    if called == "conv2d":
        given = bind(_CONV, args, kwargs)
        return convolution(
            name,
            channels,
            given["input"],
            given["weight"],
            given.get("stride", 1),
            given.get("padding", 0),
            given.get("dilation", 1),
            given.get("groups", 1),
        )
    if called == "avg_pool2d":
        given = bind(_POOL, args, kwargs)
        return pooling(
            name,
            given["input"],
            given["kernel_size"],
            given.get("stride"),
            given.get("padding", 0),
            given.get("count_include_pad", True),
            given.get("divisor_override"),
        )
    if called == "batch_norm":
        given = bind(_TORCH_NORM if target is torch.batch_norm else _NORM, args, kwargs)
        weight = given.get("weight")
        owner = weight if weight is not None else given.get("running_mean")
        features = None if owner is None else len(owner)
        return normalisation(name, channels, given["input"], features, weight, owner)
    if called in _ZEROS:
        return Seen("zero", (args[0] if args else kwargs["input"],))
    return _see_shape(called, name, args, kwargs, result)


def _see_shape(called: str, name: str, args: Any, kwargs: Any, result: Any) -> Seen | None:
    operand = args[0] if args else kwargs.get("input")
    if called in _SAME:
        before = getattr(operand, "tensor", None)
        if before is None or result is None:
            return None
        if before.shape != result.shape or before.dtype != result.dtype:
            return None
        note = f"{name}: gradients are cut here; the cell is trained whole"
        return Seen("alias", (operand,), note=note if called in _CUTS_GRADIENT else "")
    if (
        called in ("dropout", "dropout2d")
        and kwargs.get("p", args[1] if len(args) > 1 else 0.5) == 0
    ):
        return Seen("alias", (operand,), note=f"{name}: does nothing with p = 0; left out")
    if called == "stack":
        given = bind(("tensors", "dim"), args, kwargs)
        return Seen("stack", tuple(given["tensors"]), dim=given.get("dim", 0))
    if called == "sum":
        given = bind(("input", "dim", "keepdim"), args, kwargs)
        stacked = getattr(operand, "stacked", None)
        dim = given.get("dim")
        dim = dim[0] if isinstance(dim, (list, tuple)) and len(dim) == 1 else dim
        if stacked is not None and not given.get("keepdim"):
            values, at = stacked
            if isinstance(dim, int) and dim % 5 == at % 5:
                return Seen("sum", values)
    return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _scaled(given: dict[str, Any]) -> Seen | None:
    """A product, which is an operation only where one factor is the number 0 or 1."""
    factors = given["input"], given["other"]
    for factor, operand in (factors, factors[::-1]):
        constant = _number(factor)
        if isinstance(factor, torch.Tensor) and not factor.requires_grad and not factor.any():
            constant = 0.0
        if constant == 0:
            return Seen("zero", (operand,))
        if constant == 1:
            return Seen("alias", (operand,))
    return None
