"""The run store: whole or not at all, one writer, and damage that is told and left alone."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.candidate import Operator, Plan, Result, Writing
from orchestrator.llm.protocol import StopReason
from orchestrator.run_folder import is_running
from orchestrator.store import RunStore, StoreError, check_new, storable
from plugins.contract import Evaluation
from sandbox.outcome import Outcome, OutcomeKind
from tests.runs import SETTINGS, everything, new_store, session
from tests.support import Scribbler

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan(0, 0, Operator.SEED)
MUTATION = Plan(1, 1, Operator.MUTATION, (0,), 3, 0.55, 0, 12345)


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder and the hash of its bytes."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A small run, finished."""
    path = tmp_path / "run"
    settings = replace(SETTINGS, generations=2, batch=8)
    session(new_store(path, settings), settings).run()
    return path


# -- making a run --------------------------------------------------------------------------------


def test_a_new_run_holds_its_configuration_centroids_database_and_lock(tmp_path: Path) -> None:
    new_store(tmp_path / "deep" / "run").close()
    assert sorted(contents(tmp_path / "deep" / "run")) == [
        "centroids.npz",
        "config.json",
        "lock",
        "run.sqlite",
    ]
    with RunStore.open(tmp_path / "deep" / "run") as store:
        assert store.config["format_version"] == 1
        assert store.config["settings"] == SETTINGS.to_json()
        assert store.network_centroids.shape == store.prompt_centroids.shape == (25, 2)
        assert not (store.network_centroids == store.prompt_centroids).all()
        assert list(store.candidates()) == []
        assert store.last_generation() is None


def test_a_run_is_made_in_an_empty_folder_that_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    # What a killed attempt leaves is no obstacle, and is cleared away.
    (path / ".new-run-dead").mkdir()
    (path / ".new-run-dead" / "run.sqlite").write_bytes(b"half")
    identity = path.stat().st_ino
    new_store(path).close()
    assert path.stat().st_ino == identity
    assert sorted(contents(path)) == ["centroids.npz", "config.json", "lock", "run.sqlite"]
    assert list(path.glob(".new-run-*")) == []


