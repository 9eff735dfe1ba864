"""A session of a run in a process of its own, for tests that kill it. Not a test."""

from __future__ import annotations

import random
from pathlib import Path

from orchestrator.store import RunStore
from tests.runs import new_store, session
from tests.support import InProcess, Scribbler


def main(path: Path) -> None:
    """Make the run or go on with it, slowly enough to be killed in its midst."""
    store = RunStore.open(path) if path.exists() else new_store(path)
    executor = InProcess(slots=3, jitter=random.Random())
    session(store, llm=Scribbler(random.Random(), pause=0.008), executor=executor).run()
