"""A plugin's options become the command's own."""

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.plugin_options import (
    PluginArgumentCommand,
    PluginCommand,
    click_options,
    split_options,
)
from plugins.contract import Option, PluginError
from plugins.nasbench201 import NasBench201


@click.command(cls=PluginCommand)
@click.option("--plugin", required=True)
@click.option("--seed", default=0)
@click.pass_context
def search(ctx, plugin, seed, **values):
    mine, others = split_options(NasBench201, values)
    click.echo(f"{plugin} {seed} {sorted(mine.items())} {others}")


@click.command(cls=PluginArgumentCommand)
@click.argument("name")
@click.option("--flag", is_flag=True)
def check(name, flag, **values):
    click.echo(f"{name} {flag} {values['dataset']}")


def run(command, *arguments):
    return CliRunner().invoke(command, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--plugin", "nasbench201", "--dataset", "cifar100", "--seed", "7"),
        ("--dataset", "cifar100", "--seed=7", "--plugin=nasbench201"),
        ("--plugin", "another", "--dataset=cifar100", "--plugin", "nasbench201", "--seed", "7"),
    ],
)
def test_the_plugins_options_are_taken_wherever_they_stand(arguments):
    done = run(search, *arguments)
    assert done.exit_code == 0, done.output
    assert done.output == "nasbench201 7 [('dataset', 'cifar100'), ('table', 'auto')] {}\n"


def test_help_shows_the_plugins_options_with_their_choices_and_defaults():
    shown = run(search, "--plugin", "nasbench201", "--help").output
    assert "[cifar10|cifar100|imagenet16-120]" in shown
    assert "[default: auto]" in shown
    assert "--dataset" not in run(search, "--help").output


def test_a_value_that_is_no_choice_and_an_option_of_no_one_are_usage_errors():
    wrong = run(search, "--plugin", "nasbench201", "--dataset", "mnist")
    assert wrong.exit_code == 2
    assert "'mnist' is not one of 'cifar10'" in wrong.output
    unknown = run(search, "--plugin", "nasbench201", "--datset", "cifar10")
    assert unknown.exit_code == 2
    assert "No such option" in unknown.output


def test_an_unknown_plugin_is_named():
    done = run(search, "--plugin", "nasbench999")
    assert isinstance(done.exception, PluginError)
    assert "did you mean 'nasbench201'?" in str(done.exception)


def test_without_a_plugin_the_command_says_that_it_needs_one():
    done = run(search)
    assert done.exit_code == 2
    assert "Missing option '--plugin'" in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("nasbench201", "--dataset", "cifar100", "--flag"),
        ("--dataset", "cifar100", "--flag", "nasbench201"),
    ],
)
def test_a_plugin_may_be_an_argument_instead(arguments):
    done = run(check, *arguments)
    assert done.output == "nasbench201 True cifar100\n"


class Declares:
    options = (
        Option("many-words", "a", "help"),
        Option("count", 3, "help", int),
        Option("rate", 0.5, "help", float),
        Option("loud", True, "help", bool),
    )


def test_every_type_of_option_arrives_as_what_it_was_declared():
    values = {}
    command = click.Command(
        "any", params=list(click_options(Declares)), callback=lambda **given: values.update(given)
    )
    assert (
        run(command, "--many-words", "x", "--count", "4", "--rate", "2", "--no-loud").exit_code == 0
    )
    assert values == {"many_words": "x", "count": 4, "rate": 2.0, "loud": False}
    assert run(command).exit_code == 0
    assert values == {"many_words": "a", "count": 3, "rate": 0.5, "loud": True}


def test_a_plugin_whose_option_is_the_commands_own_is_told_to_rename_it(monkeypatch):
    monkeypatch.setattr(NasBench201, "options", (Option("seed", 0, "help", int),))
    done = run(search, "--plugin", "nasbench201")
    assert done.exit_code == 2
    assert "options that the command has itself: seed" in done.output
