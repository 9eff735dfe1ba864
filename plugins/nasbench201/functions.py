"""Recognises torch's functions, a tensor's methods and operators as operations of a cell."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional

from plugins.nasbench201.layers import (
    Seen,
    computed,
    convolution,
    is_computed,
    normalisation,
    other_layer,
    pooling,
    refuse,
)

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


def bind(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name. Raises ``ValueError`` where there is one that ``names`` doesn't name."""
    if len(args) > len(names) or not set(kwargs) <= set(names):
        raise ValueError("unknown argument")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


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
        if owner is not None and is_computed(owner):
            return computed(name)
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
