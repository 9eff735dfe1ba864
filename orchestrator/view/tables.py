"""Tables and pages that the commands print: ``runs``, ``show RUN``, ``show RUN CANDIDATE``.

All take plain mappings, say which keys they know, and leave out what is absent or None. Whatever a
candidate wrote is made harmless here; callers hand it over as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.rule import Rule
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from orchestrator.archives import Archive
from orchestrator.view.colours import BEST, BLUE, BOLD, DIM, LABEL, WARNING, outcome_style, styled
from orchestrator.view.picture import Axis
from orchestrator.view.rows import solid_bar
from orchestrator.view.summary import Shown, facts, facts_table, pictures
from orchestrator.view.words import NOTHING, count, harmless, number, short
from plugins.contract import Descriptor
from sandbox.guest.printable import printable
from sandbox.outcome import OutcomeKind

#: More of a candidate's output or source than this is not shown.
_MOST_TEXT = 100_000


def _table(*columns: tuple[str, bool]) -> Table:
    """A table of these headings; True: numbers, to the right."""
    table = Table(box=box.SIMPLE_HEAD, header_style=LABEL, pad_edge=False)
    for heading, right in columns:
        table.add_column(
            Text(heading), justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    return table


def _cell(value: Any, style: Style | None = None) -> Text:
    return Text(NOTHING if value is None or value == "" else harmless(value), style=style or "")


def runs_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A line per run.

    Args:
        rows: each with any of ``run``, ``plugin``, ``llm``, ``is_language_model``, ``state``
            (``running``, ``finished``, ``stopped`` ...), ``generation``, ``generations``,
            ``candidates``, ``best`` (fitness), ``coverage`` (0..1, of the network archive),
            ``when`` (text).
    """
    return Shown(_Runs(rows)) if rows else Text("no runs yet", style=DIM)


#: Narrower than this, plugin and LLM stand below the run's name.
_WIDE_RUNS = 156


