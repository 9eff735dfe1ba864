"""``search`` and ``resume`` as a person runs them: real sandboxes, real signals, real processes."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.store import RunStore
from tests.runs import everything

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

COMMAND = str(Path(sys.executable).with_name("llmatic-orch"))
SEARCH = [
    *("search", "--plugin", "nasbench201", "--llm", "rules"),
    *("--generations", "2", "--batch", "6", "--slots", "2", "--run"),
]
CANDIDATES = 13


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that does not outlive the test."""
    process = start(folder, *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ran(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def committed(path: Path) -> int:
    return sum(row[4] for row in everything(path)) if path.exists() else 0


def wait_for(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many candidates are committed."""
    until = time.monotonic() + 240
    while committed(path) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "no progress"
        time.sleep(0.05)


def without_timings(path: Path) -> list[tuple[Any, ...]]:
    """What was committed, less all that is a measurement of time."""
    rows = []
    for plan, writing, outcome, *rest in everything(path)[: committed(path)]:
        report = {k: v for k, v in (outcome.report or {}).items() if not k.endswith("seconds")}
        rows.append((plan, writing, replace(outcome, report=report), *rest))
    return rows


def containers(client: docker.DockerClient, path: Path) -> list[str]:
    """Containers of this run, running or not."""
    with RunStore.open(path, write=False) as store:
        label = f"llmatic-orch.run={store.config['id']}"
    found = client.containers.list(all=True, ignore_removed=True, filters={"label": label})
    return [container.name for container in found]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, guest_image: str) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    out = ran(folder, *SEARCH, "run")
    assert "look at it with: llmatic-orch show run" in out
    return folder / "run"


@pytest.fixture(scope="module")
def undisturbed(finished: Path) -> list[tuple[Any, ...]]:
    rows = without_timings(finished)
    assert len(rows) == CANDIDATES
    assert all(row[4] for row in rows)
    return rows


def test_a_search_that_is_killed_twice_ends_as_if_undisturbed_and_leaves_no_container(
    tmp_path: Path,
    undisturbed: list[tuple[Any, ...]],
    docker_client: docker.DockerClient,
) -> None:
    rng, path = random.Random(1), tmp_path / "run"
    reached: list[int] = []
    for target in sorted(rng.sample(range(1, 7), 2)):
        arguments = ["resume", "run"] if path.exists() else [*SEARCH, "run"]
        with started(tmp_path, *arguments) as process:
            wait_for(path, max(target, *reached) if reached else target, process)
            time.sleep(rng.uniform(0, 1))
            process.send_signal(signal.SIGKILL)
            process.wait()
        reached.append(committed(path))
    assert 0 < reached[0] <= reached[1] < CANDIDATES
    ran(tmp_path, "resume", "run")
    assert without_timings(path) == undisturbed
    assert containers(docker_client, path) == []


def test_ctrl_c_stops_a_search_cleanly_and_only_one_may_run_it(
    tmp_path: Path, undisturbed: list[tuple[Any, ...]], docker_client: docker.DockerClient
) -> None:
    path = tmp_path / "run"
    # Long enough not to end by itself while the second command is still being started.
    with started(tmp_path, *SEARCH, "run", "--generations", "60") as process:
        wait_for(path, 2, process)
        with started(tmp_path, "resume", "run") as second:
            _, err = second.communicate(timeout=120)
            assert second.returncode == 1
            assert f"found that process {process.pid} is running it" in err
            assert "Traceback" not in err
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with: llmatic-orch resume run" in err
    assert "Traceback" not in err
    assert containers(docker_client, path) == []
    assert committed(path) >= 2
    shown = json.loads(ran(tmp_path, "show", "run", "--json"))
    assert shown["state"] == "stopped"
    # What was committed until then is what an undisturbed run begins with.
    rows = without_timings(path)
    both = min(len(rows), len(undisturbed))
    assert rows[:both] == undisturbed[:both]


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("plugin", {"name": "gone", "options": {}}, "'gone'"),
        ("llm", {"spec": "./gone.gguf"}, "no such model: ./gone.gguf"),
        ("prompts", ["Write a poem"], "with the prompts that the run began with"),
    ],
    ids=["plugin", "weights", "prompts"],
)
def test_a_run_whose_ground_is_gone_is_told_so_and_left_alone(
    tmp_path: Path, finished: Path, part: str, value: Any, message: str
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {part: value}))
    process = start(tmp_path, "resume", "run", "--generations", "3")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert re.search(message, err)
    assert without_timings(path) == without_timings(finished)
    (path / "config.json").write_text(json.dumps(config))
    with RunStore.open(path, write=False) as store:
        assert "budgets" not in store.meta()


@pytest.mark.llm
def test_ctrl_c_ends_a_search_around_a_model_in_the_middle_of_a_token(
    tmp_path: Path, guest_image: str, gguf_small: Path, docker_client: docker.DockerClient
) -> None:
    path = tmp_path / "run"
    arguments = [*SEARCH, "run", "--llm", str(gguf_small), "--batch", "20"]
    with started(tmp_path, *arguments) as process:
        wait_for(path, 1, process)
        while len(everything(path)) == 1:
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    # Not 134: the interpreter must not shut down around a thread of the model's.
    assert process.returncode == 130, err
    assert "go on with: llmatic-orch resume run" in err
    assert "FATAL" not in err
    assert "Traceback" not in err
    assert containers(docker_client, path) == []
