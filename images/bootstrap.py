"""Makes a base image out of Debian packages, for hosts that no image registry answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from images.engine import NO_ANSWER
from images.errors import ImageError
from images.host import apt_install, is_debian, is_root
from images.progress import Event, Tell

#: Debian 12: its Python is 3.11, as in the official image.
SUITE = "bookworm"
STEP = "base image"
#: Nothing of these is read in a guest.
UNNEEDED = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man",
            "usr/share/locale", "usr/share/info")  # fmt: skip


def bootstrap_base(client: docker.DockerClient, name: str, tell: Tell) -> None:
    """Make a minimal Debian with Python 3.11 and import it as an image.

    Raises:
        ImageError: not root on Debian, debootstrap failed, or the engine refused the image.
    """
    if not is_root() or not (is_debian() or shutil.which("debootstrap")):
        raise ImageError(
            "expected a registry that gives a base image, or root on Debian to bootstrap one; "
            "found neither; on a machine that reaches a registry run "
            "`docker save python:3.11-slim-bookworm > base.tar`, here `docker load < base.tar` "
            "(or name any image that has Python 3.11 with --base IMAGE)"
        )
    missing = [] if shutil.which("debootstrap") else ["debootstrap"]
    if not Path(f"/usr/share/debootstrap/scripts/{SUITE}").exists() and not missing:
        missing = ["debootstrap"]
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists() and is_debian():
        missing.append("debian-archive-keyring")
    if missing:
        apt_install(missing, STEP, tell)
    with _scratch() as root:
        _debootstrap(root, tell)
        for folder in UNNEEDED:
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir(parents=True)
        _import(client, root, name, tell)


def debian_mirror() -> list[str]:
    """The mirror that this host's own apt uses for the suite, or nothing: debootstrap's default."""
    if not shutil.which("apt-get"):
        return []
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)",
         "Created-By: Packages", "Component: main", f"Codename: {SUITE}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = done.stdout.split()
    return found[:1] if found and found[0].startswith(("http", "file")) else []


def _debootstrap(root: Path, tell: Tell) -> None:
    command = ["debootstrap", "--variant=minbase", "--include=python3", SUITE, str(root)]
    command += debian_mirror()
    tell(Event(STEP, "debootstrap: Debian bookworm with Python 3.11"))
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            # One line a package is too much for a log; the phases are few.
            if line.startswith("I: ") and not line.startswith(("I: Retrieving", "I: Valid")):
                phase = line[3:].split("...")[0].strip()
                if not phase[:1].isupper() or "packages" in phase or "system" in phase:
                    tell(Event(STEP, f"debootstrap: {phase[:60]}"))
    if process.returncode != 0:
        tail = "\n".join(lines[-8:])
        raise ImageError(
            f"expected debootstrap to make a base image; it failed:\n{tail}\n"
            "see that this host reaches its Debian mirror (`apt-get update`; http_proxy is "
            "respected) and has 500 MB free in /var/tmp, or name an image with --base IMAGE"
        )


def _import(client: docker.DockerClient, root: Path, name: str, tell: Tell) -> None:
    tell(Event(STEP, f"importing {name}"))
    repository, _, tag = name.partition(":")
    with subprocess.Popen(
        ["tar", "-C", str(root), "--numeric-owner", "--one-file-system", "-c", "."],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as tar:
        assert tar.stdout is not None
        chunks = iter(lambda: tar.stdout.read(1 << 20), b"")  # type: ignore[union-attr]
        try:
            client.api.import_image_from_stream(chunks, repository=repository, tag=tag or "latest")
        except NO_ANSWER as error:
            tar.kill()
            raise ImageError(
                f"the Docker engine did not take the base image: {error}; see that it has "
                "500 MB of disk free, then try again"
            ) from error
    if tar.returncode != 0:
        raise ImageError(f"packing the base image failed (tar ended with {tar.returncode})")


#: Where the file tree is made. Not /tmp, where device files are often forbidden.
SCRATCH = Path("/var/tmp")
PREFIX = "llmatic-orch-base-"


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for the file tree; those of bootstraps that were killed are removed first."""
    for left_over in SCRATCH.glob(f"{PREFIX}*"):
        if not Path(f"/proc/{left_over.name.removeprefix(PREFIX).split('-')[0]}").exists():
            remove_tree(left_over)
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=SCRATCH))
    try:
        yield root
    finally:
        remove_tree(root)


def remove_tree(root: Path) -> None:
    """Remove a tree, after what is mounted in it; it stays if something cannot be unmounted.

    debootstrap mounts /proc inside and a killed one leaves it there: what is mounted must never
    be deleted through.
    """
    inside = f"{root}/"
    for line in reversed(_mounts()):
        if line.split()[1].startswith(inside):
            subprocess.run(["umount", line.split()[1]], capture_output=True, check=False)
    if not any(line.split()[1].startswith(inside) for line in _mounts()):
        shutil.rmtree(root, ignore_errors=True)


def _mounts() -> list[str]:
    return Path("/proc/mounts").read_text().splitlines()
