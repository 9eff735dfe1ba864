"""What the conformance kit expects of single values; each breaks a promise where it is not so."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

from plugins.contract import Evaluation, Option, Prompt
from sandbox.job import GuestCode


class Broken(Exception):
    """A promise that does not hold."""


def expect(condition: bool, expected: str) -> None:
    """Break the promise where the condition does not hold; ``expected`` says what should."""
    if not condition:
        raise Broken(f"expected {expected}")


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number, and no boolean."""
    try:
        return (
            not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
        )
    except OverflowError:
        return False


def classes(source: str, what: str) -> list[str]:
    """Names of the classes that a source defines; broken where it is no valid Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise Broken(f"expected {what} to be valid Python, found {error}") from error
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def check_option(option: Option) -> None:
    """An option can be shown, parsed and left out."""
    name = option.name
    expect(
        bool(name) and name.replace("-", "_").isidentifier() and name == name.lower(),
        f"an option name of lower-case letters, digits and dashes, found {name!r}",
    )
    expect(option.type in (str, int, float, bool), f"a type for --{name}, found {option.type!r}")
    expect(bool(option.help.strip()), f"a help text for --{name}")
    fits = option.default is None or type(option.default) is option.type
    expect(fits, f"a default of {option.type.__name__} for --{name}, found {option.default!r}")
    if option.choices and option.default is not None:
        expect(
            option.default in option.choices,
            f"the default of --{name} among its choices, found {option.default!r}",
        )


def check_prompt(prompt: Prompt) -> None:
    """A prompt can be put between triple quotes, and its edit followed."""
    expect(isinstance(prompt, Prompt), f"a Prompt, found {prompt!r}")
    expect(bool(prompt.text.strip()), "every prompt to have a text")
    # A prompt stands between triple quotes.
    expect('"""' not in prompt.text, f'no """ in a prompt, found {prompt.text!r}')
    edit = prompt.edit
    expect(
        edit.delete or edit.add is not None or edit.combine,
        f"an edit that --llm rules can follow, found none for {prompt.text!r}",
    )
    if edit.add:
        try:
            ast.parse(edit.add, mode="eval")
        except (SyntaxError, ValueError) as error:
            raise Broken(f"expected edit.add to be an expression, found {edit.add!r}") from error


def check_progress(what: str, done: float, total: float | None) -> None:
    """What a plugin tells of its progress can be drawn as a bar."""
    expect(bool(what) and isinstance(what, str), f"progress to say what is done, found {what!r}")
    expect(is_finite(done) and done >= 0, f"progress from 0, found {done!r}")
    expect(
        total is None or (is_finite(total) and total >= done),
        f"a total of at least {done}, or None, found {total!r}",
    )


def check_code(code: GuestCode) -> None:
    """Guest code is valid, and holds its own entry point."""
    expect(isinstance(code, GuestCode), f"guest code, found {type(code).__name__}")
    module, _, function = code.entry.partition(":")
    expect(bool(module and function), f"an entry 'module:function', found {code.entry!r}")
    built_in = module.startswith("sandbox.guest.")
    expect(
        built_in or module in code.modules,
        f"the entry's module among those shipped, found {', '.join(code.modules) or 'none'}",
    )
    for name, text in code.modules.items():
        classes(text, f"guest module {name}")


def check_json(value: Any, what: str) -> None:
    """A value is JSON, and comes back from it as it was."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Broken(f"expected {what} to be JSON values, found {error}") from error
    if json.loads(text) != value:
        raise Broken(f"expected {what} to come back from JSON as it was (no tuples, no int keys)")


def check_evaluation(evaluation: Evaluation) -> None:
    """An evaluation can go into the archives."""
    expect(isinstance(evaluation, Evaluation), f"an Evaluation, found {evaluation!r}")
    expect(is_finite(evaluation.fitness), f"a finite fitness, found {evaluation.fitness!r}")
    values = evaluation.descriptors
    expect(len(values) == 2, f"two descriptors, found {len(values)}")
    expect(all(map(is_finite, values)), f"finite descriptors, found {values}")
    expect(
        evaluation.identity is None or isinstance(evaluation.identity, str),
        f"an identity of text or None, found {evaluation.identity!r}",
    )
