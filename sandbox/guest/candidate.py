"""Finds, in an executed source, the class that is the candidate."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from sandbox.guest.task import Refusal


def last_module_class(
    source: str, namespace: Mapping[str, Any], arguments: int | None = None
) -> type[Any]:
    """The last ``nn.Module`` subclass that a source defines at its top level.

    With ``arguments``, the last one whose constructor can be called with so many positional
    arguments, so that helper layers behind it do no harm; where there is none, the last one.

    Raises:
        Refusal: the source defines no such class (``build_error``).
    """
    from torch import nn

    found = [
        cls
        for name in _class_names(ast.parse(source).body)
        if isinstance(cls := namespace.get(name), type) and issubclass(cls, nn.Module)
    ]
    if not found:
        raise Refusal(
            "build_error",
            "expected a class that subclasses nn.Module at the top level of the source; found "
            "none: define one",
        )
    if arguments is not None:
        fitting = [cls for cls in found if _takes(cls, arguments)]
        found = fitting or found
    return found[-1]


def _class_names(body: list[ast.stmt]) -> list[str]:
    """Names of the classes of a module, in the order of their definitions."""
    names: list[str] = []
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            names.append(statement.name)
        elif isinstance(statement, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
            for part in ("body", "handlers", "orelse", "finalbody"):
                for inner in getattr(statement, part, []):
                    inside = inner.body if isinstance(inner, ast.ExceptHandler) else [inner]
                    names += _class_names(inside)
    return names


def _takes(cls: type[Any], arguments: int) -> bool:
    from torch import nn

    if cls.__init__ is nn.Module.__init__:
        return arguments == 0
    try:
        inspect.signature(cls.__init__).bind(None, *([None] * arguments))
    except (TypeError, ValueError):
        return False
    return True
