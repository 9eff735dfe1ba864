"""Where this package keeps what it downloaded, and the lock that keeps two builds apart."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from images.errors import ImageError
from images.progress import Event, Tell


def cache_dir() -> Path:
    """The user's cache folder; ``LLMATIC_ORCH_CACHE`` moves it, as for all that is downloaded."""
    override = os.environ.get("LLMATIC_ORCH_CACHE")
    if override:
        return Path(override).expanduser()
    return Path(platformdirs.user_cache_dir("llmatic-orch", appauthor=False))


@contextmanager
def exclusive(name: str, tell: Tell) -> Iterator[None]:
    """Hold a lock among all processes of this user; it is free again however its holder ends.

    Raises:
        ImageError: the cache folder cannot be written.
    """
    folder = cache_dir() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / f"{name}.lock").open("w")
    except OSError as error:
        raise ImageError(
            f"expected a writable cache folder, found {error}; free it, or name another one with "
            "LLMATIC_ORCH_CACHE=FOLDER"
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(Event(name, "another process is doing this already: waiting for it"))
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
