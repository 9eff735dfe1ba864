"""What the live view's panels say: each function turns a run's progress into rows."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.cells import set_cell_size
from rich.style import Style

from orchestrator.progress import Committed, RunProgress
from orchestrator.view.colours import (
    BEST,
    BLUE,
    BOLD,
    DIM,
    GREEN,
    LABEL,
    WARNING,
    outcome_style,
    styled,
)
from orchestrator.view.picture import scale_of
from orchestrator.view.rows import Part, Row, bar, row, solid_bar
from orchestrator.view.words import NOTHING, clip, count, duration, harmless, number, short_seconds

_SHORT = {"seed": "seed", "initial": "init", "mutation": "mut", "crossover": "cross"}

_VERTICAL = " ▁▂▃▄▅▆▇█"


def llm_name(progress: RunProgress) -> Part:
    """The LLM; said plainly where it is no language model."""
    name = harmless(progress.llm, 60)
    if progress.is_language_model:
        return (name, BOLD)
    return (f"{name} (no language model)", WARNING)


def header(progress: RunProgress, width: int, with_model: bool = True) -> Row:
    """Which run this is, and how long it takes."""
    wide = width >= 100
    model: list[Part] = [(" · LLM ", DIM), llm_name(progress)] if with_model else []
    clock: list[Part] = [(duration(progress.elapsed), BOLD), (" elapsed" if wide else "", DIM)]
    if progress.remaining is not None and width >= 48:
        clock += [
            (", about " if wide else ", ", DIM),
            (duration(progress.remaining), BOLD),
            (" left", DIM),
        ]
    name: list[Part] = [(" llmatic-orch ", LABEL + BOLD)] if wide else []
    return row(
        [
            *name,
            (f" {harmless(progress.plugin, 60)}", BOLD),
            *model,
            (f" · {harmless(progress.run, 120)}", DIM),
        ],
        width,
        [*clock, " "],
    )


def model_line(progress: RunProgress, width: int) -> Row:
    """The LLM and its speed on one line."""
    speed = progress.tokens_per_second
    parts: list[Part] = [("LLM".ljust(12), DIM), llm_name(progress)]
    if speed is not None:
        parts.append((f"  {speed:.1f} tokens/s", DIM))
    return row(parts, width)


def footer(progress: RunProgress, width: int, said: str = "") -> Row:
    """What is going on, and how to leave."""
    message = harmless(progress.message or said, 300)
    hint: list[Part] = [("Ctrl-C stops, ", DIM), ("resume", LABEL), (" goes on ", DIM)]
    return row([(f" {message}", WARNING)], width, hint if width >= 60 else ())


def _counted(label: str, done: int, total: int, width: int) -> Row:
    amount = f"{done}/{total}"
    space = width - 12 - 10
    share = done / total if total else 0.0
    return row(
        [(label.ljust(11), DIM), " ", *bar(share, max(space, 4), styled(BLUE), styled(GREEN))],
        width,
        [(amount, BOLD)],
    )


def budget(progress: RunProgress, width: int) -> list[Row]:
    """How far the run and its current generation are."""
    batch = progress.batch
    finished = max(progress.generation - 1, 0) + (progress.committed / batch if batch else 0.0)
    share = finished / progress.generations if progress.generations else 0.0
    rows = [
        row(
            [
                ("generation".ljust(11), DIM),
                " ",
                *bar(share, max(width - 22, 4), styled(BLUE), styled(GREEN)),
            ],
            width,
            [(f"{progress.generation}/{progress.generations}", BOLD)],
        ),
        _counted("written", progress.written, batch, width),
        _counted("evaluated", progress.evaluated, batch, width),
        _counted("committed", progress.committed, batch, width),
    ]
    if progress.max_evaluations:
        rows.append(
            _counted("unique", progress.unique_evaluations, progress.max_evaluations, width)
        )
    if progress.max_hours:
        limit = progress.max_hours * 3600
        rows.append(
            row(
                [
                    ("time".ljust(11), DIM),
                    " ",
                    *bar(progress.elapsed / limit, max(width - 22, 4), styled(BLUE)),
                ],
                width,
                [(duration(limit), BOLD)],
            )
        )
    return rows


def best(progress: RunProgress, width: int, height: int) -> list[Row]:
    """The fittest network, beside the seed network, and how it came to be."""
    found, seed = progress.best, progress.seed_fitness
    if found is None or found.fitness is None:
        first: list[Part] = [("nothing evaluated yet", DIM)]
        if seed is not None:
            first.append((f"   seed {number(seed)}", DIM))
        return [row(first, width)]
    first = [(number(found.fitness), BEST)]
    if seed is not None:
        change = found.fitness - seed
        first += [(f"   seed {number(seed)}, ", DIM), (f"{change:+.2f}", styled(GREEN, True))]
    elite = next((e for e in progress.networks.elites() if e.candidate == found.number), None)
    where = f" · cell {elite.cell}" if elite else ""
    rows = [
        row(first, width),
        row(
            [
                (f"candidate {found.number}", BOLD),
                (f" · generation {found.generation}{where} · {harmless(found.operator, 20)}", DIM),
            ],
            width,
        ),
    ]
    title = harmless(found.title or found.prompt)
    if title:
        rows.append(row([title], width))
        if len(title) > width and height > 6:
            rows.append(row([title[width - 1 :]], width))
            rows[-2] = row([title[: width - 1]], width)
    room = height - len(rows)
    if room >= 1:
        rows += curve(progress, width, min(room, 10))
    return rows


def curve(progress: RunProgress, width: int, height: int) -> list[Row]:
    """Best fitness so far, a column per generation, on a scale of its own."""
    values = [value for value in progress.history if value is not None]
    # Of a few values none is an outlier.
    scale = scale_of(values, fenced=len(values) >= 8)
    if scale is None or len(progress.history) < 2:
        return []
    low, high = f"{'≤' if scale.clipped else ''}{number(scale.low)}", number(scale.high)
    margin = max(len(low), len(high)) + 1 if height > 1 else 0
    room = width - margin
    history = list(progress.history)
    if len(history) > room:
        # The curve never falls, so the last of each group is its best.
        picked = [(i + 1) * len(history) // room - 1 for i in range(room)]
        history = [history[i] for i in picked]
    column = max(1, min(4, room // max(len(history), progress.generations + 1)))
    span = scale.high - scale.low
    levels = []
    for value in history:
        share = 1.0 if span <= 0 else 0.0
        if value is not None and span > 0:
            share = min(max((value - scale.low) / span, 0.0), 1.0)
        # The lowest value still shows as a line.
        levels.append(0 if value is None else 1 + round(share * (8 * height - 1)))
    rows = []
    for line in range(height):
        floor = 8 * (height - 1 - line)
        drawn = "".join(_VERTICAL[min(max(level - floor, 0), 8)] * column for level in levels)
        tick = high if line == 0 else low if line == height - 1 else ""
        parts: list[Part] = [(tick.rjust(margin - 1) + " ", DIM)] if margin else []
        rows.append(row([*parts, (drawn, styled(GREEN))], width))
    return rows


def language_model(progress: RunProgress, width: int) -> list[Row]:
    """What writes the candidates, how fast, and how much it has read and written."""
    speed = progress.tokens_per_second
    label = 11 if width >= 40 else 8
    rows = [row([llm_name(progress)], width)]
    if not progress.is_language_model:
        rows.append(row([("random valid edits: a control", DIM)], width))
        rows.append(row([("at work".ljust(label), DIM), duration(progress.llm_seconds)], width))
        return rows
    rows.append(
        row([("speed".ljust(label), DIM), (number(speed, 1), BOLD), (" tokens/s", DIM)], width)
    )
    rows.append(
        row(
            [
                ("tokens".ljust(label), DIM),
                (count(progress.tokens_in), BOLD),
                (" in  ", DIM),
                (count(progress.tokens_out), BOLD),
                (" out", DIM),
            ],
            width,
        )
    )
    rows.append(
        row(
            [("at work".ljust(label), DIM), duration(progress.llm_seconds)],
            width,
        )
    )
    return rows


def outcome_total(progress: RunProgress) -> int:
    """Candidates with an outcome, duplicates included."""
    return sum(progress.outcomes.values()) + progress.duplicates


def outcomes(progress: RunProgress, width: int, height: int) -> list[Row]:
    """How many candidates ended how, the frequent first; duplicates apart."""
    total = outcome_total(progress)
    if not total:
        return [row([("no candidate yet", DIM)], width)]
    counted: list[tuple[str, int, Style]] = [
        (kind.value, amount, outcome_style(kind))
        for kind, amount in sorted(progress.outcomes.items(), key=lambda item: -item[1])
        if amount
    ]
    if progress.duplicates:
        counted.append(("duplicates", progress.duplicates, styled(BLUE)))
    counted.sort(key=lambda item: -item[1])
    if len(counted) > height >= 1:
        rest = counted[height - 1 :]
        counted = counted[: height - 1]
        counted.append((f"{len(rest)} more kinds", sum(amount for _, amount, _ in rest), DIM))
    label = min(18, max(len(name) for name, _, _ in counted) + 1)
    digits = max(len(count(amount)) for _, amount, _ in counted)
    chart = max(width - label - digits - 7, 0)
    most = max(amount for _, amount, _ in counted)
    return [
        row(
            [name.ljust(label), (solid_bar(amount / most, chart), style)],
            width,
            [(count(amount).rjust(digits), BOLD), (f" {100 * amount / total:3.0f} %", DIM)],
        )
        for name, amount, style in counted
    ]


def outcomes_line(progress: RunProgress, width: int) -> Row:
    """The same on one line."""
    parts: list[Part] = [(" outcomes  ", DIM)]
    for kind, amount in sorted(progress.outcomes.items(), key=lambda item: -item[1]):
        if amount:
            parts += [(f"{kind.value} ", outcome_style(kind)), (f"{count(amount)}  ", BOLD)]
    if progress.duplicates:
        parts += [("duplicates ", styled(BLUE)), (count(progress.duplicates), BOLD)]
    return row(parts if len(parts) > 1 else [*parts, (NOTHING, DIM)], width)


def slots(progress: RunProgress, width: int, height: int) -> list[Row]:
    """What every sandbox slot is doing, and for how long."""
    now = time.monotonic()
    shown = list(progress.slots)
    if not shown:
        return [row([("not started", DIM)], width)]
    more = shown[height - 1 :] if len(shown) > height else []
    rows = []
    for slot in shown[: height - 1] if more else shown:
        idle = slot.phase == "idle"
        busy = styled(GREEN) if slot.phase != "starting" else styled(BLUE)
        rows.append(
            row(
                [
                    (f"{slot.slot:>2} ", DIM),
                    ("· " if idle else "█ ", DIM if idle else busy),
                    (harmless(slot.phase, 14).ljust(9), DIM if idle else None),
                    harmless(slot.tag, 40).removeprefix("candidate " if width < 38 else ""),
                ],
                width,
                [("" if idle else short_seconds(now - slot.since), DIM)],
            )
        )
    if more:
        busy_more = sum(slot.phase != "idle" for slot in more)
        rows.append(row([(f"{len(more)} more slots, {busy_more} busy", DIM)], width))
    return rows


def slots_line(progress: RunProgress, width: int) -> Row:
    """The same on one line."""
    now = time.monotonic()
    parts: list[Part] = [(" sandbox   ", DIM)]
    for slot in progress.slots:
        if slot.phase == "idle":
            parts.append((f"{slot.slot} idle   ", DIM))
            continue
        tag = harmless(slot.tag, 40).replace("candidate ", "")
        parts += [
            (f"{slot.slot} ", DIM),
            (harmless(slot.phase, 14), styled(GREEN)),
            f" {tag} ",
            (f"{short_seconds(now - slot.since)}   ", DIM),
        ]
    return row(parts if progress.slots else [*parts, ("not started", DIM)], width)


def status(candidate: Committed) -> tuple[str, Style | None]:
    """What became of a candidate, in a word or two."""
    if candidate.best and candidate.fitness is not None:
        return ("★ best", BEST)
    if candidate.duplicate_of is not None:
        return (f"= {candidate.duplicate_of}", styled(BLUE))
    if candidate.entered:
        return ("+ elite", styled(GREEN))
    return ("", None)


def recent(progress: RunProgress, width: int, height: int) -> list[Row]:
    """The latest candidates, newest first."""
    if not progress.recent:
        return [row([("no candidate yet", DIM)], width)]
    return [_candidate(c, width) for c in reversed(progress.recent[-height:])] if height else []


def _candidate(candidate: Committed, width: int) -> Row:
    kind = candidate.kind.value
    parts: list[Part] = [(f"{candidate.number:>5} ", DIM)]
    if width >= 90:
        temperature = f"{candidate.temperature:.2f}" if candidate.operator != "seed" else ""
        parts.append((f"{harmless(candidate.operator, 10):<10}{temperature:>4}  ", DIM))
    elif width >= 60:
        parts.append((f"{_SHORT.get(candidate.operator, '')[:5]:<6}", DIM))
    parts.append((f"{kind:<18}", outcome_style(candidate.kind)))
    shown = number(candidate.fitness) if candidate.fitness is not None else ""
    parts.append((f"{shown:>7} ", BEST if candidate.best else BOLD))
    text, style = status(candidate)
    parts.append((f"{text:<9}", style))
    what = harmless(candidate.title or candidate.reason)
    prompt = harmless(candidate.prompt)
    room = width - sum(len(part if isinstance(part, str) else part[0]) for part in parts)
    if room >= 110 and prompt:
        # Enough for what it is and what was asked for.
        taken = min(86, room * 2 // 3)
        parts += [set_cell_size(clip(what, taken), taken), ("  " + prompt, DIM)]
    else:
        parts.append((what or prompt, None if what else DIM))
    return row(parts, width)


def prompts(progress: RunProgress, width: int, height: int) -> list[Row]:
    """Collective fitness of each mutation prompt, the fittest first where not all fit."""
    scores: Sequence[int] = progress.prompt_fitness or [0] * len(progress.prompts)
    order = list(range(min(len(progress.prompts), len(scores))))
    if len(order) > height:
        order = sorted(order, key=lambda index: (-scores[index], index))[:height]
    most = max(scores, default=0)
    chart = 8
    return [
        row(
            [
                (f"{index:>2} ", DIM),
                (solid_bar(scores[index] / most if most else 0.0, chart), styled(GREEN)),
                (f"{scores[index]:>4} ", BOLD),
                (harmless(progress.prompts[index]), DIM),
            ],
            width,
        )
        for index in order
    ]
