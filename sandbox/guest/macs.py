"""Counts a network's multiply-accumulates with fvcore, and names what it could not count.

fvcore and LLMatic's paper call these numbers FLOPs. fvcore knows convolutions, linear maps, matrix
products, normalisations and interpolation; the handles here add recurrent layers, attention, and
contractions of any form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

_NAMES = """
abs add add_ sub sub_ rsub mul mul_ div div_ neg sum mean pow sqrt rsqrt exp log sin cos sigmoid
sigmoid_ tanh tanh_ gelu silu silu_ elu elu_ celu selu selu_ leaky_relu leaky_relu_ prelu relu6
hardtanh hardtanh_ hardsigmoid hardswish hardswish_ mish softplus softsign log_sigmoid softmax
log_softmax dropout_ feature_dropout alpha_dropout amax amin minimum maximum min argmax where
clone repeat pad unsafe_chunk unsafe_split max_pool1d max_pool2d max_pool2d_with_indices
max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_max_pool2d adaptive_max_pool1d
adaptive_avg_pool1d pixel_shuffle pixel_unshuffle channel_shuffle embedding triu tril ones_like
rand_like randn_like scalar_tensor lift_fresh numpy_T threshold threshold_ hardshrink softshrink
unflatten erf std var lt le ne logical_not
"""
#: Operators that multiply nothing, or one number with each of a tensor's: LLMatic's counts leave
#: them out, as fvcore does for most of them.
ELEMENTWISE = frozenset(_NAMES.split())


def count_macs(network: nn.Module, example: torch.Tensor) -> tuple[int, dict[str, int]]:
    """Multiply-accumulates of one call of the network, as it stands (training or evaluation).

    Args:
        network: called once, under a tracer and without gradients.
        example: its input; a batch of one for the paper's number.

    Returns:
        The count, and the operators that were left out (beside those of ``ELEMENTWISE``), by
        name with how often they occur.

    Raises:
        Exception: what the network raised, or that it cannot be traced.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    # The fast path is one operator that hides a whole layer; the slow one is made of countable
    # parts and computes the same.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        analysis = FlopCountAnalysis(network, example)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        analysis.set_op_handle(**HANDLES)
        with torch.no_grad():
            total = int(analysis.total())
            left_out = analysis.unsupported_ops()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    names = {name.removeprefix("aten::"): int(count) for name, count in left_out.items()}
    return total, {name: names[name] for name in sorted(names) if name not in ELEMENTWISE}


def _shape(value: Any) -> list[int]:
    sizes = value.type().sizes()
    if sizes is None:
        raise ValueError("a tensor of unknown shape")
    return list(sizes)


def _matrices(values: list[Any]) -> int:
    """Elements of all weight matrices among the values, those in lists too."""
    total = 0
    for value in values:
        if value.node().kind() == "prim::ListConstruct":
            total += _matrices(list(value.node().inputs()))
        elif value.isCompleteTensor() and len(_shape(value)) == 2:
            total += math.prod(_shape(value))
    return total


def _recurrent(inputs: list[Any], _outputs: list[Any]) -> int:
    """LSTM, GRU, RNN: every weight matrix is applied once for each step of each sequence."""
    shape = _shape(inputs[0])
    # A second tensor instead of a list or a state: the steps per batch of a packed sequence.
    lists = [v for v in inputs[1:] if v.node().kind() == "prim::ListConstruct"]
    return math.prod(shape[:-1]) * _matrices(lists[-1:])


def _recurrent_cell(inputs: list[Any], _outputs: list[Any]) -> int:
    """One step: the weight matrices are the third and fourth input."""
    return math.prod(_shape(inputs[0])[:-1]) * _matrices(list(inputs[2:4]))


def _attention(inputs: list[Any], _outputs: list[Any]) -> int:
    """Scaled dot-product attention: queries with keys, then weights with values."""
    query, key, value = (_shape(v) for v in inputs[:3])
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _added_product(inputs: list[Any], _outputs: list[Any]) -> int:
    """``baddbmm``: (b, n, m) with (b, m, p)."""
    left, right = _shape(inputs[1]), _shape(inputs[2])
    return math.prod(left) * right[-1]


def _matrix_vector(inputs: list[Any], _outputs: list[Any]) -> int:
    return math.prod(_shape(inputs[0]))


def _einsum(inputs: list[Any], _outputs: list[Any]) -> int:
    equation = str(inputs[0].toIValue())
    shapes = [_shape(v) for v in inputs[1].node().inputs()]
    return contraction_macs(equation, shapes)


def contraction_macs(equation: str, shapes: list[list[int]]) -> int:
    """Multiply-accumulates of an einsum, whose operands are contracted from left to right.

    Args:
        equation: as ``torch.einsum`` takes it; ellipses and implicit outputs included.
        shapes: of the operands.
    """
    left, arrow, output = equation.replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    terms: list[frozenset[str]] = []
    for term, shape in zip(left.split(","), shapes, strict=True):
        labels = _labels(term, len(shape))
        sizes |= {k: max(sizes.get(k, 1), n) for k, n in zip(labels, shape, strict=True)}
        terms.append(frozenset(labels))
    if arrow:
        wanted = set(_labels(output, None)) | {k for k in sizes if k.isdigit()}
    else:
        flat = left.replace("...", "")
        wanted = {k for k in sizes if k.isdigit() or flat.count(k) == 1}
    total, held = 0, terms[0]
    for number, following in enumerate(terms[1:], 1):
        together = held | following
        total += math.prod(sizes[k] for k in together)
        later = wanted | frozenset().union(*terms[number + 1 :])
        held = together & later
    return total


def _labels(term: str, dimensions: int | None) -> list[str]:
    """One name a dimension; those of an ellipsis are numbered from the right."""
    before, dots, after = term.partition("...")
    if not dots:
        return list(before)
    hidden = 0 if dimensions is None else dimensions - len(before) - len(after)
    return [*before, *(str(n) for n in range(hidden, 0, -1)), *after]


Handle = Callable[[list[Any], list[Any]], int]
HANDLES: dict[str, Handle] = {
    "aten::lstm": _recurrent,
    "aten::gru": _recurrent,
    "aten::rnn_tanh": _recurrent,
    "aten::rnn_relu": _recurrent,
    "aten::lstm_cell": _recurrent_cell,
    "aten::gru_cell": _recurrent_cell,
    "aten::rnn_tanh_cell": _recurrent_cell,
    "aten::rnn_relu_cell": _recurrent_cell,
    "aten::scaled_dot_product_attention": _attention,
    "aten::baddbmm": _added_product,
    "aten::mv": _matrix_vector,
    "aten::einsum": _einsum,
}
