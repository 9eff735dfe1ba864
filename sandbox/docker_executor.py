"""Runs jobs in Docker: a fresh container for each, a fixed number side by side."""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace

import docker
from docker.errors import ImageNotFound

from sandbox import engine, leftovers
from sandbox.attempt import Attempt, job_frame, run_attempt
from sandbox.classify import Facts, classify, rejection
from sandbox.container import Container, Recipe
from sandbox.executor import SlotState
from sandbox.guest.frames import FrameError
from sandbox.job import Job
from sandbox.limits import Limits
from sandbox.outcome import Outcome, OutcomeKind
from sandbox.volumes import Volumes

#: Before the second attempt; twice as long before each further one.
BACKOFF_SECONDS = 1.0
#: How long ``close`` waits for its threads.
CLOSE_SECONDS = 20.0


@dataclass(frozen=True)
class _Task:
    job: Job
    tag: str
    future: Future[Outcome]
    submitted: float


class DockerExecutor:
    """An :class:`~sandbox.executor.Executor` on the user's own Docker engine.

    What can be done once is done here, once: the engine is asked what it can enforce, the image
    is looked up, and containers that a dead run left behind are removed.
    """

    def __init__(
        self,
        image: str,
        limits: Limits,
        slots: int,
        run_id: str,
        runtime: str | None = None,
        attempts: int = 3,
        client: docker.DockerClient | None = None,
    ) -> None:
        """Open the executor.

        Args:
            image: tag or id of the guest image.
            limits: of every container.
            slots: containers side by side.
            run_id: of the run that the containers belong to; at most one live executor has it.
            runtime: the engine's runtime by name (``runsc``), or None for its default.
            attempts: how often a job is tried while it ends as ``sandbox_error``.
            client: the engine, or None for the one of the environment.

        Raises:
            SandboxUnavailable: no engine, no image, or a limit that the engine cannot enforce.
            ValueError: no slots, or no attempts.
        """
        if slots < 1 or attempts < 1:
            raise ValueError(
                f"expected at least one slot and one attempt, found {slots} and {attempts}"
            )
        self._client = client or engine.connect()
        try:
            info = self._client.info()
        except engine.ENGINE_ERRORS as error:
            raise engine.engine_gone(error) from error
        engine.check_enforceable(info, runtime)
        self._image, self._limits = image, limits
        self._run_id, self._attempts = run_id, attempts
        self._recipe = Recipe(engine.image_id(self._client, image), limits, run_id, runtime)
        self._volumes = Volumes(self._client, self._recipe.image, run_id)
        leftovers.remove_leftovers(self._client, run_id)
        now = time.monotonic()
        self._states = [SlotState(slot, "idle", "", now) for slot in range(slots)]
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._garbage: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._workers = [
            threading.Thread(target=self._work, args=(slot,), name=f"sandbox-{slot}", daemon=True)
            for slot in range(slots)
        ]
        self._janitor = threading.Thread(target=self._remove, name="sandbox-janitor", daemon=True)
        for thread in (*self._workers, self._janitor):
            thread.start()
        atexit.register(self.close)

    @property
    def slots(self) -> list[SlotState]:
        """A snapshot of what every slot is doing."""
        return list(self._states)

    def submit(self, job: Job, tag: str = "") -> Future[Outcome]:
        """Queue a job; see :class:`~sandbox.executor.Executor`.

        Raises:
            RuntimeError: the executor is closed.
        """
        future: Future[Outcome] = Future()
        with self._lock:
            if self._closed.is_set():
                raise RuntimeError("expected an open executor, found a closed one")
            self._queue.put(_Task(job, tag, future, time.monotonic()))
        return future

    def close(self) -> None:
        """Cancel what is queued, kill what runs, remove every container. Idempotent."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        atexit.unregister(self.close)
        with contextlib.suppress(queue.Empty):
            while True:
                task = self._queue.get_nowait()
                if task is not None:
                    task.future.cancel()
        for _ in self._workers:
            self._queue.put(None)
        # Killing the containers ends the lines on which the workers wait.
        self._sweep()
        until = time.monotonic() + CLOSE_SECONDS
        for worker in self._workers:
            if worker is threading.current_thread():
                # Called from a future's callback.
                continue
            worker.join(max(0.0, until - time.monotonic()))
        self._garbage.put(None)
        self._janitor.join(max(0.0, until - time.monotonic()))
        self._sweep()

    def _sweep(self) -> None:
        # An engine that is gone cannot be asked; the next start removes what is left.
        with contextlib.suppress(*engine.ENGINE_ERRORS):
            leftovers.remove_run(self._client, self._run_id)

    def _remove(self) -> None:
        """The janitor: removes used containers, out of the way of the next job."""
        while (identifier := self._garbage.get()) is not None:
            leftovers.remove(self._client, identifier)

    def _work(self, slot: int) -> None:
        while (task := self._queue.get()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                outcome = self._run(task, slot)
            except BaseException as error:
                self._enter(slot, "idle", "")
                task.future.set_exception(error)
            else:
                self._enter(slot, "idle", "")
                task.future.set_result(outcome)

    def _enter(self, slot: int, phase: str, tag: str) -> None:
        self._states[slot] = SlotState(slot, phase, tag, time.monotonic())

    def _run(self, task: _Task, slot: int) -> Outcome:
        begin = time.monotonic()
        timings = {"queued": begin - task.submitted}
        reason = rejection(task.job.source, self._limits.source_bytes)
        if reason:
            return Outcome(OutcomeKind.REJECTED, reason, seconds={**timings, "total": 0.0})
        limits = replace(
            self._limits, wall_seconds=self._limits.wall_seconds + task.job.extra_seconds
        )
        try:
            frame = job_frame(task.job, limits)
        except FrameError as error:
            reason = f"the job cannot be sent to the guest: {error}"
            return Outcome(OutcomeKind.SANDBOX_ERROR, reason, seconds=timings)
        for number in range(1, self._attempts + 1):
            attempt = self._attempt(task, slot, frame, limits)
            outcome = replace(
                _outcome(attempt),
                seconds={**timings, **attempt.seconds, "total": time.monotonic() - begin},
                attempts=number,
            )
            if outcome.kind is not OutcomeKind.SANDBOX_ERROR:
                break
            self._check_open()
            self._volumes.look_again()
            if number < self._attempts:
                self._enter(slot, "waiting", task.tag)
                self._closed.wait(BACKOFF_SECONDS * 2 ** (number - 1))
                self._check_open()
        if outcome.kind is OutcomeKind.SANDBOX_ERROR:
            self._check_engine()
        return outcome

    def _attempt(self, task: _Task, slot: int, frame: bytes, limits: Limits) -> Attempt:
        """One attempt.

        Raises:
            SandboxUnavailable: the image is gone, or the job's data cannot be brought.
            CancelledError: the executor was closed.
        """
        self._enter(slot, "starting", task.tag)
        container: Container | None = None
        try:
            mounts = self._volumes.mounts(task.job.data)
            config = self._recipe.config(self._client.api, mounts)
            container = Container(self._client.api, config, limits.report_bytes)
            self._check_open()
            return run_attempt(
                container, frame, limits, lambda phase: self._enter(slot, phase, task.tag)
            )
        except ImageNotFound as error:
            raise engine.image_missing(self._image) from error
        except engine.ENGINE_ERRORS as error:
            return Attempt(Facts(trouble=f"the engine could not run the container: {error}"))
        finally:
            if container is not None:
                container.hang_up()
                if self._closed.is_set():
                    leftovers.remove(self._client, container.id)
                else:
                    self._garbage.put(container.id)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise CancelledError("the executor was closed")

    def _check_engine(self) -> None:
        """Raise SandboxUnavailable where the engine as a whole is gone."""
        try:
            self._client.ping()
        except engine.ENGINE_ERRORS as error:
            raise engine.engine_gone(error) from error


def _outcome(attempt: Attempt) -> Outcome:
    kind, reason = classify(attempt.facts)
    said = attempt.facts.said or {}
    report = said.get("report") if kind is OutcomeKind.OK else None
    return Outcome(kind, reason, report, attempt.stdout, attempt.stderr)
