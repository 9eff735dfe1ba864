"""What the live view costs: processor time per frame, as a share of one core at its frame rate.

A made-up run commits ten candidates a second (far faster than an LLM writes) while the view is
refreshed at its frame rate, on terminals of several sizes. The file behind the console only counts
bytes, so a terminal's own work is not in the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from orchestrator.view import live

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.orchestrator.view.made_up_run import MadeUpRun

SIZES = ((80, 24), (120, 40), (200, 60))
CANDIDATES_PER_FRAME = 10 * live.FRAME


class _Sink:
    """A file that counts and forgets."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, text: str) -> int:
        self.bytes += len(text.encode())
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def measure(width: int, height: int, frames: int) -> dict[str, float]:
    sink = _Sink()
    console = Console(
        file=sink, width=width, height=height, force_terminal=True, color_system="truecolor"
    )
    run = MadeUpRun()
    view = live.LiveView(console)
    view.start(run.progress)
    due = 0.0
    spent = 0.0
    try:
        sink.bytes = 0
        for frame in range(frames):
            due += CANDIDATES_PER_FRAME
            while due >= 1:
                run.step()
                due -= 1
            # The clock of the frames is the benchmark's, so that it need not last as long; the
            # full repaint comes as often as it would.
            view._next = 0.0
            view._repaint = 0.0 if frame % round(live.REPAINT / live.FRAME) == 0 else float("inf")
            before = time.process_time()
            view.refresh()
            spent += time.process_time() - before
    finally:
        view._leave()
    return {
        "width": width,
        "height": height,
        "ms_per_frame": 1000 * spent / frames,
        "share_of_a_core": spent / frames / live.FRAME,
        "kB_per_second": sink.bytes / frames / live.FRAME / 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    os.environ.pop("NO_COLOR", None)
    results = [measure(width, height, options.frames) for width, height in SIZES]
    for r in results:
        print(
            f"{r['width']}x{r['height']}: {r['ms_per_frame']:.2f} ms a frame, "
            f"{100 * r['share_of_a_core']:.2f} % of a core at {1 / live.FRAME:.0f} frames/s, "
            f"{r['kB_per_second']:.0f} kB/s"
        )
    if options.json:
        print(json.dumps({"benchmark": "view_cost", "sizes": results}))


if __name__ == "__main__":
    main()
