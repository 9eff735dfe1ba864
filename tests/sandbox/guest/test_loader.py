"""Guest code that is shipped with a job is imported from memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, traceback
sys.path.insert(0, {root!r})
from sandbox.guest.loader import load_entry
try:
    print(load_entry({entry!r}, {modules!r})())
except Exception:
    traceback.print_exc()
    sys.exit(1)
"""


def load(entry: str, modules: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as the child does it: the import system is changed for good."""
    root = __file__.rsplit("/tests/", 1)[0]
    program = PROGRAM.format(root=root, entry=entry, modules=modules)
    return subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False
    )


def test_shipped_modules_import_each_other_and_their_parents_appear() -> None:
    done = load(
        "myplugin.guest.task:run",
        {
            "myplugin.guest.task": "from myplugin.guest.help import n\ndef run(): return n + 1\n",
            "myplugin.guest.help": "n = 41\n",
        },
    )
    assert done.stdout == "42\n", done.stderr


def test_a_shipped_module_may_have_a_real_parent() -> None:
    done = load(
        "sandbox.guest.extra:run",
        {
            "sandbox.guest.extra": "from sandbox.guest.task import Refusal\n"
            "def run(): return Refusal.__name__\n"
        },
    )
    assert done.stdout == "Refusal\n", done.stderr


def test_a_shipped_package_wins_over_what_is_installed() -> None:
    done = load("colorsys:run", {"colorsys": "def run(): return 'shipped'\n"})
    assert done.stdout == "shipped\n", done.stderr
    assert "has no attribute 'run'" in load("colorsys:run", {}).stderr


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("no_colon", "expected a task as 'module:function'"),
        ("math:pi", "expected a function"),
        ("nowhere.at.all:run", "No module named 'nowhere'"),
        ("math:nothing", "nothing"),
    ],
)
def test_an_entry_that_names_no_function_says_so(entry: str, why: str) -> None:
    done = load(entry, {})
    assert done.returncode == 1
    assert why in done.stderr


def test_a_traceback_shows_the_shipped_line() -> None:
    done = load("p.t:run", {"p.t": "def run():\n    raise ValueError('here')\n"})
    assert "raise ValueError('here')" in done.stderr
