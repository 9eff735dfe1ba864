"""What this host is, and how its packages are installed: Debian and root, or neither."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from images.errors import ImageError
from images.progress import Event, Tell


def is_root() -> bool:
    """Whether this process may install packages and start an engine."""
    return os.geteuid() == 0


def is_debian(os_release: Path = Path("/etc/os-release")) -> bool:
    """Whether apt's packages have Debian's names here (Debian, Ubuntu, and what derives)."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    names = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in names and shutil.which("apt-get") is not None


def apt_install(packages: list[str], step: str, tell: Tell) -> None:
    """Install Debian packages. Needs root.

    Raises:
        ImageError: apt failed; carries its last lines.
    """
    wait_for_lock = ["-o", "DPkg::Lock::Timeout=300"]
    tell(Event(step, "apt-get update"))
    # A broken third-party list must not stop us: what matters is whether the install works.
    updated = _run(["apt-get", *wait_for_lock, "-q", "update"], {})
    tell(Event(step, f"apt-get install {' '.join(packages)}"))
    command = ["apt-get", *wait_for_lock, "-q", "-y", "--no-install-recommends", "install"]
    done = _run([*command, *packages], {"DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode != 0:
        said = "\n".join((updated.stderr + done.stdout + done.stderr).splitlines()[-12:])
        raise ImageError(
            f"expected apt-get to install {' '.join(packages)}; it failed:\n{said}\n"
            "correct what it names (`dpkg --configure -a` after a killed install; the network, "
            "the lists in /etc/apt), then try again"
        )


def _run(command: list[str], extra: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **extra},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
