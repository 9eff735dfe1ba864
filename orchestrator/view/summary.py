"""What came of a run, in a few facts: at the end of a search, and for ``show RUN``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.rule import Rule
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from orchestrator.archives import Archive
from orchestrator.progress import RunProgress
from orchestrator.view.colours import BOLD, DIM, LABEL, WARNING
from orchestrator.view.picture import ArchivePicture, describe, network_picture, prompt_picture
from orchestrator.view.words import NOTHING, count, duration, harmless, number, to_ascii
from plugins.contract import Descriptor

#: Below this width the two pictures stand one below the other.
_SIDE_BY_SIDE = 76


def progress_summary(progress: RunProgress) -> dict[str, Any]:
    """The facts of a run as :func:`facts` takes them, from its progress."""
    best = progress.best
    return {
        "run": progress.run,
        "plugin": progress.plugin,
        "llm": progress.llm,
        "is_language_model": progress.is_language_model,
        "generation": progress.generation,
        "generations": progress.generations,
        "batch": progress.batch,
        "candidates": sum(progress.outcomes.values()) + progress.duplicates,
        "unique_evaluations": progress.unique_evaluations,
        "duplicates": progress.duplicates,
        "outcomes": {kind.value: amount for kind, amount in progress.outcomes.items()},
        "best": {
            "candidate": best.number,
            "generation": best.generation,
            "fitness": best.fitness,
            "title": best.title,
        }
        if best is not None
        else None,
        "seed_fitness": progress.seed_fitness,
        "networks": describe(progress.networks),
        "prompts": describe(progress.prompt_archive),
        "tokens_in": progress.tokens_in,
        "tokens_out": progress.tokens_out,
        "tokens_per_second": progress.tokens_per_second,
        "elapsed": progress.elapsed,
    }


def facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Labels and values, in the order in which a person wants them; all harmless text.

    Args:
        summary: any of ``run``, ``state``, ``finished`` (the budget that was spent; empty: the run
            was stopped), ``when`` or ``created`` (text), ``plugin``, ``llm``,
            ``is_language_model``, ``fitness_split``, ``generation``, ``generations``, ``batch``,
            ``candidates``, ``unique_evaluations``, ``duplicates``, ``outcomes`` (kind ->
            count), ``best`` (mapping: ``candidate``, ``generation``, ``fitness``, ``test``,
            ``title``, ``cell``), ``seed_fitness``, ``networks`` and ``prompts`` (texts, see
            :func:`orchestrator.view.picture.describe`), ``tokens_in``, ``tokens_out``,
            ``tokens_per_second``, ``elapsed`` (seconds). What is absent or None is left out.
    """
    get = summary.get
    found: list[tuple[str, str | None]] = [
        ("run", _text(get("run"))),
        ("state", _state(summary)),
        ("when", _text(get("when") or get("created"))),
        ("plugin", _text(get("plugin"))),
        ("LLM", _llm(summary)),
        ("fitness", _text(get("fitness_split"))),
        ("generations", _generations(summary)),
        ("candidates", _candidates(summary)),
        ("outcomes", _outcomes(get("outcomes"))),
        ("best", _best(get("best"), get("seed_fitness"))),
        ("networks", _text(get("networks"))),
        ("prompts", _text(get("prompts"))),
        ("tokens", _tokens(summary)),
        ("time", None if get("elapsed") is None else duration(get("elapsed"))),
    ]
    return [(label, value) for label, value in found if value]


def _state(summary: Mapping[str, Any]) -> str | None:
    spent = summary.get("finished")
    if spent:
        budget = harmless(spent).removeprefix("max_")
        return f"finished: the budget of {budget} is spent"
    if summary.get("state") is None:
        return None if spent is None else "stopped"
    return harmless(summary["state"])


def _text(value: Any) -> str | None:
    return None if value is None else harmless(value)


def _llm(summary: Mapping[str, Any]) -> str | None:
    name = _text(summary.get("llm"))
    if name is not None and summary.get("is_language_model") is False:
        name += " (no language model)"
    return name


def _generations(summary: Mapping[str, Any]) -> str | None:
    done, of, batch = (summary.get(k) for k in ("generation", "generations", "batch"))
    if done is None:
        return None
    text = str(done) if of is None else f"{done} of {of}"
    return text if batch is None else f"{text}, {batch} candidates each"


def _candidates(summary: Mapping[str, Any]) -> str | None:
    total = summary.get("candidates")
    if total is None:
        return None
    text = count(total)
    for key, label in (("unique_evaluations", "unique evaluations"), ("duplicates", "duplicates")):
        if summary.get(key) is not None:
            text += f", {count(summary[key])} {label}"
    return text


