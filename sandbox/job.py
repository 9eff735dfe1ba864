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


@dataclass(frozen=True)
class Job:
    """One source and the task to do with it. ``params`` are JSON values handed to the task."""

    source: str
    code: GuestCode
    params: Mapping[str, Any] = field(default_factory=dict)
