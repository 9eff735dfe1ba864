"""Whose fault it is: the table of facts and kinds, and that there is always an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.classify import CLAIMABLE, Facts, classify, rejection
from sandbox.outcome import OutcomeKind as K

#: An honest job that ended well.
HONEST = Facts(
    candidate_ran=True, state="valid", exit_code=0, phase="forward", said={"report": {"a": 1}}
)


def failure(kind: str, message: str = "no", line: int | None = 7) -> dict[str, Any]:
    return {"failure": {"type": kind, "message": message, "line": line}}


def refusal(kind: str, reason: str = "because") -> dict[str, Any]:
    return {"refusal": {"kind": kind, "reason": reason}}


SILENT = replace(HONEST, state="none", said=None, phase="import")
KILLED = replace(SILENT, exit_code=None, signal=9)


@pytest.mark.parametrize(
    ("facts", "kind", "reason"),
    [
        (HONEST, K.OK, ""),
        # The container first.
        (replace(HONEST, trouble="lost"), K.SANDBOX_ERROR, "lost"),
        (Facts(trouble="lost", memory_died=True), K.OUT_OF_MEMORY, "2048 MiB"),
        (Facts(trouble="lost", memory_died=True, job_sent=False), K.SANDBOX_ERROR, "lost"),
        (replace(HONEST, unclean=True), K.SANDBOX_ERROR, "could not be killed"),
        # What was done to it comes before what it said.
        (replace(KILLED, oom_kills=1), K.OUT_OF_MEMORY, "2048 MiB of memory there are in import"),
        (replace(KILLED, oom_kills=1, stopped_for="deadline"), K.OUT_OF_MEMORY, "2048 MiB"),
        (replace(KILLED, stopped_for="memory", oom_kills=2), K.OUT_OF_MEMORY, "2048 MiB"),
        (replace(SILENT, exit_code=1, oom_kills=1), K.OUT_OF_MEMORY, "2048 MiB"),
        (replace(HONEST, oom_kills=1), K.OK, ""),
        (replace(KILLED, stopped_for="deadline"), K.TIMED_OUT, "not done after 60 s in import"),
        (replace(HONEST, stopped_for="deadline", signal=9, exit_code=None), K.TIMED_OUT, "60 s"),
        (replace(KILLED, stopped_for="flood"), K.OUTPUT_FLOOD, "1048576 bytes of output"),
        (
            replace(HONEST, stopped_for="lingering", signal=9, exit_code=None),
            K.PROTOCOL_VIOLATION,
            "no end of the process",
        ),
        # How it spoke.
        (
            replace(KILLED, state="malformed", detail="NaN", stopped_for="violation"),
            K.PROTOCOL_VIOLATION,
            "NaN",
        ),
        (replace(SILENT, state="too_big"), K.PROTOCOL_VIOLATION, "longer than the 4194304 bytes"),
        (replace(SILENT, state="duplicate"), K.PROTOCOL_VIOLATION, "more than one"),
        # Deaths.
        (KILLED, K.CRASHED, "killed by SIGKILL in import"),
        (replace(KILLED, signal=11), K.CRASHED, "SIGSEGV"),
        (replace(KILLED, signal=64), K.CRASHED, "signal 64"),
        (replace(KILLED, state="malformed"), K.CRASHED, "SIGKILL"),
        (SILENT, K.CRASHED, "status 0 before its report in import"),
        (replace(SILENT, exit_code=139), K.CRASHED, "status 139"),
        # A report and another end.
        (replace(HONEST, exit_code=3), K.PROTOCOL_VIOLATION, "status 3"),
        (replace(HONEST, exit_code=None, signal=9), K.PROTOCOL_VIOLATION, "signal 9"),
        # Claims.
        (replace(HONEST, said={"report": [1]}), K.PROTOCOL_VIOLATION, "no object"),
        (replace(HONEST, said=refusal("ok")), K.PROTOCOL_VIOLATION, "no task may give"),
        (replace(HONEST, said=refusal("sandbox_error")), K.PROTOCOL_VIOLATION, "no task may give"),
        (replace(HONEST, said=refusal("timed_out")), K.PROTOCOL_VIOLATION, "no task may give"),
        (replace(HONEST, said=refusal("no kind")), K.PROTOCOL_VIOLATION, "no task may give"),
        (replace(HONEST, said={"refusal": 3}), K.PROTOCOL_VIOLATION, ""),
        (replace(HONEST, said={"failure": {}}), K.PROTOCOL_VIOLATION, "no task writes"),
        # Exceptions, by phase.
        (
            replace(HONEST, phase="syntax", candidate_ran=False, said=failure("SyntaxError")),
            K.SYNTAX_ERROR,
            "SyntaxError line 7: no",
        ),
        (
            replace(HONEST, phase="syntax", candidate_ran=False, said=failure("MemoryError")),
            K.SYNTAX_ERROR,
            "MemoryError",
        ),
        (
            replace(HONEST, phase="import", said=failure("ModuleNotFoundError")),
            K.IMPORT_ERROR,
            "ModuleNotFoundError in import (line 7): no",
        ),
        (replace(HONEST, phase="build", said=failure("TypeError")), K.BUILD_ERROR, "TypeError"),
        (
            replace(HONEST, said=failure("RuntimeError", line=None)),
            K.FORWARD_ERROR,
            "RuntimeError in forward: no",
        ),
        (replace(HONEST, said=failure("MemoryError")), K.OUT_OF_MEMORY, "MemoryError"),
        (
            replace(
                HONEST,
                said=failure("RuntimeError", "DefaultCPUAllocator: can't allocate memory: you"),
            ),
            K.OUT_OF_MEMORY,
            "can't allocate memory",
        ),
        (replace(HONEST, said=failure("OutOfMemoryError")), K.OUT_OF_MEMORY, "OutOfMemory"),
        (
            replace(HONEST, phase="train 3/50", said=failure("KeyError")),
            K.FORWARD_ERROR,
            "KeyError",
        ),
        (replace(HONEST, phase="tidy up", said=failure("KeyError")), K.CRASHED, "KeyError"),
        # Ours only while the candidate cannot have run.
        (
            replace(HONEST, phase="start", candidate_ran=False, said=failure("ImportError")),
            K.SANDBOX_ERROR,
            "the task failed before the candidate",
        ),
        (
            replace(HONEST, phase="start", candidate_ran=True, said=failure("ImportError")),
            K.CRASHED,
            "ImportError in start",
        ),
    ],
)
def test_facts_and_their_kind(facts: Facts, kind: K, reason: str) -> None:
    found, why = classify(facts)
    assert (found, reason in why) == (kind, True), why
    assert bool(why) == (kind is not K.OK)


@pytest.mark.parametrize("kind", sorted(CLAIMABLE))
def test_a_task_may_refuse_with(kind: K) -> None:
    assert classify(replace(HONEST, said=refusal(kind.value, "do this"))) == (kind, "do this")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
NAMES = st.sampled_from([*K, "nonsense"])
SAID = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from(["report", "refusal", "failure", "x"]), JUNK, max_size=2),
    st.builds(refusal, NAMES, st.text(max_size=20)),
    st.builds(failure, st.text(max_size=20), st.text(max_size=20), st.none() | st.integers()),
)
FACTS = st.builds(
    Facts,
    trouble=st.sampled_from(["", "lost\x1b"]),
    memory_died=st.booleans(),
    job_sent=st.booleans(),
    candidate_ran=st.booleans(),
    stopped_for=st.sampled_from(["", "deadline", "flood", "memory", "lingering", "violation"]),
    state=st.sampled_from(["none", "valid", "malformed", "too_big", "duplicate"]),
    detail=st.text(max_size=10),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    oom_kills=st.integers(0, 3),
    unclean=st.booleans(),
    phase=st.sampled_from(["start", "syntax", "import", "build", "forward", "train 1/2", "\x1b"]),
    said=SAID,
)


@given(FACTS)
def test_there_is_always_one_kind_with_one_printable_line(facts: Facts) -> None:
    kind, reason = classify(facts)
    assert kind in K
    assert kind is not K.REJECTED
    assert reason.isprintable()
    assert (reason == "") == (kind is K.OK)


@given(FACTS)
def test_nothing_that_a_candidate_does_is_free_of_charge(facts: Facts) -> None:
    ran = replace(facts, trouble="", unclean=False, candidate_ran=True)
    assert classify(ran)[0] is not K.SANDBOX_ERROR


@given(FACTS)
def test_only_an_undisturbed_report_is_ok(facts: Facts) -> None:
    if classify(facts)[0] is K.OK:
        assert (facts.trouble, facts.unclean, facts.stopped_for) == ("", False, "")
        assert (facts.state, facts.exit_code) == ("valid", 0)
        assert isinstance((facts.said or {}).get("report"), dict)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "found nothing"),
        (" \n\t\n", "found nothing"),
        ("a = 1\nb = '\0'", "NUL character in line 2"),
        ("a = 1\n\n'\ud800'", "lone surrogate in line 3"),
        ("x" * 101, "at most 100 bytes of source, found 101"),
        ("é" * 51, "found 102"),
    ],
)
def test_what_is_rejected_before_it_runs(source: str, why: str) -> None:
    assert why in rejection(source, 100)


@pytest.mark.parametrize("source", ["x = 1", "é" * 50, "not python"])
def test_what_is_not_rejected(source: str) -> None:
    assert rejection(source, 100) == ""
