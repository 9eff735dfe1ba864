"""One token from one row of logits."""

from __future__ import annotations

import torch

#: A nucleus nearly always lies within this many most likely tokens; sorting a whole vocabulary
#: of 150,000 takes longer than all the rest of the sampling.
_CANDIDATES = 512


def sample(
    logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator
) -> int:
    """A token by nucleus sampling (Holtzman et al., "The Curious Case of Neural Text
    Degeneration", 2020), temperature first; the likeliest one at temperature 0.

    Args:
        logits: shape ``(vocabulary,)``, float32, on the CPU.
        temperature: 0..1 or above.
        top_p: the least probability that the tokens kept must hold together.
        generator: the row's own; drawn from once, whatever the logits.
    """
    if temperature <= 0:
        return int(logits.argmax())
    scaled = torch.softmax(logits / temperature, dim=-1)
    count = min(_CANDIDATES, scaled.numel())
    likely, tokens = torch.topk(scaled, count)
    if float(likely.sum()) < top_p:
        likely, tokens = torch.sort(scaled, descending=True)
    kept = likely.cumsum(0) - likely < top_p
    kept[0] = True
    ladder = (likely * kept).cumsum(0)
    draw = torch.rand((), generator=generator, dtype=torch.float64) * ladder[-1]
    place = int(torch.searchsorted(ladder, draw.to(ladder.dtype), right=True))
    return int(tokens[min(place, int(kept.sum()) - 1)])