def _outcomes(outcomes: Mapping[str, int] | None) -> str | None:
    if not outcomes:
        return None
    ordered = sorted(outcomes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count(amount)} {harmless(kind)}" for kind, amount in ordered if amount)


def _best(best: Mapping[str, Any] | None, seed: float | None) -> str | None:
    if not best or best.get("fitness") is None:
        return "nothing evaluated" if best is not None else None
    parts = [f"{number(best['fitness'])}"]
    if best.get("test") is not None:
        parts.append(f"test {number(best['test'])}")
    if seed is not None:
        parts.append(f"seed {number(seed)}")
    made_by = best.get("candidate", best.get("number"))
    if made_by is not None:
        parts.append(f"candidate {made_by}")
    if best.get("generation") is not None:
        parts.append(f"generation {best['generation']}")
    if best.get("cell") is not None:
        parts.append(f"cell {best['cell']}")
    text = ", ".join(parts)
    return f"{text}: {harmless(best['title'])}" if best.get("title") else text


def _tokens(summary: Mapping[str, Any]) -> str | None:
    read, written = summary.get("tokens_in"), summary.get("tokens_out")
    if not read and not written:
        return None
    text = f"{count(read or 0)} in, {count(written or 0)} out"
    speed = summary.get("tokens_per_second")
    return f"{text}, {speed:.1f} tokens/s" if speed is not None else text


def facts_table(pairs: Sequence[tuple[str, str]]) -> Table:
    """Labels and values as two columns; long values are folded."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in pairs:
        style = WARNING if value.endswith("(no language model)") else None
        if label == "best":
            style = BOLD
        table.add_row(Text(label, style=LABEL), Text(value, style=style or ""))
    return table


def pictures(
    networks: Archive, descriptors: Sequence[Descriptor], prompt_archive: Archive, prompts: int
) -> RenderableType:
    """Both archives as pictures, side by side where there is room, each with a heading."""
    return _Pictures(
        (
            f"networks: {describe(networks)}",
            lambda height: network_picture(networks, descriptors, height=height),
        ),
        (
            f"prompts: {describe(prompt_archive)}",
            lambda height: prompt_picture(prompt_archive, prompts, height=height),
        ),
    )


class _Pictures:
    def __init__(self, *parts: tuple[str, Callable[[int], ArchivePicture]]) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= _SIDE_BY_SIDE
        grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        width = (options.max_width - 2) // 2 if wide else options.max_width
        # Square to the eye, and on one screen with what stands below.
        height = max(min(width // 2, 24, options.size.height - 18), 14)
        width = min(width, max(2 * height + 6, 36))
        columns = [
            Group(Text(heading, style=DIM, no_wrap=True, overflow="ellipsis"), draw(height))
            for heading, draw in self._parts
        ]
        if wide:
            for _ in columns:
                grid.add_column(width=width)
            grid.add_row(*columns)
        else:
            grid.add_column(width=width)
            for column in columns:
                grid.add_row(column)
        yield grid


def final_summary(progress: RunProgress, summary: Mapping[str, Any]) -> RenderableType:
    """What a live view leaves behind: both archives, and the facts.

    Args:
        progress: the run's last state.
        summary: facts that replace or add to those of the progress, see :func:`facts`.
    """
    return Shown(
        Group(
            Rule(Text("llmatic-orch", style=LABEL), style=DIM),
            pictures(
                progress.networks,
                progress.descriptors,
                progress.prompt_archive,
                len(progress.prompts),
            ),
            Text(),
            facts_table(facts(_merged(progress, summary))),
        )
    )


def plain_summary(progress: RunProgress, summary: Mapping[str, Any]) -> list[str]:
    """The same facts as lines."""
    pairs = facts(_merged(progress, summary))
    return [f"{label + ':':<13}{value}" for label, value in pairs] or [NOTHING]


def _merged(progress: RunProgress, summary: Mapping[str, Any]) -> dict[str, Any]:
    """What both know. The search's summary counts finished generations under ``generations``."""
    own = progress_summary(progress)
    done = summary.get("generations", own["generation"])
    return {**own, **summary, "generation": done, "generations": own["generations"]}


class Shown:
    """Anything of ours, put into ASCII where the console knows nothing else."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not options.ascii_only:
            yield self._renderable
            return
        segments: list[Segment] = list(console.render(self._renderable, options))
        yield from to_ascii(segments)
