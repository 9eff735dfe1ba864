"""The plain view: lines for a log, where the output is no terminal."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console

from orchestrator.progress import Committed, RunProgress
from orchestrator.view.summary import plain_summary
from orchestrator.view.words import ascii_text, duration, harmless, number

#: Seconds of silence after which a line says that the run is alive.
HEARTBEAT = 10.0


class PlainView:
    """Writes a line per generation, per new best, and per ten quiet seconds. No escape codes.

    Args:
        stream: where the lines go, or a console whose stream they go to; flushed after each.
    """

    def __init__(self, stream: TextIO | Console) -> None:
        self._file: TextIO = (
            stream.file if isinstance(stream, Console) else stream  # type: ignore[assignment]
        )
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        self._ascii = not encoding.lower().startswith("utf")
        self._progress: RunProgress | None = None
        self._quiet_since = 0.0
        self._generation = 0
        self._kinds: Counter[str] = Counter()
        self._entered = 0
        self._committed_any = False
        self._message = ""

    def start(self, progress: RunProgress) -> None:
        """Say what is run."""
        self._progress = progress
        self._generation = progress.generation
        model = harmless(progress.llm, 60)
        if not progress.is_language_model:
            model += " (no language model)"
        self._say(
            f"run {harmless(progress.run)}: {harmless(progress.plugin, 60)}, LLM {model}, "
            f"{progress.generations} generations of {progress.batch} candidates"
        )

    def committed(self, candidate: Committed) -> None:
        """Count it; say so if it is the best, or the last of its generation."""
        progress = self._progress
        if progress is None:
            return
        if not self._committed_any and candidate.number:
            best = progress.best.fitness if progress.best else None
            self._say(f"resumed after {candidate.number} candidates, best so far {number(best)}")
        self._committed_any = True
        if candidate.generation != self._generation:
            self._end_of_generation(progress)
            self._generation = candidate.generation
        kind = "duplicate" if candidate.duplicate_of is not None else candidate.kind.value
        self._kinds[kind] += 1
        self._entered += candidate.entered
        if candidate.best and candidate.fitness is not None:
            what = harmless(candidate.title, 200)
            origin = "seed network" if candidate.number == 0 else f"candidate {candidate.number}"
            origin += "" if candidate.number == 0 else f", {harmless(candidate.operator, 20)}"
            self._say(f"best {number(candidate.fitness)}: {origin}{', ' if what else ''}{what}")
        if progress.batch and progress.committed >= progress.batch:
            self._end_of_generation(progress)

    def refresh(self) -> None:
        """Say what is going on, if nothing was said for long."""
        progress = self._progress
        if progress is None:
            return
        if progress.message and progress.message != self._message:
            self._say(harmless(progress.message))
        self._message = progress.message
        if time.monotonic() - self._quiet_since >= HEARTBEAT:
            speed = progress.tokens_per_second
            tokens = f", {speed:.1f} tokens/s" if speed is not None else ""
            left = f", about {duration(progress.remaining)} left" if progress.remaining else ""
            self._say(
                f"generation {progress.generation}/{progress.generations}: "
                f"{progress.written}/{progress.batch} written, {progress.evaluated} evaluated, "
                f"{progress.committed} committed{tokens}{left}"
            )

    def stop(self, summary: Mapping[str, Any]) -> None:
        """Say what came of the run."""
        if self._progress is None:
            return
        self._end_of_generation(self._progress)
        for line in plain_summary(self._progress, summary):
            self._say(line, stamped=False)

    def _end_of_generation(self, progress: RunProgress) -> None:
        if not self._kinds or self._generation == 0:
            # Generation 0 is the seed network alone: its line as the first best says it all.
            self._kinds.clear()
            return
        kinds = ", ".join(f"{amount} {kind}" for kind, amount in self._kinds.most_common())
        best = progress.best.fitness if progress.best else None
        left = f", about {duration(progress.remaining)} left" if progress.remaining else ""
        networks = progress.networks
        self._say(
            f"generation {self._generation}/{progress.generations}: {kinds}; "
            f"{self._entered} new elites, {len(networks)}/{len(networks.centroids)} cells; "
            f"best {number(best)}{left}"
        )
        self._kinds.clear()
        self._entered = 0

    def _say(self, line: str, stamped: bool = True) -> None:
        self._quiet_since = time.monotonic()
        if stamped and self._progress is not None:
            line = f"[{duration(self._progress.elapsed)}] {line}"
        line = line.replace("–", "-")
        if self._ascii:
            line = ascii_text(line)
        # A log that can't be written (a closed pipe, a full disk) must not end a search.
        with contextlib.suppress(OSError, ValueError):
            self._file.write(line + "\n")
            self._file.flush()
