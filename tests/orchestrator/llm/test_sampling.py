"""One token from one row of logits."""

from __future__ import annotations

import torch

from orchestrator.llm.sampling import sample


def draw(logits: torch.Tensor, temperature: float, top_p: float, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(1)
    return [sample(logits, temperature, top_p, generator) for _ in range(count)]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draw(torch.tensor([0.0, 3.0, 1.0]), 0.0, 0.9, 5) == [1] * 5


def test_tokens_come_as_often_as_the_softmax_says() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0])
    for temperature in (0.5, 1.0):
        expected = torch.softmax(logits / temperature, 0)
        drawn = torch.bincount(torch.tensor(draw(logits, temperature, 1.0, 4000)), minlength=3)
        assert torch.allclose(drawn / 4000, expected, atol=0.03)


def test_the_nucleus_is_the_least_set_that_holds_its_probability() -> None:
    logits = torch.log(torch.tensor([0.1, 0.5, 0.3, 0.1]))
    assert set(draw(logits, 1.0, 0.79, 500)) == {1, 2}
    assert set(draw(logits, 1.0, 0.4, 500)) == {1}
    assert set(draw(logits, 1.0, 1.0, 500)) == {0, 1, 2, 3}


def test_a_flat_row_wider_than_the_shortcut_is_sampled_whole() -> None:
    drawn = draw(torch.zeros(5000), 1.0, 0.95, 300)
    assert max(drawn) < 5000
    assert len(set(drawn)) > 250


def test_the_same_seed_draws_the_same() -> None:
    logits = torch.randn(1000, generator=torch.Generator().manual_seed(3))
    assert draw(logits, 0.8, 0.95, 20) == draw(logits, 0.8, 0.95, 20)
