"""Imports the guest code that came with a job, from memory: the root file system is read-only."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import linecache
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Shipped(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of a job; asked first, so that nothing else can stand in for them."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._modules:
            return None
        package = any(name.startswith(fullname + ".") for name in self._modules)
        return importlib.util.spec_from_loader(fullname, self, is_package=package)

    def exec_module(self, module: ModuleType) -> None:
        source = self._modules[module.__name__]
        filename = f"<shipped {module.__name__}>"
        # So that a traceback shows the line.
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)


class _Parents(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in, as an empty package, for a shipped module's parent that does not exist here."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not any(name.startswith(fullname + ".") for name in self._modules):
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        pass


def load_entry(entry: str, modules: Mapping[str, str]) -> Callable[..., Any]:
    """Make a job's modules importable, and import its task.

    Args:
        entry: ``"module:function"``.
        modules: source text by dotted module name.

    Raises:
        Exception: what importing raised, or that the entry names no function.
    """
    if modules:
        sys.meta_path.insert(0, _Shipped(modules))
        sys.meta_path.append(_Parents(modules))
    name, colon, attribute = entry.partition(":")
    if not colon:
        raise ValueError(f"expected a task as 'module:function', found {entry!r}")
    task = getattr(importlib.import_module(name), attribute)
    if not callable(task):
        raise TypeError(f"expected a function at {entry!r}, found {type(task).__name__}")
    return task
