"""The two commands: what they would run, in which order, and how a failing step ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A fresh clone, as far as make can see."""
    for name in ("Makefile", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The suite itself may run under make, whose flags must not reach this one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def order(text: str, *parts: str) -> list[int]:
    return [text.index(part) for part in parts]


def test_search_brings_everything_up_first_and_passes_options_on(tree: Path) -> None:
    done = make(tree, "-n", "search", "ARGS=--llm rules --seed 7")
    assert done.returncode == 0, done.stderr
    places = order(
        done.stdout,
        "-m venv",
        "pip install --disable-pip-version-check -e .;",
        "-m images.bringup",
        "llmatic-orch search --plugin nasbench201",
    )
    assert places == sorted(places)
    assert done.stdout.rstrip().endswith("--llm rules --seed 7")
    assert "pytest" not in done.stdout


def test_test_installs_the_tools_and_runs_pytest_last(tree: Path) -> None:
    done = make(tree, "-n", "test", "TESTARGS=-k nothing")
    assert done.returncode == 0, done.stderr
    places = order(done.stdout, "-e .;", "-e '.[dev]'", "-m pytest")
    assert places == sorted(places)
    assert "-m images.bringup" in done.stdout
    assert done.stdout.rstrip().endswith("-m pytest -k nothing")


def test_what_is_installed_is_skipped_until_the_requirements_change(tree: Path) -> None:
    stamps = [tree / ".venv" / f".{name}.stamp" for name in ("venv", "run", "dev")]
    stamps[0].parent.mkdir()
    for index, stamp in enumerate(stamps):
        stamp.touch()
        os.utime(stamp, (2e9 + index, 2e9 + index))
    done = make(tree, "-n", "test")
    assert "pip install" not in done.stdout
    assert "-m images.bringup" in done.stdout
    os.utime(tree / "setup.py", (2.1e9, 2.1e9))
    done = make(tree, "-n", "test")
    assert done.stdout.count("if .venv/bin/python -m pip install") == 2
    assert "-m venv" not in done.stdout


def test_no_fitting_python_says_what_to_install(tree: Path) -> None:
    done = make(tree, "search", "PYTHON=")
    assert done.returncode != 0
    assert "expected Python 3.11 or newer" in done.stderr
    assert "apt-get install" in done.stderr
    assert not (tree / ".venv").exists()


def test_a_failed_install_names_its_step_leaves_no_stamp_and_a_second_try_resumes(
    tree: Path,
) -> None:
    # An environment whose pip answers, but cannot install while a file named "broken" is here.
    bin_ = tree / ".venv" / "bin"
    bin_.mkdir(parents=True)
    python = bin_ / "python"
    python.write_text(
        '#!/bin/sh\necho "ran: $*"\ncase "$*" in *install*) [ ! -e broken ] || exit 7;; esac\n'
    )
    python.chmod(0o755)
    (tree / "broken").touch()
    done = make(tree, "bringup")
    assert done.returncode != 0
    assert "install the package" in done.stderr
    assert "FAILED with status 7" in done.stderr
    assert "resumes" in done.stderr
    assert "images.bringup" not in done.stdout
    assert not (tree / ".venv" / ".run.stamp").exists()

    (tree / "broken").unlink()
    done = make(tree, "bringup")
    assert done.returncode == 0, done.stderr
    assert "-m venv" not in done.stdout
    assert "ran: -m images.bringup" in done.stdout
    assert "install the package" in done.stdout
    # A third time there is nothing to install.
    assert "install the package" not in make(tree, "bringup").stdout


def test_parallel_make_runs_each_step_once(tree: Path) -> None:
    bin_ = tree / ".venv" / "bin"
    bin_.mkdir(parents=True)
    for name in ("python", "llmatic-orch", "ruff", "mypy"):
        (bin_ / name).write_text(f'#!/bin/sh\necho "ran {name} $*"; sleep 0.1\n')
        (bin_ / name).chmod(0o755)
    done = make(tree, "-j4", "search", "test", "lint")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ran python -m images.bringup") == 1
    assert done.stdout.count("ran python -m pip install") == 2


def test_the_ci_entry_runs_lint_and_tests_without_input() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize(("lint", "test", "expected"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
def test_the_ci_entry_fails_if_either_fails_and_ends_with_the_tests(
    tmp_path: Path, lint: int, test: int, expected: int
) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "Makefile").write_text(
        f"lint:\n\t@exit {lint}\ntest:\n\t@echo CI=$$CI; cat; echo closing line; exit {test}\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        [tmp_path / ".ci" / "run"],
        input="this must not be read",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == (expected != 0)
    assert done.stdout == "CI=true\nclosing line\n"
