"""Multiply-accumulates, against closed forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sandbox.guest.macs import contraction_macs, count_macs


class Of(nn.Module):
    """A network of one function, and modules for it."""

    def __init__(self, function: Any, *modules: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self._function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self._function(x, *self.parts)


@pytest.mark.parametrize(
    ("network", "shape", "macs"),
    [
        # Every 3x3 window of 8x8 pixels, 2 to 5 channels.
        (nn.Conv2d(2, 5, 3, padding=1), (1, 2, 8, 8), 8 * 8 * 9 * 2 * 5),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), (1, 4, 8, 8), 8 * 8 * 9 * 4),
        (nn.Linear(10, 3), (1, 10), 30),
        # Four gates; input and state. Both directions, two layers, the second on both outputs.
        (Of(lambda x, m: m(x)[0], nn.LSTM(6, 5)), (7, 1, 6), 7 * 4 * 5 * (6 + 5)),
        (
            Of(lambda x, m: m(x)[0], nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True)),
            (1, 7, 6),
            7 * 2 * 4 * 5 * ((6 + 5) + (10 + 5)),
        ),
        (Of(lambda x, m: m(x)[0], nn.GRU(6, 5)), (7, 1, 6), 7 * 3 * 5 * (6 + 5)),
        (Of(lambda x, m: m(x)[0], nn.RNN(6, 5, bias=False)), (7, 1, 6), 7 * 5 * (6 + 5)),
        (
            Of(lambda x, m: m(x)[0], nn.RNN(6, 5, nonlinearity="relu")),
            (7, 1, 6),
            7 * 5 * (6 + 5),
        ),
        (Of(lambda x, m: m(x)[0], nn.LSTMCell(6, 5)), (1, 6), 4 * 5 * (6 + 5)),
        (Of(lambda x, m: m(x), nn.GRUCell(6, 5)), (1, 6), 3 * 5 * (6 + 5)),
        # 7 tokens of 8 features, 2 heads: in, attention twice, out.
        (
            Of(lambda x, m: m(x, x, x)[0], nn.MultiheadAttention(8, 2, batch_first=True)),
            (1, 7, 8),
            7 * 8 * 24 + 2 * 7 * 7 * 8 + 7 * 8 * 8,
        ),
        (
            Of(lambda x: nn.functional.scaled_dot_product_attention(x, x, x)),
            (1, 2, 7, 4),
            2 * 7 * 7 * (4 + 4),
        ),
        (Of(lambda x: torch.einsum("bi,bj->bij", x, x)), (3, 4), 3 * 4 * 4),
        (Of(lambda x: torch.einsum("...i,ji->...j", x, x[0])), (2, 3, 4), 2 * 3 * 3 * 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_what_a_layer_costs(network: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert count_macs(network.eval(), torch.randn(shape)) == (macs, {})


def test_attention_in_an_encoder_is_counted_whether_or_not_it_needs_gradients() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    counted, uncounted = count_macs(encoder, torch.randn(1, 7, 8))
    attention = 7 * 8 * 24 + 2 * 7 * 7 * 8 + 7 * 8 * 8
    # Two linear maps, and two normalisations, which fvcore counts at five an element.
    assert counted == attention + 2 * 7 * 8 * 16 + 2 * 5 * 7 * 8
    assert uncounted == {}
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_is_not_counted_is_named() -> None:
    network = Of(lambda x: torch.cdist(x, x) @ torch.linalg.inv(x.mT @ x))
    counted, uncounted = count_macs(network, torch.randn(1, 3, 3))
    assert counted == 27 + 27
    assert uncounted["cdist"] == 1
    assert "relu" not in count_macs(nn.ReLU(), torch.randn(1, 3))[1]


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("ij,jk->ik", [[2, 3], [3, 5]], 30),
        ("ij,jk", [[2, 3], [3, 5]], 30),
        ("bij,bjk->bik", [[4, 2, 3], [4, 3, 5]], 120),
        # From left to right: (ij,jk -> ik), then (ik,kl -> il).
        ("ij,jk,kl->il", [[2, 3], [3, 5], [5, 7]], 30 + 70),
        ("...ij,...jk->...ik", [[6, 4, 2, 3], [4, 3, 5]], 6 * 4 * 30),
        ("ii->i", [[3, 3]], 0),
    ],
)
def test_a_contraction_costs_the_product_of_its_indices(
    equation: str, shapes: list[list[int]], macs: int
) -> None:
    assert contraction_macs(equation, shapes) == macs
