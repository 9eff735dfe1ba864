"""A run's folder apart from its database: configuration, centroids, the lock, and what is wrong.

Everything read here is checked before anything is built on it, and a folder that fails is left as
it was found.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from orchestrator.errors import OrchestratorError
from orchestrator.settings import SearchSettings

#: Version of the folder's layout and of the tables. Readers take this one and all older ones.
FORMAT_VERSION = 1
#: What the folder begins with in which a new run is made, before it is moved to its place.
STAGING = ".new-run-"
#: Asking whether a run is running holds its lock for an instant; so long a writer waits for that.
_LOCK_SECONDS = 0.5

#: What a configuration holds at least, and of which type. JSON's own types.
_SHAPE: tuple[tuple[tuple[str, ...], type], ...] = (
    (("plugin",), dict),
    (("plugin", "name"), str),
    (("plugin", "options"), dict),
    (("llm",), dict),
    (("llm", "spec"), str),
    (("settings",), dict),
    (("sandbox",), dict),
    (("descriptors",), list),
    (("prompts",), list),
)


class StoreError(OrchestratorError):
    """The run folder cannot be used. Says what was expected, found, and what to do."""


def check_new(path: Path) -> None:
    """Make sure that a run folder can be made there.

    Raises:
        StoreError: it exists and holds something, or nothing can be written there.
    """
    try:
        taken = path.exists() and (not path.is_dir() or any(not_staging(path)))
        place = path.absolute()
        while not place.exists():
            place = place.parent
    except OSError as error:
        raise StoreError(cannot_write(path, error)) from error
    if taken:
        raise StoreError(
            f"expected a new run folder, found that {path} exists; choose another with --run, "
            f"or continue it with: llmatic-orch resume {path}"
        )
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        found = "is a read-only folder" if place.is_dir() else "is no folder"
        raise StoreError(
            f"expected to make a run folder at {path}, found that {place} {found}; "
            "choose another with --run"
        )


def not_staging(path: Path) -> list[Path]:
    """What a folder holds, apart from what a killed attempt to make a run there left behind."""
    return [entry for entry in path.iterdir() if not entry.name.startswith(STAGING)]


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
    except KeyError as error:
        raise StoreError(damaged(path, f"config.json: no {error}")) from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise StoreError(damaged(path, f"config.json: {error}")) from error
    if type(version) is not int or version < 1:
        raise StoreError(damaged(path, f"config.json: format_version is {version!r}"))
    if version > FORMAT_VERSION:
        raise StoreError(
            f"expected a run of format {FORMAT_VERSION} or older, found format {version} in "
            f"{path}; upgrade llmatic-orch to read it"
        )
    _check_shape(path, config)
    return dict(config)


def _check_shape(path: Path, config: dict[str, Any]) -> None:
    for keys, kind in _SHAPE:
        value: Any = config
        name = ".".join(keys)
        for key in keys:
            if key not in value:
                raise StoreError(damaged(path, f"config.json: no {name}"))
            value = value[key]
        if not isinstance(value, kind):
            found = type(value).__name__
            raise StoreError(damaged(path, f"config.json: {name} is a {found}"))
    try:
        SearchSettings.from_json(config["settings"])
    except ValueError as error:
        raise StoreError(damaged(path, f"config.json: settings: {error}")) from error


def read_centroids(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Both archives' centroids, networks first: shapes (cells, 2), float64, in [0, 1].

    Raises:
        StoreError: missing or damaged.
    """
    try:
        with np.load(path / "centroids.npz", allow_pickle=False) as file:
            networks, prompts = file["networks"], file["prompts"]
    except Exception as error:
        # numpy and zipfile raise nearly anything for bytes that are no archive of arrays.
        raise StoreError(damaged(path, f"centroids.npz: {error}")) from error
    for name, array in (("networks", networks), ("prompts", prompts)):
        whole = (
            array.dtype == np.float64
            and array.ndim == 2
            and array.shape[0] > 0
            and array.shape[1] == 2
            and bool(((array >= 0) & (array <= 1)).all())
        )
        if not whole:
            found = f"{name} are {array.dtype} of shape {array.shape}, or outside of [0, 1]"
            raise StoreError(damaged(path, f"centroids.npz: {found}"))
    return networks, prompts


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


def take_lock(path: Path) -> IO[str]:
    """Become the one process that runs this run; close the file to let go.

    Raises:
        StoreError: another process runs it, or the folder cannot be written.
    """
    try:
        file = open(path / "lock", "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise StoreError(cannot_write(path, error)) from error
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if isinstance(error, BlockingIOError) and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
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


def cannot_write(path: Path, error: Exception) -> str:
    """The message for a folder that cannot be written."""
    return f"expected to write to {path}, found: {error}; free space, or choose another with --run"


def damaged(path: Path, what: str) -> str:
    """The message for a run that is not whole."""
    return (
        f"expected a whole run in {path}, found it damaged ({what}); nothing was changed: restore "
        "the folder from a copy, or start a new run"
    )
