"""A made-up run that looks like a real one: what the view's tests and its benchmark draw.

Run as a script, ``python -m tests.orchestrator.view.made_up_run [SECONDS [RATE]]`` shows it live.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import replace
from functools import cache

import numpy as np

from orchestrator.archives import Archive, make_centroids, normalise
from orchestrator.progress import Committed, RunProgress
from plugins.contract import Descriptor
from sandbox.executor import SlotState
from sandbox.outcome import OutcomeKind

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
DESCRIPTORS = (
    Descriptor("width_to_depth", "width / depth", 0.9, 3.2),
    Descriptor("flops", "MACs", 7.78e6, 220.1e6, "MACs"),
)
PROMPTS = tuple(
    f"{verb} {what} to improve the above network"
    for verb in ("Add", "Delete a layer and add")
    for what in ("ReLU, 3x3 convolutional layer", "1x1 convolutional layer", "a skip connection")
)
FAULTS = {
    OutcomeKind.NOT_REPRESENTABLE: "Conv2d with kernel size 5: only 1 and 3 have an edge",
    OutcomeKind.SYNTAX_ERROR: "line 14: '(' was never closed",
    OutcomeKind.FORWARD_ERROR: "NameError: name 'node2' is not defined",
    OutcomeKind.WRONG_SHAPE: "expected (2, 16, 32, 32), found (2, 32, 32, 32)",
    OutcomeKind.TIMED_OUT: "no report within 20 s",
}


@cache
def _centroids(seed: int) -> np.ndarray:
    return make_centroids(100, 2000, seed)


def empty_run(**changes) -> RunProgress:
    """A run in which nothing has happened yet."""
    progress = RunProgress(
        run="runs/2026-11-24-nasbench201-cifar10",
        plugin="nasbench201 cifar10",
        llm="qwen2.5-coder-1.5b",
        is_language_model=True,
        descriptors=DESCRIPTORS,
        prompts=PROMPTS,
        generations=20,
        batch=100,
        networks=Archive(_centroids(1)),
        prompt_archive=Archive(_centroids(2)),
        history=[None],
        prompt_fitness=[0] * len(PROMPTS),
    )
    for name, value in changes.items():
        setattr(progress, name, value)
    return progress


def architecture(rng: random.Random) -> str:
    names = [rng.choice(OPERATIONS) for _ in range(6)]
    edges = [f"{name}~{i}" for name, i in zip(names, (0, 0, 1, 0, 1, 2), strict=True)]
    return f"|{edges[0]}|+|{edges[1]}|{edges[2]}|+|{edges[3]}|{edges[4]}|{edges[5]}|"


#: The seed network, as it is committed before all others.
SEED = Committed(
    number=0,
    generation=0,
    operator="seed",
    prompt="",
    temperature=0.0,
    kind=OutcomeKind.OK,
    reason="",
    fitness=54.32,
    title="|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|",
    duplicate_of=None,
    entered=True,
    best=True,
)


class MadeUpRun:
    """Commits made-up candidates one by one, as a search does; the seed network is in already."""

    def __init__(self, seed: int = 0, slots: int = 2, **changes) -> None:
        self.progress = empty_run(seed_fitness=54.32, generation=1, operator="initial", **changes)
        self.progress.history = [54.32, 54.32]
        self._rng = random.Random(seed)
        self._number = 0
        self._slots = slots

    def step(self) -> Committed:
        p, rng = self.progress, self._rng
        if p.committed >= p.batch:
            p.generation += 1
            p.operator = rng.choice(("mutation", "mutation", "crossover"))
            p.written = p.evaluated = p.committed = 0
            p.history.append(p.history[-1])
        self._number += 1
        p.written = min(p.batch, max(p.written, p.committed + rng.randint(2, 16)))
        p.evaluated = min(p.written, p.committed + rng.randint(1, 3))
        p.committed += 1
        p.evaluated = max(p.evaluated, p.committed)
        candidate = self._candidate()
        p.recent = [*p.recent, candidate][-60:]
        p.tokens_in += 900
        tokens = rng.randint(80, 260)
        p.tokens_out += tokens
        p.llm_seconds += tokens / 41.0
        p.elapsed += 1.7
        p.remaining = max(p.generations * p.batch - self._number, 0) * 1.7
        now = time.monotonic()
        if not p.slots or rng.random() < 0.4:
            phases = ("running", "running", "running", "starting", "idle")
            p.slots = [
                SlotState(
                    slot,
                    phase := rng.choice(phases),
                    "" if phase == "idle" else f"candidate {self._number + slot + 1}",
                    now - rng.random() * 4,
                )
                for slot in range(self._slots)
            ]
        return candidate

    def _candidate(self) -> Committed:
        p, rng = self.progress, self._rng
        prompt = rng.randrange(len(p.prompts))
        fault = rng.random() < 0.22
        candidate = Committed(
            number=self._number,
            generation=p.generation,
            operator=p.operator,
            prompt=p.prompts[prompt],
            temperature=round(rng.uniform(0.3, 0.9), 2),
            kind=OutcomeKind.OK,
            reason="",
            fitness=None,
            title="",
            duplicate_of=None,
            entered=False,
            best=False,
        )
        if self._number > 5 and rng.random() < 0.18:
            earlier = rng.randrange(self._number)
            p.duplicates += 1
            return replace(
                candidate,
                duplicate_of=earlier,
                fitness=rng.uniform(60, 88),
                title=architecture(rng),
            )
        if fault:
            kind = rng.choices(list(FAULTS), weights=(8, 4, 3, 2, 1))[0]
            p.outcomes[kind] += 1
            return replace(candidate, kind=kind, reason=FAULTS[kind])
        x, y = rng.betavariate(1.6, 2.2), rng.betavariate(1.4, 2.0)
        fitness = min(91.6, 62 + 27 * y**0.4 + rng.gauss(0, 2.2) - 6 * abs(x - 0.4))
        if rng.random() < 0.04:
            fitness = 10.0
        p.outcomes[OutcomeKind.OK] += 1
        p.unique_evaluations += 1
        entered = p.networks.add(self._number, fitness, (x, y))
        better = p.best is None or fitness > p.best.fitness
        if better:
            p.prompt_fitness[prompt] += 1
        p.prompt_archive.add(
            self._number,
            float(p.prompt_fitness[prompt]),
            (prompt / (len(p.prompts) - 1), normalise(candidate.temperature, 0, 1)),
        )
        candidate = replace(
            candidate, fitness=fitness, title=architecture(rng), entered=entered, best=better
        )
        if better:
            p.best = candidate
            p.history[-1] = fitness
        return candidate


def run_after(candidates: int, **changes) -> RunProgress:
    """A made-up run after so many candidates."""
    run = MadeUpRun(**changes)
    for _ in range(candidates):
        run.step()
    return run.progress


def main() -> None:
    from rich.console import Console

    from orchestrator.view.choose import choose_view

    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    run = MadeUpRun()
    view = choose_view(Console())
    view.start(run.progress)
    end = time.monotonic() + seconds
    due = time.monotonic()
    try:
        while time.monotonic() < end:
            if time.monotonic() >= due:
                view.committed(run.step())
                due += 1 / rate
            view.refresh()
            time.sleep(0.05)
    finally:
        view.stop({"state": "finished"})


if __name__ == "__main__":
    main()