@pytest.mark.parametrize("what", ["a file", "a full folder", "another run"])
def test_a_run_never_replaces_anything(tmp_path: Path, what: str) -> None:
    path = tmp_path / "run"
    if what == "a file":
        path.write_text("mine")
    elif what == "a full folder":
        path.mkdir()
        (path / "mine").write_text("mine")
    else:
        new_store(path).close()
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=r"expected a new run folder, found .*resume"):
        new_store(path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("step", ["_make_database", "_publish", "np.savez"])
def test_a_run_that_cannot_be_made_whole_is_not_made_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool, step: str
) -> None:
    path = tmp_path / "run"
    if in_place:
        path.mkdir()

    def no_space(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    target = "numpy.savez" if step == "np.savez" else f"orchestrator.store.{step}"
    with monkeypatch.context() as patch:
        patch.setattr(target, no_space)
        with pytest.raises(StoreError, match="No space left"):
            new_store(path)
    assert contents(tmp_path) == {}
    assert list(tmp_path.iterdir()) == ([path] if in_place else [])
    new_store(path).close()


def test_of_two_that_make_the_same_run_at_once_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator import store as module

    path, real = tmp_path / "run", module._publish

    def late(staging: Path, target: Path, in_place: bool) -> None:
        monkeypatch.setattr(module, "_publish", real)
        new_store(path).close()
        real(staging, target, in_place)

    monkeypatch.setattr(module, "_publish", late)
    with pytest.raises(StoreError, match="expected a new run folder"):
        new_store(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    RunStore.open(path).close()


@pytest.mark.parametrize("name", ["with spaces", "Größe 日本語", "a#b?c%d&e", "-dash", "x" * 200])
def test_a_run_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    settings = replace(SETTINGS, generations=1, batch=4)
    session(new_store(path, settings), settings).run()
    assert len(everything(path)) == 5


# -- one writer, many readers --------------------------------------------------------------------


def test_of_two_writers_the_second_is_told_who_the_first_is(run: Path) -> None:
    with RunStore.open(run):
        assert is_running(run)
        with pytest.raises(StoreError, match=f"found that process {os.getpid()} is running it"):
            RunStore.open(run)
    assert not is_running(run)
    RunStore.open(run).close()


def test_a_writer_in_another_process_is_named_by_its_number(run: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orchestrator.store import RunStore\n"
        "store = RunStore.open(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match=f"process {other.pid} is running it"):
            RunStore.open(run)
        # Reading goes on beside it.
        with RunStore.open(run, write=False) as store:
            assert len(list(store.candidates())) == 17
        other.kill()
    # A lock dies with its process.
    RunStore.open(run).close()


def test_asking_whether_a_run_is_running_keeps_nobody_from_running_it(run: Path) -> None:
    with open(run / "lock") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.1, file.close).start()
        RunStore.open(run).close()


def test_readers_see_what_a_writer_has_stored_so_far(tmp_path: Path) -> None:
    with new_store(tmp_path / "run") as writer:
        writer.add_generation(0, [PLAN], {"state": 1})
        # Not checkpointed: it is in the write-ahead log alone.
        assert (tmp_path / "run" / "run.sqlite-wal").stat().st_size > 0
        with RunStore.open(tmp_path / "run", write=False) as reader:
            assert [row.plan for row in reader.candidates()] == [PLAN]
            writer.write(0, Writing("source", "key"))
            assert [row.writing for row in reader.candidates()] == [Writing("source", "key")]
            with pytest.raises(StoreError):
                reader.write(0, Writing("other", "key"))
        assert writer.source(0) == "source"


# -- what is stored comes back -------------------------------------------------------------------


def test_a_candidate_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    writing = Writing("class Net: ...\n", "key", 10, 20, StopReason.CLASS_END, 0.25)
    outcome = Outcome(
        OutcomeKind.OK, "", {"a": [1, 2.5, None]}, "out\n", "err\x00\n", {"total": 1.5}, 2
    )
    result = Result(outcome, Evaluation(91.25, (3.0, 2e8), "|cell|", {"flops": 7}))
    with new_store(tmp_path / "run") as store:
        store.add_generation(0, [PLAN], {"s": 1})
        store.add_generation(1, [MUTATION], {"s": 2**100})
        store.write(1, writing)
        store.record(1, result)
        half = store.candidate(1)
        assert half is not None
        assert half.result == result
        assert not half.committed
        store.commit(1, result, 0, True)
        store.set_meta(elapsed=1.5, finished="")
    with RunStore.open(tmp_path / "run") as store:
        row = store.candidate(1)
        assert row is not None
        assert (row.plan, row.writing, row.result) == (MUTATION, writing, result)
        assert (row.committed, row.duplicate_of, row.entered) == (True, 0, True)
        assert store.candidate(2) is None
        assert store.last_generation() == (1, {"s": 2**100})
        assert store.meta() == {"format_version": 1, "elapsed": 1.5, "finished": ""}


@pytest.mark.parametrize(
    "text",
    [
        "\x00\x01\x02",
        "a\x00b",
        "\ud800 lone \udfff",
        "é日本\U0001f600",
        "\r\n",
        "x" * 5_000_000,
        "",
    ],
    ids=["control", "NUL", "surrogates", "wide", "CRLF", "huge", "empty"],
)
def test_any_text_can_be_stored(tmp_path: Path, text: str) -> None:
    expected = storable(text)
    outcome = Outcome(OutcomeKind.CRASHED, text, None, text, text, {}, 1)
    with new_store(tmp_path / "run") as store:
        store.add_generation(0, [PLAN], {})
        store.write(0, Writing(text, "key"))
        store.commit(0, Result(outcome), None, False)
    with RunStore.open(tmp_path / "run") as store:
        row = store.candidate(0)
        assert row is not None
        assert row.writing is not None
        assert row.result is not None
        assert row.writing.source == store.source(0) == expected
        found = row.result.outcome
        assert (found.reason, found.stdout, found.stderr) == (expected, expected, expected)
    assert expected == text or "\\ud800" in expected


class Odd(Scribbler):
    """Writes what is no valid Unicode, now and then."""

    def _write(self, request: Any) -> str:
        text = super()._write(request)
        return text + '    s = "\ud800\x00"\n' if request.seed % 3 == 0 else text


def test_a_search_survives_text_that_is_no_unicode_and_resumes_the_same(tmp_path: Path) -> None:
    settings = replace(SETTINGS, generations=2)
    session(new_store(tmp_path / "a", settings), settings, llm=Odd()).run()
    part = replace(settings, max_evaluations=9)
    session(new_store(tmp_path / "b", settings), part, llm=Odd()).run()
    session(RunStore.open(tmp_path / "b"), settings, llm=Odd()).run()
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert any("\\ud800" in row[1].source for row in everything(tmp_path / "a"))


# -- damage --------------------------------------------------------------------------------------


def truncate(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def scramble(file: Path) -> None:
    file.write_bytes(np.random.default_rng(0).bytes(file.stat().st_size))


def scramble_middle(file: Path) -> None:
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    file.write_bytes(data)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(file: Path) -> None:
        config = json.loads(file.read_text())
        changed = change(config)
        file.write_text(json.dumps(config if changed is None else changed))

    return apply


def text(content: str) -> Callable[[Path], None]:
    return lambda file: file.write_text(content) and None  # type: ignore[return-value]


def arrays(**values: Any) -> Callable[[Path], None]:
    good = {"networks": np.full((25, 2), 0.5), "prompts": np.full((25, 2), 0.5)}
    return lambda file: np.savez(
        file, **{name: array for name, array in (good | values).items() if array is not None}
    )


def sql(statement: str) -> Callable[[Path], None]:
    def apply(file: Path) -> None:
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(statement)

    return apply


CONFIG = [
    truncate,
    scramble,
    empty,
    text("[]"),
    text("7"),
    text('"run"'),
    text("null"),
    text("[" * 100_000),
    text('{"format_version": NaN}'),
    edit(lambda c: c.pop("format_version") and None),
    edit(lambda c: c.update(format_version="1")),
    edit(lambda c: c.update(format_version=True)),
    edit(lambda c: c.pop("plugin") and None),
    edit(lambda c: c.update(plugin="numbers")),
    edit(lambda c: c["plugin"].update(options=[])),
    edit(lambda c: c.update(llm={})),
    edit(lambda c: c.update(settings=[1])),
    edit(lambda c: c["settings"].update(batch="many")),
    edit(lambda c: c["settings"].update(batch=-1)),
    edit(lambda c: c["settings"].update(seed=None)),
    edit(lambda c: c["settings"].update(mutation_probability=float("nan"))),
    edit(lambda c: c.update(descriptors={})),
]
CENTROIDS = [
    Path.unlink,
    truncate,
    scramble,
    empty,
    arrays(networks=None),
    arrays(networks=np.zeros((0, 2))),
    arrays(networks=np.zeros((25, 3))),
    arrays(prompts=np.full((25, 2), np.nan)),
    arrays(prompts=np.full((25, 2), 1.5)),
    arrays(prompts=np.array([["a", "b"]])),
    arrays(prompts=np.array([[None, {}]], dtype=object)),
    lambda file: np.save(file.open("wb"), np.zeros((25, 2))),
]
DATABASE = [
    Path.unlink,
    truncate,
    scramble,
    scramble_middle,
    empty,
    sql("DROP TABLE candidates"),
    sql("DROP TABLE generations"),
    sql("ALTER TABLE candidates RENAME COLUMN source TO code"),
]
CONTENT = [
    sql("UPDATE candidates SET kind = 'splendid' WHERE number = 3"),
    sql("UPDATE candidates SET operator = 'luck' WHERE number = 3"),
    sql("UPDATE candidates SET parents = '[' WHERE number = 3"),
    sql("UPDATE candidates SET prompt = 99 WHERE number = 3"),
    sql("UPDATE candidates SET source = NULL WHERE number = 3"),
    sql("UPDATE candidates SET descriptors = '[1]' WHERE number = 0"),
    sql("DELETE FROM candidates WHERE number = 3"),
    sql("UPDATE generations SET rng_state = '{}'"),
    sql("INSERT INTO meta VALUES ('elapsed', 'x') ON CONFLICT DO UPDATE SET value = 'x'"),
]


def check_damaged(run: Path, name: str, damage: Callable[[Path], Any]) -> None:
    damage(run / name)
    before = contents(run)
    for write in (True, False):
        with pytest.raises(StoreError) as caught:
            RunStore.open(run, write=write)
        message = str(caught.value)
        assert message.startswith("expected a whole run in ")
        assert f"found it damaged ({name}" in message
        assert "nothing was changed: restore" in message
        # The number in the lock is no part of the run.
        assert {k: v for k, v in contents(run).items() if k != "lock"} == {
            k: v for k, v in before.items() if k != "lock"
        }
    assert not is_running(run)


@pytest.mark.parametrize("damage", CONFIG)
def test_a_damaged_configuration_is_told_and_left_alone(run: Path, damage: Any) -> None:
    check_damaged(run, "config.json", damage)


@pytest.mark.parametrize("damage", CENTROIDS)
def test_damaged_centroids_are_told_and_left_alone(run: Path, damage: Any) -> None:
    check_damaged(run, "centroids.npz", damage)


@pytest.mark.parametrize("damage", DATABASE)
def test_a_damaged_database_is_told_and_left_alone(run: Path, damage: Any) -> None:
    check_damaged(run, "run.sqlite", damage)


@pytest.mark.parametrize("damage", CONTENT)
def test_a_database_whose_parts_do_not_fit_is_told_by_whoever_goes_on_with_it(
    run: Path, damage: Any
) -> None:
    damage(run / "run.sqlite")
    before = contents(run)
    with pytest.raises(StoreError, match=r"damaged \((run.sqlite|candidate 3)"):
        session(RunStore.open(run)).run()
    assert not is_running(run)
    assert contents(run)["run.sqlite"] == before["run.sqlite"]


def test_a_folder_without_a_run_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"expected a run folder at .*, found no such folder"):
        RunStore.open(tmp_path / "none")
    with pytest.raises(StoreError, match=r"found no config.json in it; llmatic-orch runs"):
        RunStore.open(tmp_path)


def test_a_run_of_a_newer_format_is_not_damaged_but_newer(run: Path) -> None:
    edit(lambda c: c.update(format_version=2))(run / "config.json")
    with pytest.raises(StoreError, match=r"format 1 or older, found format 2 .*; upgrade"):
        RunStore.open(run, write=False)


def test_a_setting_that_an_older_version_did_not_know_keeps_its_default(run: Path) -> None:
    edit(lambda c: c["settings"].pop("top_p") and None)(run / "config.json")
    with RunStore.open(run, write=False) as store:
        assert "top_p" not in store.config["settings"]


# -- disks ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_disk_stops_a_run_and_room_lets_it_go_on(tmp_path: Path) -> None:
    session(new_store(tmp_path / "undisturbed")).run()
    run = tmp_path / "disk"
    # The run folder is itself the mounted disk.
    with tmpfs(run, "240k"):
        with pytest.raises(StoreError, match=r"expected room to write .*free some space .*resume"):
            session(new_store(run)).run()
        assert not is_running(run)
        stored = everything(run)
        assert len(stored) > 1
        assert not all(row[4] for row in stored) or len(stored) < 121
        # Still full: still told, and nothing lost.
        with pytest.raises(StoreError, match="expected room to write"):
            session(RunStore.open(run)).run()
        remount(run, "size=8m")
        summary = session(RunStore.open(run)).run()
        assert summary["finished"] == "generations"
        assert everything(run) == everything(tmp_path / "undisturbed")


def test_a_disk_too_small_for_a_run_gets_none(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "12k"):
        with pytest.raises(StoreError, match=r"No space left|room to write"):
            new_store(tmp_path / "disk" / "run")
        assert list((tmp_path / "disk").iterdir()) == []


def test_a_read_only_run_can_be_read_and_not_resumed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with tmpfs(disk, "8m"):
        session(new_store(disk / "run")).run()
        before = everything(disk / "run")
        remount(disk, "ro")
        assert everything(disk / "run") == before
        with pytest.raises(StoreError, match=r"expected to write to .*Read-only file system"):
            RunStore.open(disk / "run")
        with pytest.raises(StoreError, match=r"is a read-only folder; choose another with --run"):
            check_new(disk / "new" / "run")


def test_a_read_only_run_that_was_killed_is_read_with_its_log(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.runs import new_store, session\n"
        "from tests.support import InProcess, judge_numbers\n"
        "count = iter(range(30))\n"
        "def judge(job):\n"
        "    if next(count) == 25: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return judge_numbers(job)\n"
        "session(new_store(Path(sys.argv[1])), executor=InProcess(judge, slots=1)).run()\n"
    )
    with tmpfs(disk, "8m"):
        subprocess.run([sys.executable, "-c", program, str(disk / "run")], cwd=ROOT, check=False)
        assert (disk / "run" / "run.sqlite-wal").stat().st_size > 0
        remount(disk, "ro")
        assert sum(row[4] for row in everything(disk / "run")) >= 20


def test_a_path_through_a_file_is_no_place_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="expected to"):
        new_store(tmp_path / "file" / "run")
