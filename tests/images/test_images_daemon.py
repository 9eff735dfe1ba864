"""Where no engine answers, one is started; what a dead one left does not stop it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from images import daemon as daemons
from images.daemon import Daemon, bring_up_engine, clear_stale, cures, running
from images.errors import ImageError
from images.host import is_debian
from images.progress import Event, silent

IPTABLES = (
    'level=warning msg="Running iptables --wait failed"\n'
    "failed to start daemon: Error initializing network controller: error obtaining controller "
    "instance: failed to create NAT chain DOCKER: iptables failed: iptables -t nat -N DOCKER: "
    "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument\n"
)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (IPTABLES, ("other-iptables", "no-iptables")),
        ("failed to start daemon: Devices cgroup isn't mounted\n", ("mount-cgroups",)),
        (
            'msg="Running iptables failed"\nfailed to start daemon: error while opening volume\n',
            (),
        ),
        ("", ()),
    ],
)
def test_the_last_word_of_a_daemon_decides_the_cure(log: str, expected: tuple[str, ...]) -> None:
    assert cures(log) == expected


def test_a_pidfile_is_stale_unless_its_process_is_that_program(tmp_path: Path) -> None:
    pidfile = tmp_path / "docker.pid"
    assert not running(pidfile, "dockerd")
    pidfile.write_text(f"{os.getpid()}\n")
    own = Path("/proc/self/comm").read_text().strip()
    assert running(pidfile, own)
    assert not running(pidfile, "dockerd")
    pidfile.write_text("not a number")
    assert not running(pidfile, "dockerd")


def test_a_zombie_is_not_running(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    pidfile = tmp_path / "pid"
    pidfile.write_text(str(process.pid))
    deadline = time.monotonic() + 10
    while running(pidfile, "true") and time.monotonic() < deadline:
        time.sleep(0.01)
    # Not waited for, so it still has a name in /proc.
    assert Path(f"/proc/{process.pid}/comm").read_text().strip() == "true"
    assert not running(pidfile, "true")
    process.wait()


def test_only_stale_pidfiles_are_removed(tmp_path: Path) -> None:
    daemon = Daemon(
        log=tmp_path / "log",
        pidfile=tmp_path / "docker.pid",
        containerd_pidfile=tmp_path / "containerd.pid",
    )
    # A number that some other program has now, as after a reboot.
    daemon.pidfile.write_text(str(os.getpid()))
    process = subprocess.Popen(["sleep", "60"], executable=_named(tmp_path, "containerd"))
    try:
        daemon.containerd_pidfile.write_text(str(process.pid))
        deadline = time.monotonic() + 10
        while not running(daemon.containerd_pidfile, "containerd"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        events: list[Event] = []
        clear_stale(daemon, events.append)
        assert not daemon.pidfile.exists()
        assert daemon.containerd_pidfile.exists()
        assert len(events) == 1
    finally:
        process.kill()
        process.wait()


def _named(folder: Path, name: str) -> str:
    path = folder / name
    shutil.copy(shutil.which("sleep") or "/bin/sleep", path)
    return str(path)


def test_an_engine_that_a_person_chose_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setattr(daemons, "_spawn", None)
    with pytest.raises(ImageError, match="correct DOCKER_HOST"):
        bring_up_engine(silent)


def test_debian_is_known_by_its_own_word(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('NAME="Fedora Linux"\nID=fedora\n')
    assert not is_debian(release)
    assert not is_debian(tmp_path / "absent")
    if shutil.which("apt-get"):
        release.write_text('ID=ubuntu\nID_LIKE="debian"\n')
        assert is_debian(release)


@pytest.mark.docker
def test_an_engine_is_started_survives_and_starts_again_after_a_kill(second: Daemon) -> None:
    events: list[Event] = []
    client = bring_up_engine(events.append, second)
    assert client.ping()
    pid = int(second.pidfile.read_text())
    # In a session of its own: no Ctrl-C at our terminal reaches it.
    assert os.getsid(pid) == pid
    assert any(str(second.log) in event.note for event in events)

    events.clear()
    bring_up_engine(events.append, second)
    assert events == []
    assert int(second.pidfile.read_text()) == pid

    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while running(second.pidfile, "dockerd") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert bring_up_engine(events.append, second).ping()
    assert any("left by a dockerd that is gone" in event.note for event in events)


@pytest.mark.docker
def test_a_daemon_that_cannot_start_shows_its_log(second: Daemon) -> None:
    broken = Daemon(
        log=second.log,
        pidfile=second.pidfile,
        containerd_pidfile=second.containerd_pidfile,
        host=second.host,
        command=second.command,
        arguments=(*second.arguments, "--storage-driver=cheese"),
    )
    with pytest.raises(
        ImageError, match=r"(?s)that it ends.*log:\nfailed to start daemon: .*driver not"
    ):
        bring_up_engine(silent, broken)
