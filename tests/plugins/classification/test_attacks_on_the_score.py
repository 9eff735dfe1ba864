"""Candidates that want a score they have not earned, each beside its honest twin.

What they look for are the labels of the validation images. That a search works at all is shown by
the training labels, which are in the container and are found.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from plugins.classification import ImageFolder
from sandbox.outcome import OutcomeKind as K
from tests.plugins.classification.conftest import Judge
from tests.plugins.classification.test_in_the_sandbox import HONEST

pytestmark = pytest.mark.docker

#: Says where an array of so many labels is, by the digests of its bytes in every form.
SEARCH = """
import gc, hashlib, os, sys
import numpy
import torch as _torch

WANTED = {wanted}
COUNT = {count}

def tell(where, data):
    if hashlib.sha256(data).hexdigest() in WANTED:
        print("FOUND", where, flush=True)

def on_disk():
    read = 0
    for root in ("/data", "/tmp", "/dev/shm", "/candidate", "/run", "/etc", "/opt/llmatic/sandbox"):
        for folder, _, names in os.walk(root):
            for name in names:
                try:
                    with open(os.path.join(folder, name), "rb") as file:
                        data = file.read()
                except OSError:
                    continue
                read += 1
                for size in (1, 2, 4, 8):
                    tell("disk " + name, data[-size * COUNT:])
    print("read", read, "files", flush=True)

def in_memory():
    seen = list(gc.get_objects())
    frame = sys._getframe()
    while frame is not None:
        seen += list(frame.f_locals.values())
        frame = frame.f_back
    for thing in seen:
        try:
            if isinstance(thing, _torch.Tensor):
                thing = thing.numpy()
            if isinstance(thing, (list, tuple)) and len(thing) == COUNT:
                thing = numpy.array(thing, dtype=numpy.int64)
            if isinstance(thing, numpy.ndarray) and thing.size == COUNT:
                tell("memory", numpy.ascontiguousarray(thing).tobytes())
            elif isinstance(thing, (bytes, bytearray)) and len(thing) % COUNT == 0:
                tell("memory", bytes(thing))
        except Exception:
            continue
    print("looked at", len(seen), "objects", flush=True)

def in_environment():
    print("environment", *sorted(os.environ), flush=True)
    for number in (1, os.getppid()):
        for what in ("environ", "mem", "maps", "fd/3"):
            try:
                with open(f"/proc/{{number}}/{{what}}", "rb") as file:
                    file.read(10)
                print("OPENED", number, what, flush=True)
            except OSError:
                continue
"""


def digests(labels: np.ndarray) -> str:
    kinds = ("int64", "int32", "int16", "uint8", "float32")
    return repr({hashlib.sha256(labels.astype(kind).tobytes()).hexdigest() for kind in kinds})


def searching(labels: np.ndarray, what: str) -> str:
    """The honest network, that searches first each time it is called in evaluation."""
    search = SEARCH.format(wanted=digests(labels), count=len(labels))
    call = f"if not self.training: {what}()\n        return "
    return search + HONEST.replace("return ", call, 1)


@pytest.mark.parametrize("what", ["on_disk", "in_memory"])
def test_labels_that_score_are_not_to_be_found(
    judge: Judge, plugin: ImageFolder, what: str
) -> None:
    data = plugin._data()
    train = np.load(data.guest / "train_labels.npy")
    found = judge(searching(train, what)).outcome
    assert found.kind is K.OK, found.reason
    assert "FOUND" in found.stdout
    for split in ("validation", "test"):
        outcome = judge(searching(data.labels(split), what)).outcome
        assert outcome.kind is K.OK, outcome.reason
        assert "FOUND" not in outcome.stdout
        assert "read" in outcome.stdout or "looked at" in outcome.stdout


def test_the_environment_and_other_processes_tell_nothing(
    judge: Judge, plugin: ImageFolder
) -> None:
    outcome = judge(searching(plugin._data().labels("validation"), "in_environment")).outcome
    assert outcome.kind is K.OK, outcome.reason
    assert "OPENED" not in outcome.stdout
    line = next(x for x in outcome.stdout.splitlines() if x.startswith("environment "))
    assert not [name for name in line.split() if "LABEL" in name.upper() or "LLMATIC" in name]


#: Changes what the task would say, from within.
PATCH = """
import sandbox.guest.tasks.train as _task
_honest = _task.as_plain

