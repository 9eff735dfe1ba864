"""Brings up a Docker engine where none answers: as root on Debian, without an init system too."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import docker

from images.cache import cache_dir, exclusive
from images.engine import NO_ANSWER, no_engine_message
from images.errors import ImageError
from images.host import apt_install, is_debian, is_root
from images.progress import Event, Tell

STEP = "engine"
PACKAGES = ["docker.io", "iptables", "ca-certificates", "debootstrap"]
#: Seconds until an engine that was started must answer.
START_SECONDS = 90


@dataclass(frozen=True)
class Daemon:
    """How a daemon of ours is started, and where it leaves its traces.

    Attributes:
        log: its output; appended to.
        pidfile: where dockerd writes its process id.
        containerd_pidfile: the same of the containerd that it starts.
        command: the program and what it is started by.
        arguments: for dockerd, before ours.
        host: the address to ask; None is what ``DOCKER_HOST`` or the default socket say.
    """

    log: Path
    pidfile: Path = Path("/var/run/docker.pid")
    containerd_pidfile: Path = Path("/var/run/docker/containerd/containerd.pid")
    command: tuple[str, ...] = ("dockerd",)
    arguments: tuple[str, ...] = ()
    host: str | None = None

    def client(self, timeout: float = 60) -> docker.DockerClient:
        """A client of it. Raises :data:`NO_ANSWER` if it does not answer."""
        client = (
            docker.DockerClient(base_url=self.host, timeout=timeout)
            if self.host
            else docker.from_env(timeout=timeout)
        )
        client.ping()
        return client


def bring_up_engine(tell: Tell, daemon: Daemon | None = None) -> docker.DockerClient:
    """A client of the engine that answers; one is installed and started where none does.

    An engine that was started here outlives this process.

    Raises:
        ImageError: none answers and none can be started here; says what a person must do.
    """
    daemon = daemon or Daemon(log=cache_dir() / "engine" / "dockerd.log")
    try:
        return daemon.client()
    except NO_ANSWER as error:
        problem = no_engine_message(error)
    if os.environ.get("DOCKER_HOST") and daemon.host is None:
        # A person chose an engine. Another one beside it is not what they asked for.
        raise ImageError(problem)
    if not is_root():
        raise ImageError(f"{problem}; this process is not root, so it cannot start one")
    with exclusive("engine", tell):
        try:
            return daemon.client()
        except NO_ANSWER:
            pass
        if not shutil.which("dockerd"):
            if not is_debian():
                raise ImageError(
                    "expected a Docker engine, found none installed, and a system other than "
                    "Debian; install Docker with your system's package manager and start it, or "
                    "point DOCKER_HOST at an engine"
                )
            apt_install(PACKAGES, STEP, tell)
        return _start(daemon, tell)


def _start(daemon: Daemon, tell: Tell) -> docker.DockerClient:
    if daemon.host is None and _start_service(tell):
        # The package may have started it, or the init system does now.
        client = _wait(daemon, None, tell, 30)
        if client is not None:
            return client
    clear_stale(daemon, tell)
    if running(daemon.pidfile, "dockerd"):
        tell(Event(STEP, "dockerd runs but does not answer yet: waiting"))
        client = _wait(daemon, None, tell, START_SECONDS)
        if client is not None:
            return client
        raise ImageError(
            f"expected the running dockerd (process {daemon.pidfile.read_text().strip()}) to "
            f"answer, found silence for {START_SECONDS} s; see its log, or stop it and try again"
        )
    extra: list[str] = []
    environment: dict[str, str] = {}
    tried: set[str] = set()
    while True:
        offset = daemon.log.stat().st_size if daemon.log.exists() else 0
        process = _spawn(daemon, extra, environment, tell)
        client = _wait(daemon, process, tell, START_SECONDS)
        if client is not None:
            return client
        if running(daemon.pidfile, "dockerd") and process.poll() is not None:
            # Another one (the package's init script) was faster.
            client = _wait(daemon, None, tell, START_SECONDS)
            if client is not None:
                return client
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=20)
        with daemon.log.open(encoding="utf-8", errors="replace") as stream:
            stream.seek(offset)
            said = stream.read()
        cure = next((cure for cure in cures(said) if cure not in tried), None)
        if cure is None:
            tail = "\n".join(last_words(said) or said.splitlines()[-8:])
            raise ImageError(
                f"expected dockerd to start, found that it ends; its log {daemon.log}:\n{tail}\n"
                "correct what it names and try again; inside a container it needs --privileged"
            )
        tried.add(cure)
        if cure == "mount-cgroups":
            _mount_cgroups(tell)
        elif cure == "other-iptables":
            environment = _other_iptables(tell)
        else:
            tell(Event(STEP, "iptables does not work here: starting without container networks"))
            # Sandboxes have no network anyway, and the guest image is built without one.
            extra = ["--iptables=false", "--ip6tables=false", "--bridge=none"]


#: What stops dockerd, by what its log says, and the cures to try, the mildest first.
SYMPTOMS = (
    ("Devices cgroup isn't mounted", ("mount-cgroups",)),
    ("iptables", ("other-iptables", "no-iptables")),
    ("NAT chain", ("other-iptables", "no-iptables")),
)


def cures(log: str) -> tuple[str, ...]:
    """The cures for what a dockerd that ended wrote, the mildest first. Pure."""
    # Its last word counts; warnings about iptables stand in the log of a healthy one too.
    text = "\n".join(last_words(log)) or log
    return next((found for symptom, found in SYMPTOMS if symptom in text), ())


def last_words(log: str) -> list[str]:
    """The lines in which dockerd says why it ended."""
    return [line for line in log.splitlines() if line.startswith("failed to start daemon")]


def _mount_cgroups(tell: Tell) -> None:
    tell(Event(STEP, "mounting the cgroup controllers"))
    if not shutil.which("cgroupfs-mount"):
        apt_install(["cgroupfs-mount"], STEP, tell)
    subprocess.run(["cgroupfs-mount"], check=False)


def _other_iptables(tell: Tell) -> dict[str, str]:
    """The environment in which dockerd finds the other of the two kinds of iptables.

    For this daemon alone: which one the host uses is not ours to change.
    """
    link = Path("/etc/alternatives/iptables")
    current = os.readlink(link) if link.is_symlink() else ""
    other = "nft" if current.endswith("legacy") else "legacy"
    tell(Event(STEP, f"iptables does not work here: trying iptables-{other}"))
    folder = cache_dir() / "engine" / f"iptables-{other}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("iptables", "ip6tables"):
        shim = folder / name
        shim.unlink(missing_ok=True)
        shim.symlink_to(f"/usr/sbin/{name}-{other}")
    return {"PATH": f"{folder}:{os.environ.get('PATH', '')}"}


def running(pidfile: Path, name: str) -> bool:
    """Whether the process that a pidfile names is alive and is that program."""
    try:
        pid = int(pidfile.read_text().strip())
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return False
    # "3195 (dockerd) Z ...": a zombie keeps its name but will never answer.
    command, _, rest = stat.partition("(")[2].rpartition(")")
    return command == name and not rest.strip().startswith(("Z", "X"))


def clear_stale(daemon: Daemon, tell: Tell) -> None:
    """Remove pidfiles of daemons that are gone: dockerd believes any process of that number."""
    for pidfile, name in (
        (daemon.pidfile, "dockerd"),
        (daemon.containerd_pidfile, "containerd"),
    ):
        if pidfile.exists() and not running(pidfile, name):
            tell(Event(STEP, f"removing {pidfile}, left by a {name} that is gone"))
            pidfile.unlink(missing_ok=True)


def _start_service(tell: Tell) -> bool:
    """Ask the init system, where there is one that is running."""
    if not Path("/run/systemd/system").is_dir() or not shutil.which("systemctl"):
        return False
    tell(Event(STEP, "systemctl start docker"))
    done = subprocess.run(
        ["systemctl", "start", "docker"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode == 0


def _spawn(
    daemon: Daemon, extra: list[str], environment: dict[str, str], tell: Tell
) -> subprocess.Popen[bytes]:
    """Start dockerd in a session of its own, so that it outlives us and no Ctrl-C reaches it."""
    try:
        daemon.log.parent.mkdir(parents=True, exist_ok=True)
        log = daemon.log.open("ab")
    except OSError as error:
        raise ImageError(f"expected to write dockerd's log, found {error}; free space") from error
    tell(Event(STEP, f"starting dockerd, log in {daemon.log}"))
    with log:
        return subprocess.Popen(
            [*daemon.command, *daemon.arguments, "--pidfile", str(daemon.pidfile), *extra],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
        )


def _wait(
    daemon: Daemon, process: subprocess.Popen[bytes] | None, tell: Tell, seconds: float
) -> docker.DockerClient | None:
    """The client, once it answers; None if the process ends or the time is over."""
    start = time.monotonic()
    said = 0.0
    while (waited := time.monotonic() - start) < seconds:
        try:
            client = daemon.client()
        except NO_ANSWER:
            if process is not None and process.poll() is not None:
                return None
            if waited - said > 10:
                said = waited
                tell(Event(STEP, f"waiting for it to answer: {waited:.0f} s", waited / seconds))
            time.sleep(0.3)
        else:
            tell(Event(STEP, f"answers: Docker {client.version().get('Version', '?')}", 1.0))
            return client
    return None
