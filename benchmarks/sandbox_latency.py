"""Seconds per candidate in a cold container each, against a bare ``docker run`` of the same work.

The work: import torch, build a small network from its source, call it once, say its output shape.

- *ours*: a job through ``DockerExecutor``: supervisor, dropped child, private pipe, every limit;
  from the job's submission to its outcome, and until its container is gone.
- *bare*: a plain script in the same image, through the SDK's ``containers.run(remove=True)``,
  until its container is gone. It is given the same memory, CPUs and pids and no network, which
  makes it the fastest it can be: no network device to set up, no start of the ``docker`` program.
- *limit*: the same script in a bare process inside a container that is already up (``docker
  exec``): what remains when containers cost nothing.

All three take turns in one run, so that other work on the machine hits them alike; the ratio is
that of the medians.

    python benchmarks/sandbox_latency.py --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from images.build import ensure_guest_image
from images.engine import connect
from sandbox.docker_executor import DockerExecutor
from sandbox.job import GuestCode, Job
from sandbox.leftovers import RUN
from sandbox.limits import Limits

if TYPE_CHECKING:
    import docker

GOAL = 1.15
SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(x)
"""
SHAPE = [2, 3, 32, 32]
PLAIN = f"""
import json
namespace = {{}}
exec({SOURCE!r}, namespace)
import torch
with torch.no_grad():
    output = namespace["Net"]().eval()(torch.randn({SHAPE}))
print(json.dumps({{"output_shape": list(output.shape)}}))
"""
EXPECTED = [2, 4, 32, 32]
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=12, help="of each kind (default 12)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    client = connect()
    image = ensure_guest_image(client, "cpu")
    result = measure(client, image, options.rounds)
    print(
        f"seconds per candidate, medians of {options.rounds}, in turns:\n"
        f"  ours, to the outcome        {result['ours_seconds']:.3f}\n"
        f"  ours, until it is gone      {result['ours_gone_seconds']:.3f}\n"
        f"  bare docker run             {result['bare_seconds']:.3f}\n"
        f"  limit: no container at all  {result['limit_seconds']:.3f}\n"
        f"ratio to the bare docker run  {result['ratio']:.3f} (goal: at most {GOAL}); "
        f"until gone {result['ratio_gone']:.3f}; to the limit {result['ratio_limit']:.3f}"
    )
    if options.json:
        print(json.dumps(result))


def measure(client: docker.DockerClient, image: str, rounds: int) -> dict[str, float | bool]:
    """Run everything in turns; medians and their ratios."""
    limits = Limits()
    run_id = f"benchmark-{uuid.uuid4().hex[:8]}"
    executor = DockerExecutor(image, limits, 1, run_id, client=client)
    python = ["/opt/llmatic/venv/bin/python3", "-I", "-c", PLAIN]
    same = {
        "mem_limit": f"{limits.memory_mib}m",
        "memswap_limit": f"{limits.memory_mib}m",
        "nano_cpus": int(limits.cpus * 1e9),
        "pids_limit": limits.pids,
        "network_mode": "none",
        "environment": THREADS,
    }
    idle = client.containers.run(
        image, entrypoint=["sleep"], command=["3600"], detach=True, remove=True, **same
    )
    job = Job(
        SOURCE,
        GuestCode("sandbox.guest.tasks.check:run"),
        {"input_shape": SHAPE, "output_shape": EXPECTED},
    )
    gone: list[float] = []

    def ours() -> float:
        begin = time.perf_counter()
        outcome = executor.submit(job).result()
        taken = time.perf_counter() - begin
        check((outcome.report or {}).get("output_shape"), outcome.reason)
        while client.api.containers(all=True, filters={"label": f"{RUN}={run_id}"}):
            time.sleep(0.005)
        gone.append(time.perf_counter() - begin)
        return taken

    def bare() -> float:
        begin = time.perf_counter()
        output = client.containers.run(
            image, entrypoint=python[0], command=python[1:], remove=True, **same
        )
        taken = time.perf_counter() - begin
        check(json.loads(output)["output_shape"])
        return taken

    def without() -> float:
        begin = time.perf_counter()
        output = idle.exec_run(python).output
        taken = time.perf_counter() - begin
        check(json.loads(output)["output_shape"])
        return taken

    kinds: dict[str, Callable[[], float]] = {"ours": ours, "bare": bare, "limit": without}
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    try:
        for number in range(rounds + 1):
            for kind in kinds if number % 2 else reversed(kinds):
                seconds = kinds[kind]()
                # The first round warms the page cache up, and does not count.
                if number:
                    taken[kind].append(seconds)
            print(f"round {number} of {rounds}", file=sys.stderr)
    finally:
        executor.close()
        idle.remove(force=True)
    medians = {kind: statistics.median(values) for kind, values in taken.items()}
    ours_gone = statistics.median(gone[1:])
    ratio = medians["ours"] / medians["bare"]
    return {
        "rounds": rounds,
        **{f"{kind}_seconds": round(value, 4) for kind, value in medians.items()},
        "ours_gone_seconds": round(ours_gone, 4),
        "ratio": round(ratio, 4),
        "ratio_gone": round(ours_gone / medians["bare"], 4),
        "ratio_limit": round(medians["ours"] / medians["limit"], 4),
        "goal": GOAL,
        "reached": ratio <= GOAL,
    }


def check(shape: object, reason: str = "") -> None:
    """A measurement of work that was not done would be worth nothing."""
    if shape != EXPECTED:
        sys.exit(f"expected an output of shape {EXPECTED}, found {shape} {reason}")


if __name__ == "__main__":
    main()
