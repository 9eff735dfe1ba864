"""Which plugins are installed, and how one is made: entry points of ``llmatic_orch.plugins``."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from plugins.contract import Option, Plugin, PluginError

GROUP = "llmatic_orch.plugins"


@dataclass(frozen=True)
class Installed:
    """One entry point of the group.

    Attributes:
        name: what ``--plugin`` takes.
        target: ``module:attribute`` of the plugin's class.
        distribution: the distribution that installed it; empty where that is not known.
        version: of the distribution.
        summary: the plugin's own line; empty where there is an error.
        error: why the plugin cannot be used, in one line; empty where it can.
    """

    name: str
    target: str
    distribution: str
    version: str
    summary: str = ""
    error: str = ""

    @property
    def usable(self) -> bool:
        """Whether the plugin was imported and looks like one."""
        return not self.error


def installed() -> list[Installed]:
    """Every plugin, by name; one that cannot be imported is listed with its error."""
    points = _entry_points()
    count = Counter(point.name for point in points)
    return [_inspect(point, count[point.name]) for point in points]


def plugin_names() -> list[str]:
    """Names of all plugins, usable or not; imports none of them."""
    return sorted({point.name for point in _entry_points()})


def plugin_class(name: str) -> type[Plugin]:
    """The class behind a plugin's name.

    Raises:
        PluginError: there is no such plugin, or more than one, or it cannot be imported.
    """
    points = _entry_points()
    matching = [point for point in points if point.name == name]
    if not matching:
        raise PluginError(_unknown(name, plugin_names()))
    if len(matching) > 1:
        raise PluginError(f"plugin {name!r}: {_duplicated(matching)}")
    try:
        return _import(matching[0])
    except PluginError:
        raise
    except BaseException as error:
        # A plugin's module may do anything when it is imported, sys.exit included.
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(
            f"plugin {name!r} of {_origin(matching[0])} cannot be imported: {_line(error)}"
        ) from error


def load(name: str, **options: Any) -> Plugin:
    """Make a plugin.

    Args:
        name: as ``llmatic-orch plugins`` lists it.
        options: of the plugin, by keyword; those that are not given take their defaults.

    Raises:
        PluginError: there is no such plugin or option, or the plugin refuses a value.
    """
    cls = plugin_class(name)
    values = check_options(cls, options)
    try:
        plugin = cls(**values)
        lacking = [part for part in ("seed", "prompts", "descriptors") if not hasattr(plugin, part)]
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"plugin {name!r} could not be made: {_line(error)}") from error
    if lacking:
        raise PluginError(
            f"expected plugin {name!r} to have what plugins.contract.Plugin names, "
            f"found no {', '.join(lacking)}"
        )
    return plugin


def keyword(option: Option) -> str:
    """The keyword argument of an option: its name with dashes as underscores."""
    return option.name.replace("-", "_")


def check_options(cls: type[Plugin], given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a plugin with the values given or their defaults.

    Raises:
        PluginError: a name is none of the plugin's, or a value is of another type or no choice.
    """
    declared = {keyword(option): option for option in cls.options}
    for name in given:
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none at all"
            raise PluginError(
                f"expected options of plugin {cls.name!r} ({known}), found {name!r}"
                f"{_suggest(name, declared)}"
            )
    return {
        name: _check_value(option, given.get(name, option.default))
        for name, option in declared.items()
    }


def _check_value(option: Option, value: Any) -> Any:
    if option.type is float and type(value) is int:
        value = float(value)
    wrong_type = value is not None and type(value) is not option.type
    if wrong_type or (value is None and option.default is not None):
        raise PluginError(f"expected --{option.name} to be {option.type.__name__}, found {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise PluginError(f"expected --{option.name} to be a finite number, found {value!r}")
    if option.choices and value not in option.choices:
        raise PluginError(
            f"expected --{option.name} to be one of {', '.join(option.choices)}, found {value!r}"
            f"{_suggest(str(value), option.choices)}"
        )
    return value


def _entry_points() -> list[metadata.EntryPoint]:
    """Sorted, and each once: a distribution may be found twice on the path."""
    found: dict[tuple[str, str, str], metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=GROUP):
        distribution = point.dist.name if point.dist else ""
        found.setdefault((point.name, distribution, point.value), point)
    return [found[key] for key in sorted(found)]


def _inspect(point: metadata.EntryPoint, namesakes: int) -> Installed:
    summary, error = "", ""
    if namesakes > 1:
        error = "two plugins have this name; uninstall one of them"
    else:
        try:
            summary = " ".join(_import(point).summary.split())
        except PluginError as problem:
            error = str(problem)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:
            error = _line(problem)
    return Installed(
        name=point.name,
        target=point.value,
        distribution=point.dist.name if point.dist else "",
        version=point.dist.version if point.dist else "",
        summary=summary,
        error=error,
    )


def _import(point: metadata.EntryPoint) -> type[Plugin]:
    loaded = point.load()
    if not isinstance(loaded, type):
        raise PluginError(f"expected {point.value} to be a class, found {type(loaded).__name__}")
    cls: Any = loaded
    # The seed, the prompts and the descriptors may depend on options: they are an object's.
    needed = ("name", "summary", "options", "prepare", "job", "evaluate", "test_score")
    lacking = [attribute for attribute in needed if not hasattr(cls, attribute)]
    if lacking:
        raise PluginError(
            f"expected {point.value} to be a plugin (plugins.contract.Plugin), "
            f"found a class without {', '.join(lacking)}"
        )
    if cls.name != point.name:
        raise PluginError(
            f"expected the plugin's name to be that of its entry point, {point.name!r}, "
            f"found {cls.name!r}"
        )
    if not isinstance(cls.summary, str):
        raise PluginError(f"expected summary to be a line of text, found {cls.summary!r}")
    plugin: type[Plugin] = cls
    return plugin


def _origin(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def _duplicated(points: list[metadata.EntryPoint]) -> str:
    origins = " and ".join(_origin(point) for point in points)
    return f"expected one plugin of this name, found those of {origins}; uninstall one of them"


def _unknown(name: str, known: list[str]) -> str:
    listed = ", ".join(known) or "none"
    return (
        f"expected an installed plugin ({listed}), found {name!r}{_suggest(name, known)}; "
        "llmatic-orch plugins lists them"
    )


def _suggest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" - did you mean {close[0]!r}?" if close else ""


def _line(error: BaseException) -> str:
    """An exception in one line of printable text."""
    text = " ".join(str(error).split())
    printable = "".join(char for char in text if char.isprintable())
    return f"{type(error).__name__}: {printable[:500]}" if printable else type(error).__name__
