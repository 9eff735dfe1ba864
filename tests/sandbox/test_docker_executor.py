"""The executor on the real engine: order, cleanliness, and faults that are ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.docker_executor import DockerExecutor
from sandbox.executor import Executor, SandboxUnavailable
from sandbox.job import GuestCode, Job
from sandbox.leftovers import RUN, remove_leftovers
from sandbox.limits import Limits
from sandbox.outcome import OutcomeKind as K
from tests.sandbox.cases import LIMITS, NET, REPORT, Open, check_job

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = "import time; time.sleep(60)\n" + NET


def containers(client: docker.DockerClient, run_id: str, stopped: bool = True) -> list[str]:
    found = client.api.containers(all=stopped, filters={"label": f"{RUN}={run_id}"})
    return [entry["Id"] for entry in found]


def until(condition: Any, seconds: float = 30) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def running(executor: Executor, slot: int = 0) -> bool:
    """Whether a slot has handed its job over."""
    return executor.slots[slot].phase not in ("idle", "starting", "waiting")


def test_a_job_leaves_no_container(open_executor: Open, docker_client: docker.DockerClient) -> None:
    executor = open_executor(run_id="test-leaves-none")
    phases = set()
    future = executor.submit(check_job("import time; time.sleep(.5)\n" + NET), "candidate 1")
    while not future.done():
        phases |= {(state.phase, state.tag) for state in executor.slots}
        time.sleep(0.01)
    assert future.result().report == REPORT
    assert {("starting", "candidate 1"), ("import", "candidate 1"), ("idle", "")} <= phases
    assert [state.phase for state in executor.slots] == ["idle", "idle"]
    until(lambda: not containers(docker_client, "test-leaves-none"))


def test_the_container_is_made_as_promised(
    open_executor: Open, docker_client: docker.DockerClient
) -> None:
    executor = open_executor(run_id="test-promises", slots=1)
    executor.submit(check_job(SLEEPER))
    until(lambda: running(executor))
    (identifier,) = containers(docker_client, "test-promises")
    made = docker_client.api.inspect_container(identifier)
    host = made["HostConfig"]
    memory = LIMITS.memory_mib * 2**20
    assert (host["Memory"], host["MemorySwap"]) == (memory, memory)
    assert (host["NanoCpus"], host["PidsLimit"]) == (int(1e9), LIMITS.pids)
    assert (host["NetworkMode"], host["IpcMode"]) == ("none", "private")
    assert (host["ReadonlyRootfs"], host["Privileged"]) == (True, False)
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["SETUID", "SETGID", "KILL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["LogConfig"]["Type"] == "none"
    assert not host["Binds"]
    assert not made["Mounts"]
    for options in host["Tmpfs"].values():
        assert "nosuid,nodev,noexec,size=16m" in options
    begin = time.monotonic()
    executor.close()
    assert time.monotonic() - begin < 10
    assert not containers(docker_client, "test-promises")


def test_shipped_code_runs_as_the_task(open_executor: Open) -> None:
    task = (
        "from theirs.help import VALUE\n"
        "def run(source, params, context):\n"
        "    namespace = context.load(source)\n"
        "    return {'value': VALUE + namespace['x'] + params['y']}\n"
    )
    code = GuestCode("theirs.task:run", {"theirs.task": task, "theirs.help": "VALUE = 1"})
    outcome = open_executor().submit(Job("x = 10", code, {"y": 100})).result(60)
    assert (outcome.kind, outcome.report) == (K.OK, {"value": 111})


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("theirs.task:run", "KeyError in start"),
        ("theirs.task:nothing", "has no attribute 'nothing'"),
        ("theirs.nowhere:run", "No module named 'theirs.nowhere'"),
    ],
)
def test_a_broken_task_is_ours_and_never_the_candidates(
    open_executor: Open, entry: str, why: str
) -> None:
    code = GuestCode(entry, {"theirs.task": "def run(*args): return {}['a']"})
    outcome = open_executor(attempts=1).submit(Job(NET, code)).result(60)
    assert outcome.kind is K.SANDBOX_ERROR
    assert why in outcome.reason


def test_a_job_that_is_no_json_says_so(open_executor: Open) -> None:
    job = Job(NET, GuestCode("sandbox.guest.tasks.check:run"), {"input_shape": float("nan")})
    outcome = open_executor().submit(job).result(60)
    assert outcome.kind is K.SANDBOX_ERROR
    assert "cannot be sent" in outcome.reason


def test_a_container_killed_from_outside_is_tried_again(
    open_executor: Open, docker_client: docker.DockerClient
) -> None:
    executor = open_executor(run_id="test-killed", slots=1)
    future = executor.submit(check_job("import time; time.sleep(2)\n" + NET))
    until(lambda: running(executor))
    (first,) = containers(docker_client, "test-killed")
    docker_client.api.kill(first)
    outcome = future.result(90)
    assert (outcome.kind, outcome.report, outcome.attempts) == (K.OK, REPORT, 2)


def test_a_container_that_is_always_killed_is_a_sandbox_error(
    open_executor: Open, docker_client: docker.DockerClient
) -> None:
    executor = open_executor(run_id="test-always", slots=1, attempts=2)
    future = executor.submit(check_job(SLEEPER))

    def kill_all() -> bool:
        if running(executor):
            for identifier in containers(docker_client, "test-always"):
                docker_client.api.remove_container(identifier, force=True)
        return future.done()

    until(kill_all, 60)
    outcome = future.result()
    assert (outcome.kind, outcome.attempts) == (K.SANDBOX_ERROR, 2)
    assert "while the job ran" in outcome.reason


def test_a_container_that_never_becomes_ready(open_executor: Open) -> None:
    impatient = Limits(memory_mib=1024, ready_seconds=0.2)
    outcome = open_executor(impatient, attempts=1).submit(check_job(NET)).result(60)
    assert outcome.kind is K.SANDBOX_ERROR
    assert "not ready after 0.2 s" in outcome.reason


def test_too_little_memory_to_become_ready_is_ours(open_executor: Open) -> None:
    outcome = open_executor(Limits(memory_mib=48), attempts=1).submit(check_job(NET)).result(60)
    assert outcome.kind is K.SANDBOX_ERROR
    assert "before it was ready" in outcome.reason
    assert "48 MiB are too little; raise the limit" in outcome.reason


def test_an_image_without_a_supervisor(
    open_executor: Open, docker_client: docker.DockerClient, guest_image: str
) -> None:
    tag = f"llmatic-orch-test:{uuid.uuid4().hex[:8]}"
    build_image(docker_client, f'FROM {guest_image}\nENTRYPOINT ["/bin/echo", "nothing"]\n', tag)
    try:
        outcome = open_executor(image=tag, attempts=1).submit(check_job(NET)).result(60)
    finally:
        docker_client.images.remove(tag, force=True)
    assert outcome.kind is K.SANDBOX_ERROR
    assert "before it was ready" in outcome.reason


def test_a_missing_image_is_refused_at_the_start(open_executor: Open) -> None:
    with pytest.raises(SandboxUnavailable, match=r"none:such.*llmatic-orch image build"):
        open_executor(image="none:such")


def test_an_image_that_goes_while_a_run_needs_it(
    open_executor: Open, docker_client: docker.DockerClient, guest_image: str
) -> None:
    tag = f"llmatic-orch-test:{uuid.uuid4().hex[:8]}"
    build_image(docker_client, f"FROM {guest_image}\nLABEL nonce={tag}\n", tag)
    executor = open_executor(image=tag)
    docker_client.images.remove(tag, force=True)
    with pytest.raises(SandboxUnavailable, match=f"guest image {tag}, found none"):
        executor.submit(check_job(NET)).result(60)


def test_an_unknown_runtime_is_refused_at_the_start(open_executor: Open) -> None:
    with pytest.raises(SandboxUnavailable, match="expected the runtime 'nowhere'"):
        open_executor(runtime="nowhere")


def test_an_engine_that_is_gone_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, guest_image: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/gone.sock")
    with pytest.raises(SandboxUnavailable, match="found no answer"):
        DockerExecutor(guest_image, LIMITS, 1, "test-gone")


def test_an_engine_that_goes_in_mid_run(guest_image: str, tmp_path: Path) -> None:
    import docker

    with Relay(tmp_path / "engine.sock") as relay:
        client = docker.DockerClient(f"unix://{relay.path}")
        executor = DockerExecutor(guest_image, LIMITS, 1, "test-goes", attempts=2, client=client)
        future = executor.submit(check_job(SLEEPER))
        until(lambda: running(executor))
        relay.stop()
        with pytest.raises(SandboxUnavailable, match="found no answer"):
            future.result(60)
        begin = time.monotonic()
        executor.close()
        assert time.monotonic() - begin < 10
    real = docker.from_env()
    assert remove_leftovers(real, "test-goes") == 1
    assert not containers(real, "test-goes")


def test_an_engine_that_comes_back_in_time(guest_image: str, tmp_path: Path) -> None:
    import docker

    path = tmp_path / "engine.sock"
    with Relay(path) as relay:
        client = docker.DockerClient(f"unix://{path}")
        executor = DockerExecutor(guest_image, LIMITS, 1, "test-back", client=client)
        future = executor.submit(check_job("import time; time.sleep(2)\n" + NET))
        until(lambda: running(executor))
        relay.stop()
        with Relay(path):
            outcome = future.result(60)
            executor.close()
    assert (outcome.kind, outcome.report) == (K.OK, REPORT)
    assert outcome.attempts > 1
    assert not containers(docker.from_env(), "test-back")


def test_jobs_leave_no_descriptor_and_no_thread(open_executor: Open) -> None:
    executor = open_executor(slots=1)

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    executor.submit(check_job(NET)).result(60)
    time.sleep(1)
    before = held()
    for source in (NET, "import os; os._exit(1)", NET):
        executor.submit(check_job(source)).result(60)
    until(lambda: held() <= before)


def test_closing_cancels_what_waits_and_kills_what_runs(
    open_executor: Open, docker_client: docker.DockerClient
) -> None:
    executor = open_executor(run_id="test-close", slots=1)
    running_future, *waiting = [executor.submit(check_job(SLEEPER)) for _ in range(20)]
    until(lambda: running(executor))
    begin = time.monotonic()
    executor.close()
    assert time.monotonic() - begin < 10
    assert not containers(docker_client, "test-close")
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(CancelledError):
        running_future.result(5)
    with pytest.raises(RuntimeError, match="found a closed one"):
        executor.submit(check_job(NET))
    executor.close()


HOST = """
import sys
from tests.sandbox.cases import LIMITS, check_job
from sandbox.docker_executor import DockerExecutor
executor = DockerExecutor(sys.argv[1], LIMITS, 2, sys.argv[2])
for _ in range(5):
    executor.submit(check_job("import time; time.sleep(60)"))
