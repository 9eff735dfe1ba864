"""The run store: one folder per run, with one SQLite file, its configuration and its centroids.

``run.sqlite`` (WAL) holds every candidate from plan to evaluation. Each step of a candidate is one
transaction, so a run can be killed at any instant: what is stored is whole, and the search goes on
from there. ``config.json`` says what the run is; ``centroids.npz`` holds both archives' centroids.
``lock`` is held by the one process that may write.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from orchestrator.candidate import Candidate, Operator, Plan, Result, Writing
from orchestrator.llm.protocol import StopReason
from orchestrator.run_folder import (
    FORMAT_VERSION,
    STAGING,
    StoreError,
    cannot_write,
    check_new,
    damaged,
    is_running,
    read_centroids,
    read_config,
    take_lock,
)
from plugins.contract import Evaluation
from sandbox.outcome import Outcome, OutcomeKind

__all__ = [
    "FORMAT_VERSION",
    "RunStore",
    "StoreError",
    "Stored",
    "check_new",
    "is_running",
    "read_config",
    "storable",
]

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE generations (
    number INTEGER PRIMARY KEY,
    rng_state TEXT NOT NULL          -- of the run's generator, after this generation was planned
);
CREATE TABLE candidates (
    number INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    operator TEXT NOT NULL,
    parents TEXT NOT NULL,           -- JSON list of numbers
    prompt INTEGER,
    temperature REAL NOT NULL,
    selected INTEGER,
    llm_seed INTEGER NOT NULL,
    source TEXT,                     -- from here on: what the LLM did
    source_key TEXT,
    tokens_in INTEGER,
    tokens_out INTEGER,
    stop TEXT,
    llm_seconds REAL,
    kind TEXT,                       -- from here on: what the sandbox and the plugin made of it
    reason TEXT,
    report TEXT,
    stdout TEXT,
    stderr TEXT,
    seconds TEXT,
    attempts INTEGER,
    fitness REAL,
    descriptors TEXT,
    identity TEXT,
    details TEXT,
    committed INTEGER NOT NULL DEFAULT 0,
    duplicate_of INTEGER,
    entered INTEGER NOT NULL DEFAULT 0
);
"""

_COLUMNS = frozenset(re.findall(r"^    ([a-z_]+) ", _SCHEMA.partition("TABLE candidates")[2], re.M))
_RESULT_COLUMNS = (
    "kind, reason, report, stdout, stderr, seconds, attempts, "
    "fitness, descriptors, identity, details"
)


@dataclass(frozen=True)
class Stored:
    """One row: a candidate as far as it has come."""

    plan: Plan
    writing: Writing | None
    result: Result | None
    committed: bool
    duplicate_of: int | None
    entered: bool

    def candidate(self) -> Candidate:
        """The row of a committed candidate."""
        assert self.writing is not None
        assert self.result is not None
        return Candidate(self.plan, self.writing, self.result, self.duplicate_of, self.entered)


