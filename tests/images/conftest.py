"""What the tests of images share: files that may be edited, and an engine that may be killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.context import Sources
from images.daemon import Daemon, running


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A copy of the image's files that a test may change."""
    installed = Sources.installed()
    ignored = shutil.ignore_patterns("__pycache__", "*.py")
    images = shutil.copytree(str(installed.images), tmp_path / "images", ignore=ignored)
    ignored = shutil.ignore_patterns("__pycache__")
    guest = shutil.copytree(str(installed.guest), tmp_path / "guest", ignore=ignored)
    return Sources(images, guest)


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon beside the machine's own: its own folders, socket, and no network."""
    # In a network of its own: a dockerd without a bridge removes the host's docker0.
    apart = ["unshare", "--net", "true"]
    if not shutil.which("dockerd") or subprocess.run(apart, check=False).returncode != 0:
        pytest.skip("starting a second dockerd needs dockerd, and root to keep it apart")
    monkeypatch.setenv("LLMATIC_ORCH_CACHE", str(tmp_path / "cache"))
    # A socket's path may be 107 characters long, and pytest's folders are deep.
    short = Path(tempfile.mkdtemp(prefix="llmatic-orch-", dir="/tmp"))
    # In memory: deleting an engine's files from a disk can take half a minute.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(short)], check=True)
    daemon = Daemon(
        log=short / "log",
        pidfile=short / "docker.pid",
        containerd_pidfile=short / "exec/containerd/containerd.pid",
        host=f"unix://{short}/sock",
        command=("unshare", "--net", "dockerd"),
        arguments=(
            *("--data-root", f"{short}/data", "--exec-root", f"{short}/exec"),
            *("--host", f"unix://{short}/sock", "--bridge=none", "--iptables=false"),
        ),
    )
    yield daemon
    if running(daemon.pidfile, "dockerd"):
        pid = int(daemon.pidfile.read_text())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while running(daemon.pidfile, "dockerd") and time.monotonic() < deadline:
            time.sleep(0.1)
        if running(daemon.pidfile, "dockerd"):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        if f"{line.split()[1]}/".startswith(f"{short}/"):
            subprocess.run(["umount", "--lazy", line.split()[1]], check=False)
    shutil.rmtree(short, ignore_errors=True)
