"""One generation at work: a thread drains the LLM, the sandbox calls back, one loop commits."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from orchestrator.candidate import Plan, Result, Writing
from orchestrator.errors import OrchestratorError
from orchestrator.llm.protocol import Completion
from sandbox.outcome import Outcome

if TYPE_CHECKING:
    from orchestrator.search import Search

#: Seconds between two looks at the view.
REFRESH_SECONDS = 0.1


class SearchError(OrchestratorError):
    """The search cannot go on. The run can be resumed."""


@dataclass(frozen=True)
class Written:
    """The LLM has completed a candidate."""

    number: int
    completion: Completion


@dataclass(frozen=True)
class Judged:
    """A source's job has ended."""

    key: str
    owner: int
    future: Future[Outcome]


@dataclass(frozen=True)
class WriterStopped:
    """The LLM has completed all it was asked for, or failed."""

    error: BaseException | None = None


Event = Written | Judged | WriterStopped


@dataclass
class Row:
    """A candidate of the generation at work, as far as it has come."""

    plan: Plan
    writing: Writing | None = None
    result: Result | None = None


class Generation:
    """The candidates of one generation, from what is done of them to their commits."""

    def __init__(self, search: Search, rows: list[Row]) -> None:
        self._search = search
        self._rows = rows
        self._by_number = {row.plan.number: row for row in rows}
        self._by_key: dict[str, list[Row]] = {}
        self._next = 0
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._stop = threading.Event()
        self._spent = False

    def run(self) -> None:
        """Commit all of it, or as much as the budget allows."""
        for row in self._rows:
            if row.writing is not None:
                self._judge(row)
        self._commit_ready()
        unwritten = [row for row in self._rows if row.writing is None]
        if unwritten and not self._spent:
            self._start_writer(unwritten)
        try:
            while self._next < len(self._rows) and not self._spent:
                self._wait()
        finally:
            self._stop.set()
            self._search.llm_busy(False)

    def _wait(self) -> None:
        try:
            event = self._events.get(timeout=REFRESH_SECONDS)
        except Empty:
            self._search.tick()
            # A budget of hours ends a generation in the middle; others end it at a commit.
            self._spent = self._spent or self._search.out_of_time()
            return
        self._handle(event)
        self._commit_ready()
        self._search.tick()
        self._spent = self._spent or self._search.out_of_time()

    def _handle(self, event: Event) -> None:
        match event:
            case Written(number, completion):
                row = self._by_number[number]
                row.writing = self._search.written(number, completion)
                self._judge(row)
            case Judged(key, owner, future):
                result = self._search.judged(owner, key, future.result())
                self._settle(key, result)
            case WriterStopped(error):
                self._search.llm_busy(False)
                if error is not None:
                    raise error
                missing = sum(row.writing is None for row in self._rows)
                if missing:
                    raise SearchError(
                        f"expected {self._search.llm.name} to complete every request, found "
                        f"{missing} without an answer; "
                        f"llmatic-orch resume {self._search.progress.run} asks again"
                    )

    def _judge(self, row: Row) -> None:
        """Have a written candidate judged: by what is known, by a job on its way, or a new one."""
        assert row.writing is not None
        key = row.writing.key
        known = self._search.known(key)
        if known is not None:
            row.result = known
            self._search.progress.evaluated += 1
            return
        waiting = self._by_key.setdefault(key, [])
        waiting.append(row)
        if len(waiting) > 1:
            return
        number = row.plan.number
        future = self._search.submit(number, row.writing.source)
        future.add_done_callback(lambda done: self._events.put(Judged(key, number, done)))

    def _settle(self, key: str, result: Result) -> None:
        for row in self._by_key.pop(key, []):
            row.result = result
            self._search.progress.evaluated += 1

    def _commit_ready(self) -> None:
        while self._next < len(self._rows) and not self._spent:
            row = self._rows[self._next]
            if row.result is None:
                return
            self._spent = self._search.commit(row, row.result)
            self._next += 1

    def _start_writer(self, rows: Sequence[Row]) -> None:
        numbers = [row.plan.number for row in rows]
        requests = [self._search.request(row.plan) for row in rows]
        self._search.llm_busy(True)

        def write() -> None:
            error: BaseException | None = None
            completions: Iterator[Completion] | None = None
            try:
                completions = self._search.llm.complete(requests)
                for completion in completions:
                    self._events.put(Written(numbers[completion.index], completion))
                    if self._stop.is_set():
                        break
            except BaseException as caught:
                error = caught
            finally:
                close = getattr(completions, "close", None)
                if close is not None:
                    close()
            self._events.put(WriterStopped(error))

        # A daemon, since a model in the middle of a token must not hold up Ctrl-C.
        threading.Thread(target=write, name="llm", daemon=True).start()
