"""``llmatic-orch search`` and ``resume``: run a search, from its start or from where it stands."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import secrets
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import RUNS, find_run, progress_bar, sandbox_options
from orchestrator.cli.plugin_options import PluginCommand, split_options
from orchestrator.sandbox_setup import SandboxOptions, open_sandbox
from orchestrator.settings import SearchSettings

if TYPE_CHECKING:
    from orchestrator.llm.protocol import LLM
    from orchestrator.store import RunStore
    from plugins.contract import Plugin
    from sandbox.executor import Executor

DEFAULTS = SearchSettings()
POSITIVE = click.IntRange(min=1)


@click.command(cls=PluginCommand)
@click.option("--plugin", required=True, metavar="NAME", help="The benchmark to search.")
@click.option(
    "--llm",
    metavar="MODEL",
    help="A hub id, a checkpoint folder, a GGUF file, a name that `llmatic-orch llm list` knows, "
    "or rules (no language model: the control experiment).  [default: by memory]",
)
@click.option("--run", metavar="DIR", help="The run's folder.  [default: a new one in runs/]")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=DEFAULTS.seed,
    show_default=True,
    help="Of every random choice: the same seed and completions give the same run.",
)
@click.option(
    "--generations",
    type=POSITIVE,
    default=DEFAULTS.generations,
    show_default=True,
    help="Generations at most.",
)
@click.option(
    "--batch",
    type=POSITIVE,
    default=DEFAULTS.batch,
    show_default=True,
    help="Candidates per generation.",
)
@click.option("--max-evaluations", type=POSITIVE, help="Stop after this many unique evaluations.")
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after this many hours, all sessions of the run together.",
)
@click.option(
    "--mutation-probability",
    type=click.FloatRange(0, 1),
    default=DEFAULTS.mutation_probability,
    show_default=True,
    help="Chance that a generation mutates; else it crosses over.",
)
@click.option(
    "--max-tokens",
    type=POSITIVE,
    help="New tokens per candidate at most.  [default: the plugin's]",
)
@click.option("--parallel", type=POSITIVE, help="Completions side by side in a local model.")
@click.option("--context", type=POSITIVE, help="Tokens of context per completion.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of a checkpoint's weights.",
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep a picture (SVG) of the live view in this file.",
)
@sandbox_options
def search(
    plugin: str,
    llm: str | None,
    run: str | None,
    picture: Path | None,
    sandbox: SandboxOptions,
    parallel: int | None,
    context: int | None,
    dtype: str | None,
    **values: Any,
) -> None:
    """Search a benchmark for good networks.

    Every generated network is judged in a sandbox. Ctrl-C stops cleanly; `resume` goes on.
    `search --plugin NAME --help` lists the plugin's own options too.

    \b
    Examples:
      llmatic-orch search --plugin nasbench201
      llmatic-orch search --plugin nasbench201 --dataset cifar100 --max-evaluations 200
      llmatic-orch search --plugin nasbench201 --llm rules --generations 5 --batch 20
    """
    from plugins.registry import plugin_class

    cls = plugin_class(plugin)
    plugin_options, settings = split_options(cls, values)
    # What is wrong with the plugin's own options shows before anything is made.
    prompts = cls(**plugin_options).prompts
    settings["max_tokens"] = settings["max_tokens"] or prompts.max_tokens
    from orchestrator.llm.load import default_model

    config = {
        # Names the run's containers; folders in different places may have the same name.
        "id": uuid.uuid4().hex,
        "plugin": {"name": plugin, "options": plugin_options},
        "llm": {
            "spec": llm or default_model(),
            "parallel": parallel,
            "context": context,
            "dtype": dtype,
        },
        "settings": SearchSettings(**settings).to_json(),
        "sandbox": sandbox.to_json(),
    }
    path = Path(run) if run else RUNS / _new_name(plugin)
    _run(path, config, picture=picture)


@click.command()
@click.argument("run")
@click.option("--generations", type=POSITIVE, help="A new number of generations.")
@click.option("--max-evaluations", type=POSITIVE, help="A new budget of unique evaluations.")
@click.option(
    "--max-hours", type=click.FloatRange(min=0, min_open=True), help="A new budget of hours."
)
@click.option("--slots", type=POSITIVE, help="Sandboxes side by side, from now on.")
def resume(
    run: str,
    generations: int | None,
    max_evaluations: int | None,
    max_hours: float | None,
    slots: int | None,
) -> None:
    """Go on with a run that was stopped, or that is finished, under a larger budget.

    RUN is a run's folder, its name, or the start of its name. It goes on exactly where it
    stands: nothing is generated or evaluated twice.

    \b
    Examples:
      llmatic-orch resume runs/nasbench201-20260101-120000-ab12
      llmatic-orch resume nasbench201-2026 --generations 40
    """
    budgets = {
        "generations": generations,
        "max_evaluations": max_evaluations,
        "max_hours": max_hours,
    }
    changed = {name: value for name, value in budgets.items() if value is not None}
    _run(find_run(run), None, changed, slots)


def _new_name(plugin: str) -> str:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return f"{plugin}-{now}-{secrets.token_hex(2)}"


def _run(
    path: Path,
    new: dict[str, Any] | None,
    budgets: dict[str, Any] | None = None,
    slots: int | None = None,
    picture: Path | None = None,
) -> None:
    """Create (``new`` is the configuration) or open a run, and search until its budget ends."""
    from rich.console import Console

    from orchestrator.resuming import check_llm, check_plugin
    from orchestrator.search import Search
    from orchestrator.store import RunStore, check_new
    from orchestrator.view import choose_view
    from orchestrator.view.svg import PictureView

    with _terminating(), contextlib.ExitStack() as stack:
        store: RunStore | None = None
        if new is None:
            # Before anything else, since it takes the lock.
            store = stack.enter_context(RunStore.open(path))
        else:
            check_new(path)
        config = store.config if store else new
        assert config is not None
        # A run is made only when all that it needs is there: a name mistyped leaves no run.
        plugin = _open_plugin(config)
        if store is not None:
            check_plugin(config, plugin)
        executor = _open_sandbox(stack, config, slots)
        llm = _open_llm(stack, config)
        if store is not None:
            check_llm(store.meta().get("llm"), llm.describe())
        if store is None:
            store = stack.enter_context(_create(path, config, plugin))
        settings = _settings(store, budgets or {})
        store.set_meta(llm=llm.describe(), finished="")
        try:
            view = choose_view(Console())
            if picture is not None:
                view = PictureView(view, picture)
            summary = Search(store, settings, plugin, llm, executor, view, str(path)).run()
        except KeyboardInterrupt:
            # From here on only the sandboxes are removed: a second Ctrl-C would leave some.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            click.echo(f"stopped; go on with: llmatic-orch resume {path}", err=True)
            raise
        except Exception:
            click.echo(f"the run is kept; go on with: llmatic-orch resume {path}", err=True)
            raise
    if summary["finished"]:
        click.echo(f"look at it with: llmatic-orch show {summary['run']}")


def _create(path: Path, config: dict[str, Any], plugin: Plugin) -> RunStore:
    from orchestrator.archives import make_centroids
    from orchestrator.resuming import described
    from orchestrator.store import RunStore

    settings = SearchSettings.from_json(config["settings"])
    # The archives differ in their seed, lest both have the same cells.
    networks, prompts = (
        make_centroids(settings.cells, settings.centroid_samples, settings.seed + which)
        for which in (0, 1)
    )
    created = datetime.datetime.now().astimezone().isoformat("T", "seconds")
    shown = {
        "created": created,
        "version": importlib.metadata.version("llmatic-orch"),
        **described(plugin),
    }
    return RunStore.create(path, {**config, **shown}, networks, prompts)


def _settings(store: RunStore, budgets: dict[str, Any]) -> SearchSettings:
    """The run's settings under the budgets given now, or at an earlier resume."""
    earlier = store.meta().get("budgets", {})
    if budgets:
        store.set_meta(budgets={**earlier, **budgets})
    return SearchSettings.from_json({**store.config["settings"], **earlier, **budgets})


def _open_plugin(config: dict[str, Any]) -> Plugin:
    from plugins import registry

    plugin = registry.load(config["plugin"]["name"], **config["plugin"]["options"])
    with progress_bar() as tell:
        plugin.prepare(tell)
    return plugin


def _open_sandbox(
    stack: contextlib.ExitStack, config: dict[str, Any], slots: int | None
) -> Executor:
    from images.progress import view

    options = SandboxOptions.from_json(config["sandbox"])
    if slots is not None:
        options = dataclasses.replace(options, slots=slots)
    with view() as tell:
        return stack.enter_context(open_sandbox(options, config["id"], tell))


def _open_llm(stack: contextlib.ExitStack, config: dict[str, Any]) -> LLM:
    from orchestrator.llm.load import load_llm

    options = dict(config["llm"])
    spec = options.pop("spec")
    with progress_bar() as tell:
        tell(f"loading {spec}", 0, None)
        llm = load_llm(spec, progress=tell, **options)
    stack.callback(llm.close)
    return llm


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """SIGTERM, and a terminal that goes away, stop a search as Ctrl-C does."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    # Under nohup a lost terminal is to be ignored, and stays so.
    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