class RunStore:
    """A run's folder. Use :meth:`create` or :meth:`open`; close it when done."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        config: dict[str, Any],
        network_centroids: np.ndarray,
        prompt_centroids: np.ndarray,
        lock: IO[str] | None,
    ) -> None:
        self.path = path
        self.config = config
        self.network_centroids = network_centroids
        self.prompt_centroids = prompt_centroids
        self._connection = connection
        self._lock = lock

    @classmethod
    def create(
        cls,
        path: Path,
        config: Mapping[str, Any],
        network_centroids: np.ndarray,
        prompt_centroids: np.ndarray,
    ) -> RunStore:
        """Make a new run folder, whole or not at all, and open it for writing.

        Args:
            path: the folder; must not exist, or be an empty folder.
            config: JSON values.
            network_centroids: shape (cells, 2), in [0, 1].
            prompt_centroids: likewise.

        Raises:
            StoreError: the folder exists and holds something, or cannot be written.
        """
        check_new(path)
        # Made beside its place and moved there, so that no half-made run is ever seen; in an
        # empty folder (it may be a mount point, which cannot be moved to) file by file.
        in_place = path.is_dir()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            place = path if in_place else path.parent
            staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=place))
        except OSError as error:
            raise StoreError(cannot_write(path, error)) from error
        try:
            full = {"format_version": FORMAT_VERSION, **config}
            (staging / "config.json").write_text(json.dumps(full, indent=2) + "\n", "utf-8")
            np.savez(
                staging / "centroids.npz", networks=network_centroids, prompts=prompt_centroids
            )
            (staging / "lock").touch()
            with _guard(path):
                _make_database(staging / "run.sqlite")
            _publish(staging, path, in_place)
        except OSError as error:
            raise StoreError(cannot_write(path, error)) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, write: bool = True) -> RunStore:
        """Open a run folder.

        Args:
            path: the folder.
            write: take the lock; only one process at a time can.

        Raises:
            StoreError: no run there, damaged, of a newer format, or (to write) in use.
        """
        config = read_config(path)
        lock = take_lock(path) if write else None
        try:
            networks, prompts = read_centroids(path)
            with _guard(path):
                connection = _connect(path, write)
        except BaseException:
            if lock is not None:
                lock.close()
            raise
        return cls(path, connection, config, networks, prompts, lock)

    def close(self) -> None:
        """Close the database and release the lock. Idempotent."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- writing ---------------------------------------------------------------------------

    def add_generation(self, number: int, plans: Sequence[Plan], rng_state: Any) -> None:
        """Store a generation's plans, and the generator as it stands after planning."""
        with self._transaction() as db:
            db.execute("INSERT INTO generations VALUES (?, ?)", (number, json.dumps(rng_state)))
            db.executemany(
                "INSERT INTO candidates (number, generation, operator, parents, prompt,"
                " temperature, selected, llm_seed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        plan.number,
                        plan.generation,
                        plan.operator.value,
                        json.dumps(plan.parents),
                        plan.prompt,
                        plan.temperature,
                        plan.selected,
                        plan.llm_seed,
                    )
                    for plan in plans
                ],
            )

    def write(self, number: int, writing: Writing) -> None:
        """Store what the LLM wrote for a candidate."""
        with self._transaction() as db:
            db.execute(
                "UPDATE candidates SET source = ?, source_key = ?, tokens_in = ?, tokens_out = ?,"
                " stop = ?, llm_seconds = ? WHERE number = ?",
                (
                    storable(writing.source),
                    writing.key,
                    writing.tokens_in,
                    writing.tokens_out,
                    writing.stop.value if writing.stop else None,
                    writing.seconds,
                    number,
                ),
            )

    def record(self, number: int, result: Result) -> None:
        """Store the result of the job that a candidate's source went through."""
        with self._transaction() as db:
            self._record(db, number, result)

    def commit(self, number: int, result: Result, duplicate_of: int | None, entered: bool) -> None:
        """Store a candidate's result and its place in the archives; it is then committed."""
        with self._transaction() as db:
            self._record(db, number, result)
            db.execute(
                "UPDATE candidates SET committed = 1, duplicate_of = ?, entered = ?"
                " WHERE number = ?",
                (duplicate_of, int(entered), number),
            )

    def set_meta(self, **values: Any) -> None:
        """Store JSON values by name (``elapsed``, ``finished`` ...)."""
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO meta VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [(key, json.dumps(value)) for key, value in values.items()],
            )

    # -- reading ---------------------------------------------------------------------------

    def meta(self) -> dict[str, Any]:
        """All that :meth:`set_meta` stored."""
        with _guard(self.path):
            rows = self._connection.execute("SELECT key, value FROM meta").fetchall()
        with self.whole():
            return {row["key"]: json.loads(row["value"]) for row in rows}

    def last_generation(self) -> tuple[int, Any] | None:
        """Number of the last planned generation, and the generator's state after it."""
        with _guard(self.path):
            row = self._connection.execute(
                "SELECT number, rng_state FROM generations ORDER BY number DESC LIMIT 1"
            ).fetchone()
        with self.whole():
            return (row["number"], json.loads(row["rng_state"])) if row else None

    def candidates(self) -> Iterator[Stored]:
        """All candidates in the order of their numbers."""
        with _guard(self.path):
            for row in self._connection.execute("SELECT * FROM candidates ORDER BY number"):
                yield _stored(self.path, row)

    def candidate(self, number: int) -> Stored | None:
        """One candidate, or None where there is no such number."""
        with _guard(self.path):
            row = self._connection.execute(
                "SELECT * FROM candidates WHERE number = ?", (number,)
            ).fetchone()
            return _stored(self.path, row) if row else None

    def source(self, number: int) -> str:
        """The source of a candidate that has been written."""
        with _guard(self.path):
            row = self._connection.execute(
                "SELECT source FROM candidates WHERE number = ?", (number,)
            ).fetchone()
        if row is None or row["source"] is None:
            raise StoreError(damaged(self.path, f"candidate {number} has no source"))
        return str(row["source"])

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Around work with what was read: where the parts do not fit, the run is damaged.

        Raises:
            StoreError: instead of the error that came of it.
        """
        try:
            yield
        except (ValueError, TypeError, LookupError, AssertionError, RecursionError) as error:
            what = f"run.sqlite: {type(error).__name__}: {error}"
            raise StoreError(damaged(self.path, what)) from error

    # -- helpers ---------------------------------------------------------------------------

    def _record(self, db: sqlite3.Connection, number: int, result: Result) -> None:
        outcome, evaluation = result.outcome, result.evaluation
        names = [name.strip() for name in _RESULT_COLUMNS.split(",")]
        db.execute(
            f"UPDATE candidates SET {', '.join(f'{name} = ?' for name in names)} WHERE number = ?",
            (
                outcome.kind.value,
                storable(outcome.reason),
                _dump(outcome.report),
                storable(outcome.stdout),
                storable(outcome.stderr),
                _dump(outcome.seconds),
                outcome.attempts,
                evaluation.fitness if evaluation else None,
                _dump(evaluation.descriptors) if evaluation else None,
                evaluation.identity if evaluation else None,
                _dump(evaluation.details) if evaluation else None,
                number,
            ),
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _guard(self.path), self._connection:
            yield self._connection


def _make_database(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO meta VALUES ('format_version', ?)", (str(FORMAT_VERSION),))
        connection.commit()


def _publish(staging: Path, path: Path, in_place: bool) -> None:
    """Move a new run to its place; ``config.json``, which makes a folder a run, comes last."""
    if not in_place:
        staging.chmod(0o755)
        try:
            staging.rename(path)
        except OSError:
            # Another process may have been faster: say so.
            check_new(path)
            raise
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        check_new(path)
        for name in ("lock", "centroids.npz", "run.sqlite", "config.json"):
            (staging / name).rename(path / name)
        for left in path.iterdir():
            if left.name.startswith(STAGING):
                shutil.rmtree(left, ignore_errors=True)
    finally:
        os.close(folder)


def _connect(path: Path, write: bool) -> sqlite3.Connection:
    """A connection to a database that was found whole."""
    database = path / "run.sqlite"
    if not database.is_file():
        raise StoreError(damaged(path, "run.sqlite is missing"))
    if database.stat().st_size == 0:
        # SQLite would take it for a new database, and make it one.
        raise StoreError(damaged(path, "run.sqlite is empty"))
    connection = sqlite3.connect(database, timeout=30) if write else _connect_read_only(database)
    try:
        connection.row_factory = sqlite3.Row
        # SQLite finds damage only where it reads: ask once, so that a broken file is noticed
        # before anything is built on it.
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreError(damaged(path, f"run.sqlite: {verdict}"))
        found = {row["name"] for row in connection.execute("PRAGMA table_info(candidates)")}
        missing = sorted(_COLUMNS - found)
        if missing:
            raise StoreError(damaged(path, f"run.sqlite: candidates has no {missing[0]}"))
        for table in ("meta", "generations"):
            connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
        if write:
            connection.execute("PRAGMA journal_mode=WAL")
            # NORMAL survives the death of the process; only a power cut can lose the last
            # steps, and never breaks the file.
            connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_read_only(database: Path) -> sqlite3.Connection:
    """Open for reading beside a writer; where nothing can be written, read what lies there."""
    if os.access(database.parent, os.W_OK) and os.access(database, os.W_OK):
        connection = sqlite3.connect(database, timeout=30)
        connection.execute("PRAGMA query_only=1")
        return connection
    uri = f"{database.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=30)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        # Without its -shm file, SQLite reads it only if told that nobody writes. So it is: a
        # writer would have made that file.
        connection.close()
        connection = sqlite3.connect(f"{uri}&immutable=1", uri=True)
    return connection


def storable(text: str) -> str:
    """Text as it can be stored and read back: what is no valid Unicode becomes ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "full" in text or "disk I/O" in text:
            raise StoreError(
                f"expected room to write {path / 'run.sqlite'}, found: {text}; free some space "
                f"there, then: llmatic-orch resume {path} (all that was stored is kept)"
            ) from error
        if "readonly" in text or "unable to open" in text or "locked" in text:
            raise StoreError(cannot_write(path, error)) from error
        raise StoreError(damaged(path, f"run.sqlite: {text}")) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(damaged(path, f"run.sqlite: {error}")) from error