def _forged(array):
    return {forged}

_task.as_plain = _forged
"""


@pytest.mark.parametrize(
    ("forged", "kind", "why"),
    [
        ("_honest(array)", K.OK, ""),
        ("_honest(array[:-1])", K.PROTOCOL_VIOLATION, "of shape"),
        ("_honest(array.astype('float64'))", K.PROTOCOL_VIOLATION, "dtype uint8"),
        ("_honest(array + 6)", K.PROTOCOL_VIOLATION, "classes 0..5"),
        ("_honest(array * 0)", K.PROTOCOL_VIOLATION, "different classes"),
        ("array.tolist()", K.PROTOCOL_VIOLATION, "as an array"),
        ("{**_honest(array), 'base64': ''}", K.PROTOCOL_VIOLATION, "predictions for"),
        ("{**_honest(array), 'accuracy': 100.0}", K.PROTOCOL_VIOLATION, "as an array"),
    ],
)
def test_predictions_of_the_wrong_form_are_a_violation(
    judge: Judge, forged: str, kind: K, why: str
) -> None:
    outcome = judge(PATCH.format(forged=forged) + HONEST).outcome
    assert (outcome.kind, why in outcome.reason) == (kind, True), outcome.reason


#: Sends a report of its own over the child's pipe, and ends.
FORGE = """
import json, os, struct
REPORT = json.loads({report!r})

def forge(end):
    data = json.dumps({{"report": REPORT}}).encode()
    message = struct.pack(">I", len(data)) + data
    {how}
"""


def forging(report: object, how: str) -> str:
    source = FORGE.format(report=json.dumps(report), how=how)
    return source + HONEST.replace("return ", "if self.training: forge(0)\n        return ", 1)


def test_a_forged_report_of_perfect_form_scores_what_it_guesses(
    judge: Judge, plugin: ImageFolder
) -> None:
    honest = judge(HONEST)
    assert honest.evaluation is not None
    report = dict(honest.outcome.report or {})
    # As a candidate would write that knows the form and not the labels.
    guess = {"predictions": {}, "train_accuracy": 100.0, "loss": 0.0}
    for split, count in (("validation", 24), ("test", 60)):
        from sandbox.guest.tasks.train import as_plain

        ranks = (np.arange(count)[:, None] + np.arange(5)) % 6
        guess["predictions"][split] = as_plain(ranks.astype(np.uint8))  # type: ignore[index]
    how = "os.write(3, message); os._exit(0)"
    result = judge(forging({**report, **guess}, how))
    assert result.outcome.kind is K.OK
    assert result.evaluation is not None
    assert result.evaluation.fitness < 50 < honest.evaluation.fitness


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("os.write(3, message[:50]); os._exit(0)", K.PROTOCOL_VIOLATION),
        ("os.write(3, message); os.write(3, message); os._exit(0)", K.PROTOCOL_VIOLATION),
        ("os.write(3, message); import time; time.sleep(100)", K.PROTOCOL_VIOLATION),
        ("os.write(3, message); os._exit(1)", K.PROTOCOL_VIOLATION),
        ("os._exit(0)", K.CRASHED),
        # Printed, it is only text.
        ("os.write(1, message); os.write(2, message)", K.OK),
    ],
    ids=["half", "twice", "then a hang", "then status 1", "no report", "printed"],
)
def test_a_report_sent_in_another_way_than_the_tasks_does_not_count(
    judge: Judge, how: str, kind: K
) -> None:
    result = judge(forging({"predictions": {}, "fitness": 100}, how))
    assert result.outcome.kind is kind, result.outcome.reason