print("up", flush=True)
sys.stdin.read()
"""


def host_process(image: str, run_id: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, image, run_id],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_what_a_killed_process_leaves_is_removed_at_the_next_start(
    open_executor: Open, docker_client: docker.DockerClient, guest_image: str
) -> None:
    dead, alive = f"test-dead-{os.getpid()}", f"test-alive-{os.getpid()}"
    living = host_process(guest_image, alive)
    try:
        dying = host_process(guest_image, dead)
        until(lambda: len(containers(docker_client, dead)) == 2)
        until(lambda: len(containers(docker_client, alive)) == 2)
        os.kill(dying.pid, signal.SIGKILL)
        dying.wait()
        # Without its host a supervisor ends by itself, and takes the candidate along.
        until(lambda: not containers(docker_client, dead, stopped=False))
        assert len(containers(docker_client, dead)) == 2
        open_executor(run_id="test-next")
        assert not containers(docker_client, dead)
        assert len(containers(docker_client, alive)) == 2
    finally:
        living.communicate("", timeout=30)
    # This one ended by itself, and took its containers along.
    assert living.returncode == 0
    assert not containers(docker_client, alive)


def test_the_same_run_takes_over_whatever_carries_its_name(
    open_executor: Open, docker_client: docker.DockerClient, guest_image: str
) -> None:
    process = host_process(guest_image, "test-same")
    until(lambda: len(containers(docker_client, "test-same")) == 2)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        open_executor(run_id="test-same")
        assert not containers(docker_client, "test-same")
    finally:
        process.kill()
        process.wait()


def build_image(client: docker.DockerClient, text: str, tag: str) -> None:
    import io

    # The SDK keeps the containers of the build's steps unless it is told.
    client.images.build(
        fileobj=io.BytesIO(text.encode()), tag=tag, network_mode="none", rm=True, forcerm=True
    )


class Relay:
    """A socket in front of the engine's own, which can be taken away: an engine that stops."""

    def __init__(self, path: Path) -> None:
        import socket

        path.unlink(missing_ok=True)
        self.path = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._sockets = [self._server]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Break every connection, and take no more."""
        import socket

        self.path.unlink(missing_ok=True)
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        import socket

        while True:
            try:
                ours, _ = self._server.accept()
            except OSError:
                return
            theirs = socket.socket(socket.AF_UNIX)
            theirs.connect("/var/run/docker.sock")
            self._sockets += [ours, theirs]
            for source, target in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: Any, target: Any) -> None:
        import socket

        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
