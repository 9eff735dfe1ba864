"""The registry: found by entry point, named with its error, made with checked options."""

import subprocess
import sys
import textwrap

import pytest

from plugins import registry
from plugins.contract import Option, PluginError
from plugins.nasbench201 import NasBench201


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution with one plugin on the path, as an installer leaves it."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(name, code, *, distribution, attribute="Plugin"):
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n"
        )
        (info / "entry_points.txt").write_text(
            f"[{registry.GROUP}]\n{name} = {module}:{attribute}\n"
        )

    yield put
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


GOOD = """
    from plugins.nasbench201 import NasBench201

    class Plugin(NasBench201):
        name = "{name}"
        summary = "Foreign and\\n  good"
"""


def entry(name):
    return next(plugin for plugin in registry.installed() if plugin.name == name)


def test_the_built_in_plugin_is_listed_with_its_distribution_and_summary():
    ours = entry("nasbench201")
    assert ours.distribution == "llmatic-orch"
    assert ours.version
    assert ours.summary == NasBench201.summary
    assert ours.usable


def test_a_foreign_plugin_is_listed_and_made(install):
    install("foreign", GOOD.format(name="foreign"), distribution="foreign-benchmark")
    found = entry("foreign")
    assert (found.distribution, found.version) == ("foreign-benchmark", "1.5")
    assert found.summary == "Foreign and good"
    assert registry.load("foreign", dataset="cifar100").dataset.classes == 100


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import a_library_that_is_not_here", "No module named 'a_library_that_is_not_here'"),
        ("def Plugin(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "has no attribute 'Plugin'"),
        ("Plugin = 3", "expected broken_benchmark:Plugin to be a class, found int"),
        ("class Plugin: name = 'broken'", "without summary, options, prepare"),
        (GOOD.format(name="another"), "'broken', found 'another'"),
        ("raise ValueError('two\\nlines \\x1b[31m')", "ValueError: two lines [31m"),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_error_and_the_others_work(install, code, error):
    install("broken", code, distribution="broken-benchmark")
    found = entry("broken")
    assert not found.usable
    assert error in found.error
    assert "\n" not in found.error
    assert found.error.isprintable()
    assert entry("nasbench201").usable
    with pytest.raises(PluginError, match=r"expected|cannot be imported"):
        registry.load("broken")
    assert registry.load("nasbench201").name == "nasbench201"


def test_two_plugins_of_one_name_are_both_named(install):
    install("twin", GOOD.format(name="twin"), distribution="first-benchmark")
    install("twin", GOOD.format(name="twin"), distribution="second-benchmark")
    twins = [plugin for plugin in registry.installed() if plugin.name == "twin"]
    assert {plugin.distribution for plugin in twins} == {"first-benchmark", "second-benchmark"}
    assert not any(plugin.usable for plugin in twins)
    with pytest.raises(PluginError, match=r"first-benchmark 1\.5 and second-benchmark 1\.5"):
        registry.plugin_class("twin")


def test_an_unknown_plugin_is_answered_with_those_there_are_and_the_nearest():
    with pytest.raises(PluginError, match=r"\(.*nasbench201.*\), found 'nasbench2001'") as error:
        registry.plugin_class("nasbench2001")
    assert "did you mean 'nasbench201'?" in str(error.value)


def test_a_name_like_no_other_is_answered_without_a_guess():
    with pytest.raises(PluginError) as error:
        registry.plugin_class("zzz")
    assert "did you mean" not in str(error.value)


# Options.


class Declares:
    name = "declares"
    options = (
        Option("many-words", "a", "help", choices=("a", "b")),
        Option("count", 3, "help", int),
        Option("rate", 0.5, "help", float),
        Option("loud", False, "help", bool),
        Option("path", None, "help"),
    )


def test_options_not_given_take_their_defaults():
    assert registry.check_options(Declares, {"count": 4}) == {
        "many_words": "a",
        "count": 4,
        "rate": 0.5,
        "loud": False,
        "path": None,
    }


def test_an_integer_will_do_for_a_number():
    assert registry.check_options(Declares, {"rate": 2})["rate"] == 2.0


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"counts": 3}, r"found 'counts' - did you mean 'count'\?"),
        ({"many-words": "a"}, "found 'many-words'"),
        ({"count": "3"}, "--count to be int, found '3'"),
        ({"count": True}, "--count to be int, found True"),
        ({"count": None}, "--count to be int, found None"),
        ({"rate": float("nan")}, "--rate to be a finite number"),
        ({"loud": 1}, "--loud to be bool"),
        ({"many_words": "c"}, "--many-words to be one of a, b, found 'c'"),
    ],
)
def test_a_wrong_option_is_refused(given, complaint):
    with pytest.raises(PluginError, match=complaint):
        registry.check_options(Declares, given)


def test_a_plugin_that_cannot_be_made_is_a_plugin_error(install):
    code = GOOD.format(name="stubborn") + (
        "\n        def __init__(self, **options):\n            raise OSError('no disk')\n"
    )
    install("stubborn", code, distribution="stubborn-benchmark")
    with pytest.raises(PluginError, match="'stubborn' could not be made: OSError: no disk"):
        registry.load("stubborn")


def test_a_plugin_without_a_seed_is_refused_when_it_is_made(install):
    code = """
        class Plugin:
            name, summary, options = "bare", "Bare", ()
            prepare = job = evaluate = test_score = prompts = None
    """
    install("bare", code, distribution="bare-benchmark")
    assert entry("bare").usable
    with pytest.raises(PluginError, match=r"'bare' to have .*found no seed, descriptors"):
        registry.load("bare")


def test_listing_does_not_import_torch():
    code = "import plugins.registry as r, sys; r.installed(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