class _Runs:
    """The table of runs, in columns or, where there is less room, in two lines per run."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= _WIDE_RUNS
        numbers = (
            ("generations" if wide else "gen.", True),
            ("candidates" if wide else "cand.", True),
            ("best", True),
            ("coverage" if wide else "cov.", True),
        )
        table = (
            _table(("run", False), ("plugin", False), ("LLM", False), ("state", False), *numbers)
            if wide
            else _table(("run", False), ("state", False), *numbers)
        )
        if wide:
            table.add_column(Text("when"), no_wrap=True)
        for entry in self._rows:
            get = entry.get
            run, plugin, llm = _cell(get("run"), BOLD), _cell(get("plugin")), _llm(entry)
            done, of, coverage = get("generation"), get("generations"), get("coverage")
            names = [run, plugin, llm] if wide else [Text("\n").join([run, plugin, llm])]
            table.add_row(
                *names,
                _cell(get("state"), _STATES.get(str(get("state")))),
                _cell(None if done is None else f"{done}/{of}" if of is not None else done),
                _cell(None if get("candidates") is None else count(int(entry["candidates"]))),
                _cell(number(get("best")), BEST),
                _cell(None if coverage is None else f"{100 * coverage:.0f} %"),
                *([_cell(get("when"), DIM)] if wide else []),
                end_section=not wide,
            )
        yield table


def _llm(entry: Mapping[str, Any]) -> Text:
    text = _cell(entry.get("llm"))
    if entry.get("is_language_model") is False:
        text.append(" (no language model)", WARNING)
    return text


_STATES = {
    "running": styled(BLUE, bold=True),
    "finished": styled("#00b184"),
    "stopped": styled("#e69f00"),
}


def run_summary(
    summary: Mapping[str, Any],
    *,
    networks: Archive | None = None,
    prompt_archive: Archive | None = None,
) -> RenderableType:
    """A run on one page: the facts, both archives, outcome counts, the elites.

    Args:
        summary: what :func:`orchestrator.view.summary.facts` takes, and ``descriptors`` (a
            sequence of :class:`plugins.contract.Descriptor`), ``prompt_count``, and ``elites``
            (mappings, see :func:`elites_table`).
        networks: drawn if both archives are given, ``descriptors`` and ``prompt_count`` too.
        prompt_archive: likewise.
    """
    descriptors: Sequence[Descriptor] = summary.get("descriptors") or ()
    parts: list[RenderableType] = [
        facts_table([(k, v) for k, v in facts(summary) if k != "outcomes"])
    ]
    if networks is not None and prompt_archive is not None and len(descriptors) == 2:
        drawn = pictures(networks, descriptors, prompt_archive, summary.get("prompt_count") or 1)
        parts += [Text(), drawn]
    if summary.get("outcomes") or summary.get("duplicates"):
        parts += [
            Text(),
            outcomes_table(summary.get("outcomes") or {}, summary.get("duplicates") or 0),
        ]
    if summary.get("elites"):
        parts += [elites_table(summary["elites"], descriptors)]
    return Shown(Group(*parts))


def outcomes_table(outcomes: Mapping[str, int], duplicates: int = 0) -> RenderableType:
    """How many candidates ended how, with bars. ``outcomes`` is kind -> count."""
    counted = [(str(kind), amount, _kind_style(kind)) for kind, amount in outcomes.items()]
    counted.append(("duplicates", duplicates, styled(BLUE)))
    counted = sorted((c for c in counted if c[1]), key=lambda c: -c[1])
    total = sum(amount for _, amount, _ in counted)
    table = _table(("outcome", False), ("", False), ("candidates", True), ("share", True))
    for kind, amount, style in counted:
        table.add_row(
            _cell(kind),
            Text(solid_bar(amount / counted[0][1], 24), style=style),
            _cell(count(amount)),
            _cell(f"{100 * amount / total:.0f} %"),
        )
    return Shown(table)


def _kind_style(kind: str) -> Style:
    try:
        return outcome_style(OutcomeKind(kind))
    except ValueError:
        return DIM


def elites_table(
    elites: Sequence[Mapping[str, Any]], descriptors: Sequence[Descriptor] = ()
) -> RenderableType:
    """A line per elite, in the order given.

    Args:
        elites: each with any of ``cell``, ``number``, ``fitness``, ``test``, ``descriptors`` (one
            value per axis, in its own unit), ``title``.
        descriptors: the axes; their titles head the columns.
    """
    tested = any(elite.get("test") is not None for elite in elites)
    columns = [("cell", True), ("candidate", True), ("fitness", True)]
    columns += [("test", True)] if tested else []
    columns += [(Axis(d.label, d.low, d.high, d.unit).title, True) for d in descriptors]
    table = _table(*columns, ("network", False))
    highest = max((e["fitness"] for e in elites if e.get("fitness") is not None), default=None)
    for elite in elites:
        fitness = elite.get("fitness")
        values = elite.get("descriptors") or ()
        cells = [
            _cell(elite.get("cell"), DIM),
            _cell(elite.get("number")),
            _cell(number(fitness), BEST if fitness is not None and fitness == highest else BOLD),
        ]
        if tested:
            cells.append(_cell(number(elite.get("test"))))
        cells += [
            _cell(short(values[i]) if i < len(values) else None) for i in range(len(descriptors))
        ]
        table.add_row(*cells, _cell(elite.get("title")))
    return Shown(table)


def candidate_detail(candidate: Mapping[str, Any]) -> RenderableType:
    """A candidate on one page: origin, outcome, evaluation, output, source.

    Args:
        candidate: any of ``number``, ``generation``, ``operator``, ``parents`` (numbers),
            ``prompt`` (text), ``temperature``, ``selected``, ``llm``, ``llm_seed``, ``tokens_in``,
            ``tokens_out``, ``stop``, ``llm_seconds``; ``kind``, ``reason``, ``attempts``,
            ``seconds`` (name -> seconds), ``stdout``, ``stderr``; ``fitness``, ``test``,
            ``descriptors`` (values), ``axes`` (a sequence of Descriptor), ``details`` (a mapping
            of JSON values), ``cell``, ``entered``, ``duplicate_of``; ``source``.
    """
    get = candidate.get
    parts: list[RenderableType] = [_heading(f"candidate {get('number', NOTHING)}")]
    parts.append(facts_table(_origin(candidate)))
    kind = str(get("kind") or NOTHING)
    outcome = Text(harmless(kind), style=_kind_style(kind))
    if get("reason"):
        outcome.append(": " + harmless(get("reason"), 2000), style="")
    parts += [_heading("outcome"), outcome, facts_table(_timings(candidate))]
    evaluation = _evaluation(candidate)
    if evaluation:
        parts += [_heading("evaluation"), facts_table(evaluation)]
    for stream in ("stdout", "stderr"):
        if get(stream):
            parts += [_heading(stream), Text(_readable(get(stream)), overflow="fold")]
    if get("source"):
        parts += [_heading("source"), source_view(str(get("source")))]
    return Shown(Group(*parts))


def source_view(source: str) -> RenderableType:
    """A source with colours and line numbers; nothing in it reaches the terminal as it is."""
    return Syntax(
        _readable(source),
        "python",
        theme="ansi_dark",
        line_numbers=True,
        word_wrap=True,
        background_color="default",
    )


def _readable(text: Any) -> str:
    return printable(str(text), _MOST_TEXT).expandtabs(4).rstrip("\n")


def _heading(text: str) -> RenderableType:
    return Rule(Text(text, style=LABEL), align="left", style=DIM)


def _pairs(pairs: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(label, harmless(value, 2000)) for label, value in pairs if value not in (None, "")]


def _origin(candidate: Mapping[str, Any]) -> list[tuple[str, str]]:
    get = candidate.get
    parents = ", ".join(str(parent) for parent in get("parents") or ())
    tokens = None
    if get("tokens_out"):
        tokens = f"{count(get('tokens_in') or 0)} in, {count(int(candidate['tokens_out']))} out"
        if get("llm_seconds") is not None:
            tokens += f", {get('llm_seconds'):.1f} s"
    return _pairs(
        [
            ("generation", get("generation")),
            ("operator", get("operator")),
            ("parents", parents),
            ("prompt", get("prompt")),
            ("temperature", None if get("temperature") is None else f"{get('temperature'):.2f}"),
            ("individual", get("selected")),
            ("LLM", get("llm")),
            ("LLM seed", get("llm_seed")),
            ("tokens", tokens),
            ("stopped at", get("stop")),
        ]
    )


def _timings(candidate: Mapping[str, Any]) -> list[tuple[str, str]]:
    seconds = candidate.get("seconds") or {}
    attempts = candidate.get("attempts") or 1
    return _pairs(
        [
            ("seconds", ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())),
            ("attempts", attempts if attempts > 1 else None),
            ("repeats", candidate.get("duplicate_of")),
        ]
    )


def _evaluation(candidate: Mapping[str, Any]) -> list[tuple[str, str]]:
    get = candidate.get
    if get("fitness") is None:
        return []
    values = get("descriptors") or ()
    axes: Sequence[Descriptor] = get("axes") or ()
    pairs: list[tuple[str, Any]] = [("fitness", number(get("fitness")))]
    if get("test") is not None:
        pairs.append(("test", number(get("test"))))
    for axis, value in zip(axes, values, strict=False):
        inside = axis.low <= value <= axis.high
        note = "" if inside else f" (outside {short(axis.low)}..{short(axis.high)}, clipped)"
        title = Axis(axis.label, axis.low, axis.high, axis.unit).title
        pairs.append((title, f"{short(value)}{note}"))
    if get("cell") is not None:
        pairs.append(("cell", get("cell")))
    if get("entered") is not None:
        pairs.append(("archive", "entered" if get("entered") else "did not enter"))
    pairs += [(harmless(k, 40), v) for k, v in (get("details") or {}).items() if v not in ([], {})]
    return _pairs(pairs)


__all__ = [
    "candidate_detail",
    "elites_table",
    "outcomes_table",
    "run_summary",
    "runs_table",
    "source_view",
]
