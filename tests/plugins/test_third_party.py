"""Distributions of others, really installed, are found; the one in the docs is run for real."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "sample_plugin"
BROKEN = ROOT / "tests" / "broken_plugin"
DOCS = ROOT / "docs" / "plugins.md"
COMMAND = Path(sys.executable).parent / "llmatic-orch"


def pip_install(project, target, scratch):
    """Installs a project into a folder, offline. Built from a copy: building writes beside it."""
    copy = scratch / f"build-{project.name}"
    shutil.copytree(project, copy)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--target", str(target), str(copy)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )


def examples():
    """The files that the docs hold, by name."""
    found = re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", DOCS.read_text(), re.S)
    return dict(found)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Environment variables of a Python that has the sample and the broken plugin installed."""
    scratch = tmp_path_factory.mktemp("third-party")
    project = scratch / "from-docs"
    project.mkdir()
    for name, text in examples().items():
        (project / name).write_text(text)
    pip_install(project, scratch / "site", scratch)
    pip_install(BROKEN, scratch / "site", scratch)
    return {**os.environ, "PYTHONPATH": str(scratch / "site"), "COLUMNS": "200"}


def llmatic(environment, *arguments):
    return subprocess.run(
        [COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_docs_hold_the_sample_distribution_word_for_word():
    assert examples() == {
        path.name: path.read_text() for path in SAMPLE.iterdir() if path.is_file()
    }


def test_the_example_is_about_thirty_lines():
    source = examples()["parameter_budget.py"]
    plugin = source[source.index("class ParameterBudget") :]
    assert len([line for line in plugin.splitlines() if line.strip()]) <= 30


def test_both_are_listed_one_with_its_summary_one_with_its_error(environment):
    done = llmatic(environment, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    found = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    sample, broken = found["parameter-budget"], found["broken-benchmark"]
    assert (sample["distribution"], sample["version"]) == ("parameter-budget", "1.0")
    assert sample["summary"] == "A 32x32 image classifier with a given number of parameters"
    assert sample["error"] == ""
    assert (broken["distribution"], broken["version"]) == ("broken-benchmark", "0.3")
    assert "No module named 'a_library_that_nobody_installed'" in broken["error"]
    assert found["nasbench201"]["error"] == ""


def test_the_table_for_people_says_the_same(environment):
    done = llmatic(environment, "plugins")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "parameter-budget 1.0" in lines["parameter-budget"]
    assert "cannot be used: ModuleNotFoundError" in lines["broken-benchmark"]
    assert "Traceback" not in done.stdout + done.stderr


def test_a_command_on_the_broken_one_is_a_message_and_no_traceback(environment):
    done = llmatic(environment, "plugins", "check", "broken-benchmark")
    assert done.returncode == 1
    assert done.stderr.startswith("error: plugin 'broken-benchmark' of broken-benchmark 0.3")
    assert "Traceback" not in done.stderr


def test_the_samples_option_is_an_option_of_the_command(environment):
    done = llmatic(environment, "plugins", "check", "parameter-budget", "--help")
    assert "--target INTEGER" in done.stdout
    assert "Parameters wanted." in done.stdout
    refused = llmatic(environment, "plugins", "check", "parameter-budget", "--target", "many")
    assert refused.returncode == 2
    assert "'many' is not a valid integer" in refused.stderr


def test_a_plugin_that_is_not_installed_is_answered_with_the_nearest(environment):
    done = llmatic(environment, "plugins", "check", "parameter-bugdet")
    assert done.returncode == 1
    assert "did you mean 'parameter-budget'?" in done.stderr


def test_what_needs_no_sandbox_holds_for_the_example(environment):
    done = llmatic(environment, "plugins", "check", "parameter-budget", "--no-sandbox", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    held = [verdict["held"] for verdict in json.loads(done.stdout)]
    assert held.count(True) == 8
    assert held.count(None) == 7


@pytest.mark.docker
@pytest.mark.parametrize("name", ["parameter-budget", "nasbench201"])
def test_every_promise_holds_in_the_real_sandbox(environment, guest_image, name):
    done = llmatic(environment, "plugins", "check", name, "--image", guest_image, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = json.loads(done.stdout)
    assert [verdict["held"] for verdict in verdicts] == [True] * 15, verdicts


@pytest.mark.docker
def test_the_example_scores_networks_by_their_parameters(environment, guest_image, tmp_path):
    source = tmp_path / "network.py"
    source.write_text(
        "import torch.nn as nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.a = nn.Conv2d(3, 10, 32)\n\n"
        "    def forward(self, x):\n        return self.a(x).flatten(1)\n"
    )
    done = llmatic(
        environment,
        *("evaluate", str(source), "--plugin", "parameter-budget", "--target", "61460"),
        *("--image", guest_image, "--json"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    # 3 x 32 x 32 weights and a bias for each of ten outputs: 30,730, half of the target.
    assert shown["kind"] == "ok", shown
    assert shown["parameters"] == 30_730
    assert shown["fitness"] == 50.0
    assert shown["descriptors"] == {"parameters": 30_730, "missing": 30_730}
