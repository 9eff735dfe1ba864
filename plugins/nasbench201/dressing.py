"""Which ReLU and BatchNorm belong to which convolution.

The benchmark's convolution edge is ReLU, Conv2d, BatchNorm2d. A source may leave out the ReLU or
the normalisation, or put them in another order, as long as each convolution has at most one of
each. What stands between two convolutions can belong to either, so the shares are solved for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from plugins.nasbench201.graph import NotRepresentable, Value

#: ReLU and BatchNorm applied to a value since the last operation: ("relu", 0), ("norm", 7) ...
Trail = tuple[tuple[str, int], ...]

_LABELS = {"relu": "ReLU", "norm": "BatchNorm2d"}


@dataclass(frozen=True)
class _Link:
    """What stands between a convolution and one use of its result (None: no convolution)."""

    trail: Trail
    user: int | None
    where: str


class Dressing:
    """Collects the uses of every convolution's result, then shares ReLU and BatchNorm out."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._before: dict[int, Trail] = {}
        self._links: dict[int, list[_Link]] = {}

    def extend(self, trail: Trail, value: Value, index: int) -> Trail:
        """A trail with one more ReLU or BatchNorm; a ReLU of a ReLU is the same ReLU."""
        if value.op == "relu":
            return trail if trail and trail[-1][0] == "relu" else (*trail, ("relu", 0))
        return (*trail, ("norm", index))

    def convolve(self, source: int | None, trail: Trail, conv: int, name: str) -> None:
        """A convolution on a value, which is the plain result of ``source`` or of none."""
        self._names[conv] = name
        self._links[conv] = []
        self._before[conv] = ()
        if source is None:
            self._before[conv] = trail
        else:
            self._links[source].append(_Link(trail, conv, name))

    def settle(self, source: int | None, trail: Trail, last: str, where: str) -> None:
        """The value goes into a sum, a pooling or the output, so its trail ends here.

        ``last`` names the last of the trail, for the reason.

        Raises:
            NotRepresentable: there is a trail, and no convolution that it can belong to.
        """
        if source is not None:
            self._links[source].append(_Link(trail, None, where))
        elif trail:
            raise NotRepresentable(
                "no_convolution",
                f"expected every ReLU and BatchNorm2d next to a convolution of its own; found "
                f"{_words(trail)} alone ({last}) in what goes into {where}: remove it, or put a "
                "Conv2d with it",
            )

    def solve(self) -> list[str]:
        """Shares ReLU and BatchNorm out; returns what was normalised, a line each.

        Raises:
            NotRepresentable: some convolution would need two of a kind, or be used both with
                and without them.
        """
        choices = [self._choices(conv) for conv in self._names]
        best: list[str] | None = None
        for choice in product(*choices):
            after = dict(zip(self._names, choice, strict=True))
            notes = self._notes(after)
            if notes is not None and (best is None or len(notes) < len(best)):
                best = notes
        if best is None:
            raise NotRepresentable("dressing", self._reason())
        return best

    def _choices(self, conv: int) -> list[Trail]:
        """What may belong to a convolution from behind: the same for all uses of its result."""
        links = self._links[conv]
        settled = {link.trail for link in links if link.user is None}
        if len(settled) > 1:
            raise NotRepresentable("dressing", self._reason(conv))
        if settled:
            (trail,) = settled
            return [trail]
        trail = links[0].trail if links else ()
        return [trail[:length] for length in range(min(len(trail), 2) + 1)]

    def _notes(self, after: dict[int, Trail]) -> list[str] | None:
        before = dict(self._before)
        for conv, links in self._links.items():
            mine = after[conv]
            for link in links:
                if link.trail[: len(mine)] != mine:
                    return None
                if link.user is not None:
                    before[link.user] = link.trail[len(mine) :]
        notes = []
        for conv, name in self._names.items():
            kinds = [k for k, _ in before[conv]], [k for k, _ in after[conv]]
            both = kinds[0] + kinds[1]
            if both.count("relu") > 1 or both.count("norm") > 1:
                return None
            if kinds != (["relu"], ["norm"]):
                found = [_LABELS[k] for k in kinds[0]] + ["Conv2d"] + [_LABELS[k] for k in kinds[1]]
                notes.append(f"{name}: {'-'.join(found)} normalised to ReLU-Conv2d-BatchNorm2d")
        return notes

    def _reason(self, conv: int | None = None) -> str:
        if conv is not None:
            return (
                f"expected one result of {self._names[conv]}; it is used both with and without "
                "the ReLU or BatchNorm2d behind it, which alone make no edge: use one of the two"
            )
        for conv in self._names:
            for trail in [self._before[conv], *(link.trail for link in self._links[conv])]:
                kinds = [kind for kind, _ in trail]
                for kind in ("relu", "norm"):
                    if kinds.count(kind) > 1:
                        return (
                            f"expected at most one ReLU and one BatchNorm2d per convolution; "
                            f"found {_words(trail)} next to {self._names[conv]}: remove one"
                        )
        names = ", ".join(self._names.values())
        return (
            "expected at most one ReLU and one BatchNorm2d for each convolution, and one result "
            f"of it; those around {names} cannot be shared out like that: use the order "
            "ReLU, Conv2d, BatchNorm2d for each"
        )


def _words(trail: Trail) -> str:
    return " and ".join(_LABELS[kind] for kind, _ in trail)
