"""The command line, ``llmatic-orch``.

Commands live in one module each and are imported only when they are called, so that ``--help``
and the light commands do not wait for torch.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
import threading
from typing import NoReturn

import click

#: Command name -> ``module:attribute`` of its click command.
COMMANDS = {
    "search": "orchestrator.cli.search:search",
    "resume": "orchestrator.cli.search:resume",
    "runs": "orchestrator.cli.inspect:runs",
    "show": "orchestrator.cli.inspect:show",
    "export": "orchestrator.cli.inspect:export",
    "evaluate": "orchestrator.cli.evaluate:evaluate",
    "plugins": "orchestrator.cli.plugins:plugins",
    "llm": "orchestrator.cli.llm:llm",
    "image": "orchestrator.cli.image:image",
    "data": "orchestrator.cli.data:data",
    "doctor": "orchestrator.cli.doctor:doctor",
}


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are first needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a person meets them, not the alphabet's."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="llmatic-orch")
def cli() -> None:
    """LLM-driven neural architecture search, with every generated network in a sandbox.

    \b
    Example:
      llmatic-orch search --plugin nasbench201
    """


def known_errors() -> tuple[type[Exception], ...]:
    """The errors that are written for a person to read, and so are shown without a traceback."""
    from images.errors import ImageError
    from orchestrator.errors import OrchestratorError
    from orchestrator.llm.protocol import LLMError
    from plugins.contract import PluginError
    from sandbox.executor import SandboxUnavailable

    return (ImageError, OrchestratorError, LLMError, PluginError, SandboxUnavailable)


def main() -> None:
    """Entry point: known errors become one message and exit status 1; Ctrl-C becomes 130."""
    _leave(_run())


def _run() -> int:
    try:
        status = cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        if not isinstance(error, known_errors()):
            raise
        click.echo(f"error: {error}", err=True)
        return 1
    return status if isinstance(status, int) else 0


def _leave(status: int) -> NoReturn:
    """End the process, also around a model in the middle of a token.

    A thread that is inside a C++ library when the interpreter shuts down makes it abort. It
    cannot be told to stop, so the shutdown is left out; all that had to be closed is closed.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        # What is registered to be cleaned up at exit still is.
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    sys.exit(status)
