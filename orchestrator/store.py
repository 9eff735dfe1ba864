"""The run store: one folder per run, with one SQLite file, its configuration and its centroids.

``run.sqlite`` (WAL) holds every candidate from plan to evaluation. Each step of a candidate is one
transaction, so a run can be killed at any instant: what is stored is whole, and the search goes on
from there. ``config.json`` says what the run is; ``centroids.npz`` holds both archives' centroids.
``lock`` is held by the one process that may write.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from orchestrator.candidate import Candidate, Operator, Plan, Result, Writing
from orchestrator.errors import OrchestratorError
from orchestrator.llm.protocol import StopReason
from plugins.contract import Evaluation
from sandbox.outcome import Outcome, OutcomeKind

#: Version of the folder's layout and of the tables. Readers take this one and all older ones.
FORMAT_VERSION = 1

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

_RESULT_COLUMNS = (
    "kind, reason, report, stdout, stderr, seconds, attempts, "
    "fitness, descriptors, identity, details"
)


class StoreError(OrchestratorError):
    """The run folder cannot be used. Says what was expected, found, and what to do."""


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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Made beside its place and moved there, so that no half-made run is ever seen.
            staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        except OSError as error:
            raise StoreError(_cannot_write(path, error)) from error
        try:
            full = {"format_version": FORMAT_VERSION, **config}
            (staging / "config.json").write_text(json.dumps(full, indent=2) + "\n", "utf-8")
            np.savez(
                staging / "centroids.npz", networks=network_centroids, prompts=prompt_centroids
            )
            (staging / "lock").touch()
            with _guard(path):
                connection = sqlite3.connect(staging / "run.sqlite")
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(_SCHEMA)
                connection.execute(
                    "INSERT INTO meta VALUES ('format_version', ?)", (str(FORMAT_VERSION),)
                )
                connection.commit()
                connection.close()
            staging.chmod(0o755)
            if path.exists():
                path.rmdir()
            staging.rename(path)
        except OSError as error:
            raise StoreError(_cannot_write(path, error)) from error
        finally:
            if staging.exists():
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
        lock = _lock(path) if write else None
        try:
            networks, prompts = _read_centroids(path)
            database = path / "run.sqlite"
            if not database.is_file():
                raise StoreError(_damaged(path, "run.sqlite is missing"))
            with _guard(path):
                if write:
                    connection = sqlite3.connect(database, timeout=30)
                    connection.execute("PRAGMA journal_mode=WAL")
                    # NORMAL survives the death of the process; only a power cut can lose the
                    # last steps, and never breaks the file.
                    connection.execute("PRAGMA synchronous=NORMAL")
                else:
                    connection = _connect_read_only(database)
                connection.row_factory = sqlite3.Row
                # SQLite finds damage only where it reads: ask once, so that a broken file is
                # noticed before anything is built on it.
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise StoreError(_damaged(path, f"run.sqlite: {verdict}"))
                connection.execute("SELECT number, committed FROM candidates LIMIT 1").fetchone()
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
        # Text that is no valid Unicode cannot be stored as such; it is kept readable.
        source = writing.source.encode("utf-8", "backslashreplace").decode("utf-8")
        with self._transaction() as db:
            db.execute(
                "UPDATE candidates SET source = ?, source_key = ?, tokens_in = ?, tokens_out = ?,"
                " stop = ?, llm_seconds = ? WHERE number = ?",
                (
                    source,
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
        return {row["key"]: json.loads(row["value"]) for row in rows}

    def last_generation(self) -> tuple[int, Any] | None:
        """Number of the last planned generation, and the generator's state after it."""
        with _guard(self.path):
            row = self._connection.execute(
                "SELECT number, rng_state FROM generations ORDER BY number DESC LIMIT 1"
            ).fetchone()
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
        stored = self.candidate(number)
        if stored is None or stored.writing is None:
            raise StoreError(_damaged(self.path, f"candidate {number} has no source"))
        return stored.writing.source

    # -- helpers ---------------------------------------------------------------------------

    def _record(self, db: sqlite3.Connection, number: int, result: Result) -> None:
        outcome, evaluation = result.outcome, result.evaluation
        names = [name.strip() for name in _RESULT_COLUMNS.split(",")]
        db.execute(
            f"UPDATE candidates SET {', '.join(f'{name} = ?' for name in names)} WHERE number = ?",
            (
                outcome.kind.value,
                outcome.reason,
                _dump(outcome.report),
                outcome.stdout,
                outcome.stderr,
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


def check_new(path: Path) -> None:
    """Make sure that a run folder can be made there.

    Raises:
        StoreError: it exists and holds something.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(
            f"expected a new run folder, found that {path} exists; choose another with --run, "
            f"or continue it with: llmatic-orch resume {path}"
        )


def read_config(path: Path) -> dict[str, Any]:
    """A run's configuration.

    Raises:
        StoreError: no run there, damaged, or of a newer format.
    """
    file = path / "config.json"
    if not file.is_file():
        found = "no such folder" if not path.exists() else "no config.json in it"
        raise StoreError(
            f"expected a run folder at {path}, found {found}; llmatic-orch runs lists the runs here"
        )
    try:
        config = json.loads(file.read_text("utf-8"))
        version = config["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(_damaged(path, f"config.json: {error}")) from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise StoreError(
            f"expected a run of format {FORMAT_VERSION} or older, found format {version} in "
            f"{path}; upgrade llmatic-orch to read it"
        )
    return dict(config)


def is_running(path: Path) -> bool:
    """Whether a process holds the run's lock right now."""
    try:
        with open(path / "lock", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _read_centroids(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path / "centroids.npz", allow_pickle=False) as file:
            networks, prompts = file["networks"], file["prompts"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(_damaged(path, f"centroids.npz: {error}")) from error
    for name, array in (("networks", networks), ("prompts", prompts)):
        if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
            raise StoreError(_damaged(path, f"centroids.npz: {name} has shape {array.shape}"))
    return networks, prompts


def _connect_read_only(database: Path) -> sqlite3.Connection:
    """Open for reading beside a writer; a folder that cannot be written to is read as it lies."""
    if os.access(database.parent, os.W_OK):
        connection = sqlite3.connect(database, timeout=30)
        connection.execute("PRAGMA query_only=1")
        return connection
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _lock(path: Path) -> IO[str]:
    try:
        file = open(path / "lock", "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise StoreError(_cannot_write(path, error)) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        who = f"process {owner}" if owner.isdigit() else "another process"
        raise StoreError(
            f"expected to be the only one that runs {path}, found that {who} is running it; "
            f"watch it with: llmatic-orch show {path}, or stop it first"
        ) from error
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError:
        # The number is for the other's message alone; a full disk must not keep a run from
        # saying so in its own words.
        pass
    return file


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
            raise StoreError(_cannot_write(path, error)) from error
        raise StoreError(_damaged(path, f"run.sqlite: {text}")) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(_damaged(path, f"run.sqlite: {error}")) from error


def _cannot_write(path: Path, error: Exception) -> str:
    return f"expected to write to {path}, found: {error}; free space, or choose another with --run"


def _damaged(path: Path, what: str) -> str:
    return (
        f"expected a whole run in {path}, found it damaged ({what}); nothing was changed: restore "
        "the folder from a copy, or start a new run"
    )


def _dump(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _load(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _stored(path: Path, row: sqlite3.Row) -> Stored:
    try:
        return _parse(row)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(_damaged(path, f"candidate {row['number']}: {error}")) from error


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
