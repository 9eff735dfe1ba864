"""A plugin's options as options of a click command.

A command that takes ``--plugin`` does not know the plugin's options before it knows the plugin.
It is made with ``cls=PluginCommand``: the command looks ``--plugin`` up first and then takes the
plugin's options as if they were its own, help page included.
"""

from __future__ import annotations

from typing import Any

import click

from plugins.contract import Option, Plugin
from plugins.registry import keyword, plugin_class, plugin_names


def click_options(cls: type[Plugin]) -> list[click.Option]:
    """The plugin's declared options for click; parameter names are the plugin's keywords."""
    return [_click_option(option) for option in cls.options]


def split_options(
    cls: type[Plugin], values: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a command's parameters into the plugin's options and all others."""
    names = {keyword(option) for option in cls.options}
    mine = {name: value for name, value in values.items() if name in names}
    return mine, {name: value for name, value in values.items() if name not in names}


def _click_option(option: Option) -> click.Option:
    if option.type is bool:
        return click.Option(
            [f"--{option.name}/--no-{option.name}", keyword(option)],
            default=option.default,
            show_default=True,
            help=option.help,
        )
    kind: Any = click.Choice(option.choices) if option.choices else option.type
    return click.Option(
        [f"--{option.name}", keyword(option)],
        type=kind,
        default=option.default,
        show_default=option.default is not None,
        help=option.help,
    )


class PluginCommand(click.Command):
    """A command with an option ``--plugin`` whose plugin adds options of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find ``--plugin`` among the arguments, take its options, then parse as usual."""
        name = self.find_plugin(ctx, args)
        if name is None or ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        own = {param.name for param in self.params}
        added = click_options(plugin_class(name))
        clashing = [option.name for option in added if option.name in own]
        if clashing:
            raise click.UsageError(
                f"plugin {name!r} declares options that the command has itself: "
                f"{', '.join(map(str, clashing))}; rename them in the plugin",
                ctx,
            )
        ctx.meta[_META] = added
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters and the plugin's."""
        added: list[click.Parameter] = ctx.meta.get(_META, [])
        # Behind the command's own, before the help option, which click puts last.
        own = [*self.params, *added]
        help_option = self.get_help_option(ctx)
        return own if help_option is None else [*own, help_option]

    def find_plugin(self, ctx: click.Context, args: list[str]) -> str | None:
        """The plugin that the arguments name, before they are parsed."""
        found = None
        for index, arg in enumerate(args):
            if arg == "--":
                break
            if arg.startswith("--plugin="):
                found = arg.partition("=")[2]
            elif arg == "--plugin" and index + 1 < len(args):
                found = args[index + 1]
        if found is not None:
            return found
        for param in self.params:
            if param.name == "plugin" and not param.required:
                default = param.get_default(ctx)
                return default if isinstance(default, str) else None
        return None


class PluginArgumentCommand(PluginCommand):
    """The same, for a command that takes the plugin as an argument: the first one."""

    def find_plugin(self, ctx: click.Context, args: list[str]) -> str | None:
        """The first argument that is an installed plugin's name, else the first that is no option.

        The first alone will not do: it may be the value of an option.
        """
        values = [arg for arg in args if not arg.startswith("-")]
        known = plugin_names()
        return next((arg for arg in values if arg in known), values[0] if values else None)


_META = "orchestrator.cli.plugin_options"
