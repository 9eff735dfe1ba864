"""What the sandbox is asked to do with one candidate's source."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class GuestCode:
    """Trusted code that runs in the container and says what to do with a source.

    ``entry`` is ``"module:function"``; the function is a task, see
    :mod:`sandbox.guest.task`. ``modules`` maps dotted module names to their source text: a
    plugin ships its own modules this way, and the guest imports them under those names. It stays
    empty for the tasks that the guest image already has (``sandbox.guest.tasks.*``).
    """

    entry: str
    modules: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def ship(cls, entry: str, *modules: str) -> GuestCode:
        """Guest code from importable modules, whose source files are read but not imported.

        Args:
            entry: ``"module:function"``, the task to run.
            modules: dotted names of every module to send along. They may import each other, the
                standard library, torch, and ``sandbox.guest``; nothing else exists in the guest.

        Raises:
            ModuleNotFoundError: a module has no source file on this machine.
        """
        sources: dict[str, str] = {}
        for name in modules:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.origin is None:
                raise ModuleNotFoundError(
                    f"expected a source file for guest module {name!r}, found none; "
                    "name a module that is installed as a .py file"
                )
            sources[name] = Path(spec.origin).read_text(encoding="utf-8")
        return cls(entry, sources)


#: Where a container finds the data of its job.
DATA_ROOT = "/data"


@dataclass(frozen=True)
class DataFolder:
    """Files that a job needs, as the container sees them: read-only, in ``/data/NAME``.

    Attributes:
        name: a path component.
        path: the folder on this machine; its plain files are taken, and no folder in it.
        content: names what is in it, in hex (a SHA-256 over all files): where it is the same,
            the files are sent to an engine once.
    """

    name: str
    path: Path
    content: str


@dataclass(frozen=True)
class Job:
    """One source and the task to do with it.

    Attributes:
        source: the candidate.
        code: the task.
        params: JSON values handed to the task.
        data: folders that it reads.
        extra_seconds: wall-clock time that the task gives the candidate on purpose (a budget for
            training, which the task keeps itself); it is added to the limit.
    """

    source: str
    code: GuestCode
    params: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[DataFolder, ...] = ()
    extra_seconds: float = 0.0
