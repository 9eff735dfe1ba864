"""Which preamble serves a model best on NAS-Bench-201: valid cells, new cells, tokens, seconds.

Each variant of ``preamble_styles.py`` gets the same cases: the nine mutation prompts and the
crossover, from the seed and from random cells, at temperatures 0.4 to 0.8. The sources are traced
and mapped by the plugin's own task, in a process of its own. *Valid*: the source is a cell of the
benchmark. *Changed*: and not a parent of its prompt. *New*: and not one that came before in this
variant's measurement either.

    python benchmarks/preamble.py --model qwen2.5-coder-0.5b --variants plain,helpers+3 --count 20
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.preamble_styles import STYLES, Style, all_prompts
from orchestrator.llm.load import load_llm
from orchestrator.llm.protocol import Request
from orchestrator.prompting import assemble, build_request
from plugins.nasbench201.cells import Cell, all_cells

#: Seconds a source may take to be traced before its process is killed.
TRACE_SECONDS = 20
TEMPERATURES = (0.4, 0.5, 0.6, 0.7, 0.8)


class Checker:
    """Traces sources with the plugin's task, in another process that may be killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def check(self, source: str) -> dict[str, Any]:
        """``{"cell": [...]}`` or ``{"kind": ..., "reason": ...}``."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--trace"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._ask("", 120)
        return self._ask(source, TRACE_SECONDS)

    def _ask(self, source: str, seconds: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(source) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.close()
            return {"kind": "timed_out" if not ready else "crashed", "reason": ""}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def trace_forever() -> None:
    """The other process: a source a line in, a verdict a line out."""
    import contextlib
    import os

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from plugins.nasbench201 import tracing
    from sandbox.guest.task import PHASES, Refusal, TaskContext

    for line in sys.stdin:
        context = TaskContext(lambda _: None)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                report = tracing.run(json.loads(line), {}, context)
            verdict = {"cell": report["cell"]}
        except Refusal as refusal:
            verdict = {"kind": refusal.kind, "reason": refusal.reason}
        except BaseException as error:
            kind = PHASES.get(context.current, context.current)
            verdict = {"kind": kind, "reason": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(verdict) + "\n")
        answers.flush()


def cases(style: Style, count: int, seed: int, max_tokens: int) -> list[tuple[Request, set[Cell]]]:
    """The requests of one variant, and the cells of the parents shown in each."""
    chooser = random.Random(seed)
    seed_cell: Cell = (0, 0, 0, 2, 0, 0)
    every = [cell for cell in all_cells() if _connected(cell)]
    parents = [seed_cell, seed_cell, *chooser.sample(every, 6)]
    prompts = style.prompts()
    chosen = []
    order = list(range(len(all_prompts())))
    for number in range(count):
        if number % len(order) == 0:
            chooser.shuffle(order)
        prompt = all_prompts()[order[number % len(order)]]
        cells = chooser.sample(parents, 2 if prompt.edit.combine else 1)
        request = build_request(
            prompts,
            prompt,
            tuple(style.source(cell) for cell in cells),
            temperature=chooser.choice(TEMPERATURES),
            seed=chooser.randrange(2**31),
            max_tokens=max_tokens,
        )
        chosen.append((request, set(cells)))
    return chosen


def _connected(cell: Cell) -> bool:
    """Whether the output hears of the input, with no edge that leads nowhere."""
    from plugins.nasbench201.cells import EDGES, live_edges

    return len(live_edges(cell)) == sum(operation != 0 for operation in cell) > 1 and bool(EDGES)


def measure(
    llm: Any, style: Style, checker: Checker, arguments: argparse.Namespace
) -> dict[str, Any]:
    """One variant's row of the table."""
    chosen = cases(style, arguments.count, arguments.seed, arguments.max_tokens)
    prompts = style.prompts()
    parents_alone = {tuple(cell): style.source(cell) for _, cells in chosen for cell in cells}
    canonical = {}
    for cell, source in parents_alone.items():
        verdict = checker.check(source)
        if "cell" not in verdict:
            raise SystemExit(f"{style.name} writes the cell {cell} so: {verdict}\n{source}")
        canonical[cell] = tuple(verdict["cell"])
    started = time.monotonic()
    completions = {}
    for completion in llm.complete([request for request, _ in chosen]):
        completions[completion.index] = completion
    seconds = time.monotonic() - started
    kinds: collections.Counter[str] = collections.Counter()
    seen: set[tuple[int, ...]] = set()
    valid = changed = new = 0
    for index, (request, cells) in enumerate(chosen):
        completion = completions[index]
        source = assemble(prompts, completion.text)
        verdict = checker.check(source)
        if "cell" in verdict:
            cell = tuple(verdict["cell"])
            kinds["valid"] += 1
            valid += 1
            is_changed = cell not in {canonical[tuple(parent)] for parent in cells}
            changed += is_changed
            new += is_changed and cell not in seen
            seen.add(cell)
        else:
            kinds[verdict["kind"]] += 1
        if arguments.show and "cell" not in verdict:
            print(f"--- {style.name} T={request.temperature} {verdict}")
            print(request.prompt[-160:].split('"""')[-2] if '"""' in request.prompt else "")
            print(completion.text)
    tokens = sum(completion.tokens_out for completion in completions.values())
    return {
        "variant": style.name,
        "about": style.about,
        "model": llm.name,
        "count": len(chosen),
        "valid": valid,
        "changed": changed,
        "new": new,
        "kinds": dict(kinds),
        "tokens_in": round(sum(c.tokens_in for c in completions.values()) / len(chosen), 1),
        "tokens_out": round(tokens / len(chosen), 1),
        "stops": dict(collections.Counter(str(c.stop) for c in completions.values())),
        "seconds": round(seconds, 1),
        "tokens_per_second": round(tokens / seconds, 1),
        "new_per_minute": round(new * 60 / seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", help="as for --llm")
    parser.add_argument("--variants", default="", help="names, separated by commas; default all")
    parser.add_argument("--count", type=int, default=30, help="completions per variant")
    parser.add_argument("--parallel", type=int, default=None, help="completions side by side")
    parser.add_argument("--threads", type=int, default=None, help="compute threads")
    parser.add_argument("--max-tokens", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print what was not valid")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--trace", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trace:
        trace_forever()
        return
    wanted = [name for name in arguments.variants.split(",") if name]
    styles = [style for style in STYLES if not wanted or style.name in wanted]
    unknown = set(wanted) - {style.name for style in STYLES}
    if unknown or not styles:
        raise SystemExit(
            f"unknown variant(s) {sorted(unknown)}: there are "
            f"{', '.join(style.name for style in STYLES)}"
        )
    llm = load_llm(arguments.model, parallel=arguments.parallel, threads=arguments.threads)
    checker = Checker()
    rows = []
    head = f"{'variant':18} {'n':>3} {'valid':>5} {'chang':>5} {'new':>4} {'in':>6} {'out':>5} "
    print(head + f"{'tok/s':>6} {'new/min':>7}  kinds", flush=True)
    try:
        for style in styles:
            row = measure(llm, style, checker, arguments)
            rows.append(row)
            print(
                f"{row['variant']:18} {row['count']:3} {row['valid']:5} {row['changed']:5} "
                f"{row['new']:4} {row['tokens_in']:6} {row['tokens_out']:5} "
                f"{row['tokens_per_second']:6} {row['new_per_minute']:7}  "
                f"{row['kinds']} {row['stops']}",
                flush=True,
            )
    finally:
        checker.close()
        llm.close()
    if arguments.json:
        print(json.dumps({"model": arguments.model, "llm": llm.describe(), "rows": rows}))


if __name__ == "__main__":
    main()
