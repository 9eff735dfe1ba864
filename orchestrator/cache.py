"""Where downloads live on this machine, and the remembered SHA-256 of large files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import platformdirs

#: Environment variable that moves the cache.
CACHE_VARIABLE = "LLMATIC_ORCH_CACHE"


def cache_dir() -> Path:
    """The folder for everything that can be downloaded again. Not created here."""
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).expanduser()
    return Path(platformdirs.user_cache_dir("llmatic-orch", appauthor=False))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hex, remembered by path, size and modification time.

    Hashing a gigabyte takes one to three seconds, which a search should not pay at each start.

    Raises:
        OSError: the file cannot be read.
    """
    path = path.resolve()
    stat = path.stat()
    key = [str(path), stat.st_size, stat.st_mtime_ns]
    note = cache_dir() / "hashes" / (hashlib.sha256(str(path).encode()).hexdigest()[:24] + ".json")
    try:
        remembered = json.loads(note.read_text())
        if remembered["key"] == key:
            return str(remembered["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"key": key, "sha256": digest}))
        temporary.replace(note)
    except OSError:
        # A cache that cannot be written costs time at the next start, and nothing else.
        pass
    return digest