def _dump(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _load(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _stored(path: Path, row: sqlite3.Row) -> Stored:
    try:
        return _parse(row)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreError(damaged(path, f"candidate {row['number']}: {error}")) from error


def _parse(row: sqlite3.Row) -> Stored:
    plan = Plan(
        number=row["number"],
        generation=row["generation"],
        operator=Operator(row["operator"]),
        parents=tuple(_load(row["parents"])),
        prompt=row["prompt"],
        temperature=row["temperature"],
        selected=row["selected"],
        llm_seed=row["llm_seed"],
    )
    writing = None
    if row["source"] is not None:
        writing = Writing(
            source=row["source"],
            key=row["source_key"],
            tokens_in=row["tokens_in"],
            tokens_out=row["tokens_out"],
            stop=StopReason(row["stop"]) if row["stop"] else None,
            seconds=row["llm_seconds"],
        )
    result = None
    if row["kind"] is not None:
        evaluation = None
        if row["fitness"] is not None:
            evaluation = Evaluation(
                fitness=row["fitness"],
                descriptors=tuple(_load(row["descriptors"])),
                identity=row["identity"],
                details=_load(row["details"]) or {},
            )
        outcome = Outcome(
            kind=OutcomeKind(row["kind"]),
            reason=row["reason"],
            report=_load(row["report"]),
            stdout=row["stdout"],
            stderr=row["stderr"],
            seconds=_load(row["seconds"]) or {},
            attempts=row["attempts"],
        )
        result = Result(outcome, evaluation)
    return Stored(
        plan=plan,
        writing=writing,
        result=result,
        committed=bool(row["committed"]),
        duplicate_of=row["duplicate_of"],
        entered=bool(row["entered"]),
    )
